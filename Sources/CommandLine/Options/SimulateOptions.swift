// The values of `perseus simulate seeds`.

import PerseusPrimitives

/// Everything `perseus simulate seeds` was told.
public struct SimulateOptions: Equatable, Sendable {
    /// Scenarios to run at most; nil: as many as fit into `limitSeconds`.
    public var seedCount: Int?
    /// Real time after which no further scenario is started; nil: no limit.
    public var limitSeconds: Double?
    /// Nil: one per core.
    public var threadCount: Int?
    /// Seed of the first scenario; the others follow by one.
    public var firstSeed: UInt64
    public var jsonPath: String?
    /// Print failures only.
    public var isQuiet: Bool
    /// Stop at the first failure.
    public var stopsAtFirstFailure: Bool

    init(_ given: ParsedArguments) throws(PerseusError) {
        limitSeconds = try given.value(of: SimulateDeclaration.seconds)
        let defaultCount = limitSeconds == nil ? SimulateDeclaration.defaultCount : nil
        seedCount = try given.value(of: SimulateDeclaration.count) ?? defaultCount
        threadCount = try given.value(of: SimulateDeclaration.threads)
        firstSeed = try given.value(of: SimulateDeclaration.seed)
        jsonPath = try given.value(of: CommonOptions.json)
        isQuiet = given.isGiven(SimulateDeclaration.quiet)
        stopsAtFirstFailure = given.isGiven(SimulateDeclaration.firstFailure)
    }
}

/// Declares `perseus simulate` and its commands.
enum SimulateDeclaration {
    static let defaultCount = 200
    static let count = CommandOption(
        "count", .integer(in: 1...1_000_000_000),
        absent: "\(defaultCount); with --seconds no limit",
        help: "Scenarios to run.")
    static let seconds = CommandOption(
        "seconds", .number("S", .aboveZero), absent: "no limit",
        help: "Start no further one after this time; what was started is finished.")
    static let threads = CommandOption(
        "threads", .integer(in: 1...4096), absent: "one per core",
        help: "Scenarios at a time; the report is the same for every number.")
    static let seed = CommandOption(
        "seed", .seed, default: 1,
        help: "Seed of the first one, decimal or 0x hexadecimal; the others follow by one.")
    static let quiet = CommandFlag("quiet", help: "Print failures only.")
    static let firstFailure = CommandFlag("first-failure", help: "Stop at the first failure.")

    static let command = CommandDeclaration(
        path: "perseus simulate",
        summary: "run the production roles on the virtual clock under injected faults",
        discussion: "The same proxy, rings and orderings as perseus run, with another clock and "
            + "another NIC model, and the profiles that it takes its times from.",
        subcommands: [
            PaperDeclaration.command, PaperDeclaration.calibration, ExplainDeclaration.command,
            SweepDeclaration.command, seeds, ProfileDeclaration.command,
        ],
        examples: [
            CommandExample(
                purpose: "Two hundred random scenarios:", line: "perseus simulate seeds"),
            CommandExample(
                purpose: "Where the time of a layer goes:", line: "perseus simulate explain"),
            CommandExample(
                purpose: "A cluster's numbers:",
                line: "perseus simulate profile --profile h100-connectx7"),
        ])

    private static let seeds = CommandDeclaration(
        path: "perseus simulate seeds",
        summary: "check random scenarios, one seed each; every failure prints its replay line",
        discussion: "A seed decides shape, ranks, scheme, ordering, delays and faults. Checkers "
            + "watch that nothing is lost, doubled or seen early, and the output is compared bit "
            + "by bit.",
        groups: [
            OptionGroup(
                title: "Options",
                entries: [
                    count.entry, seconds.entry, seed.entry, threads.entry, quiet.entry,
                    firstFailure.entry, CommonOptions.json.entry,
                ])
        ],
        examples: [
            CommandExample(
                purpose: "Two hundred random scenarios:", line: "perseus simulate seeds"),
            CommandExample(
                purpose: "Replay one of them:",
                line: "perseus simulate seeds --seed 0x9f3c --count 1"),
            CommandExample(
                purpose: "Search for an hour, or until something breaks:",
                line: "perseus simulate seeds --seconds 3600 --first-failure"),
        ])
}
