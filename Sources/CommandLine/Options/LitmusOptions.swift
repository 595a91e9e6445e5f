// The values of `perseus litmus`.

import PerseusPrimitives

/// Everything `perseus litmus` was told.
public struct LitmusOptions: Equatable, Sendable {
    /// `softnic`, or `libfabric:` and a provider.
    public var fabrics: [String]
    /// Of the soft NIC: a built-in name or a path.
    public var profile: String
    /// nil: all that the fabric promises, or with `triesUnproven` all.
    public var orderings: [String]
    public var triesUnproven: Bool
    public var trialCount: Int
    public var seed: UInt64
    public var deadlineMilliseconds: Int
    public var jsonPath: String?

    init(_ given: ParsedArguments) throws(PerseusError) {
        fabrics = try given.value(of: LitmusDeclaration.fabric)
        profile = try given.value(of: RunDeclaration.profile)
        orderings = try given.value(of: LitmusDeclaration.ordering)
        triesUnproven = given.isGiven(LitmusDeclaration.unproven)
        trialCount = try given.value(of: LitmusDeclaration.trials)
        seed = try given.value(of: RunDeclaration.seed)
        deadlineMilliseconds = try given.value(of: RunDeclaration.deadline)
        jsonPath = try given.value(of: CommonOptions.json)
    }
}

/// Declares `perseus litmus`.
enum LitmusDeclaration {
    static let fabric = CommandOption(
        "fabric", .names(noun: "fabric", of: KnownNames.fabrics), default: ["softnic"],
        help: "What is attacked: the soft NIC of --profile, or a provider of this machine's "
            + "libfabric (perseus doctor lists them).")
    static let ordering = CommandOption(
        "ordering", .names(noun: "ordering", of: orderings), default: orderings,
        help: "Which orderings: \(orderings.joined(separator: ", ")).")
    static let unproven = CommandFlag(
        "unproven", help: "Also orderings that the fabric does not promise.")
    static let trials = CommandOption(
        "trials", .integer("N", in: 1...100_000_000), default: 2000,
        help: "Groups of puts, each with a signal, of every ordering.")

    /// An addition has no place for the words of these trials.
    private static let orderings =
        KnownNames.orderings.filter { $0 != "atomic" } + [KnownNames.noOrdering]

    static let command = CommandDeclaration(
        path: "perseus litmus",
        summary: "attack the claim that a signal stays behind its data",
        discussion:
            "Two ranks in this process send each other groups of puts of 4 KB to 1 MB and a "
            + "signal behind each, through the production proxy, and compare every byte when they see "
            + "the signal. A pass is evidence and no proof: only a documented promise is called proven. "
            + "Exits with 1 when a promise does not hold.",
        groups: [
            OptionGroup(
                title: "Trials",
                entries: [
                    fabric.entry, RunDeclaration.profile.entry, ordering.entry, unproven.entry,
                    trials.entry,
                ]),
            OptionGroup(
                title: "Options",
                entries: [
                    RunDeclaration.seed.entry, RunDeclaration.deadline.entry,
                    CommonOptions.json.entry,
                ]),
        ],
        examples: [
            CommandExample(
                purpose: "What the default profile's NIC promises:", line: "perseus litmus"),
            CommandExample(
                purpose: "A provider, with what it does not promise:",
                line: "perseus litmus --fabric libfabric:shm --unproven"),
            CommandExample(
                purpose: "See a violation:",
                line: "perseus litmus --profile roce-adaptive --ordering none --unproven"),
        ])
}
