// The values of `perseus simulate sweep`.

import PerseusPrimitives

/// Everything `perseus simulate sweep` was told; names are known to be in `KnownNames`, no list has a value twice.
public struct SweepOptions: Equatable, Sendable {
    /// Built-in names, or paths of files.
    public var profiles: [String]
    public var models: [String]
    public var nodes: [Int]
    public var ranksPerNode: [Int]
    /// Of each rank.
    public var tokens: [Int]
    public var schemes: [String]
    /// nil: each scheme's own.
    public var orderings: [String]?
    /// nil: each scheme's own.
    public var groupSizes: [Int]?
    public var proxyThreads: [Int]
    public var zipfExponents: [Double]
    public var seed: UInt64
    /// nil: one per core.
    public var threadCount: Int?
    /// nil: the standard output.
    public var outputPath: String?

    init(_ given: ParsedArguments) throws(PerseusError) {
        typealias Option = SweepDeclaration
        profiles = try given.value(of: Option.profile)
        models = try given.value(of: Option.model)
        nodes = try given.value(of: Option.nodes)
        ranksPerNode = try given.value(of: Option.ranksPerNode)
        tokens = try given.value(of: Option.tokens)
        schemes = try given.value(of: Option.scheme)
        orderings = try given.value(of: Option.ordering)
        groupSizes = try given.value(of: Option.groupSize)
        proxyThreads = try given.value(of: Option.proxyThreads)
        zipfExponents = try given.value(of: Option.zipf)
        seed = try given.value(of: RunDeclaration.seed)
        threadCount = try given.value(of: PaperDeclaration.threads)
        let path = try given.value(of: Option.output)
        outputPath = path == "-" ? nil : path
    }
}

/// Declares `perseus simulate sweep`.
enum SweepDeclaration {
    // MARK: The grid, slowest axis first

    static let profile = CommandOption(
        "profile", .distinct(.profile), default: [KnownNames.profiles[0]],
        help: "Clusters that the virtual clock models.")
    static let model = CommandOption(
        "model", .names(noun: "model", of: KnownNames.models), default: [KnownNames.models[0]],
        help: "Published models: " + KnownNames.models.joined(separator: ", ") + ".")
    static let nodes = CommandOption(
        "nodes", .distinct(.integer(in: 1...16384)), default: [2, 4, 8],
        help: "Nodes of the cluster.")
    static let ranksPerNode = CommandOption(
        "ranks-per-node", .distinct(.integer(in: 1...16384)), default: [4],
        help: "Ranks that reach each other without the NIC.")
    static let tokens = CommandOption(
        "tokens", .distinct(.integer(in: 0...16_777_215)), default: [1024],
        help: "Tokens of each rank.")
    static let scheme = CommandOption(
        "scheme", .names(noun: "scheme", of: KnownNames.schemes), default: KnownNames.schemes,
        help: "Schemes to compare: " + KnownNames.schemes.joined(separator: ", ") + ".")
    static let ordering = CommandOption(
        "ordering", .names(noun: "ordering", of: KnownNames.orderings),
        absent: "each scheme's own",
        help: "Orderings forced on every scheme.")
    static let groupSize = CommandOption(
        "group-size", .distinct(.integer(in: 1...16384)), absent: "each scheme's own",
        help: "Puts per dispatch group of a decoupled scheme.")
    static let proxyThreads = CommandOption(
        "proxy-threads", .distinct(.integer(in: 1...256)), default: [1],
        help: "Proxies per rank; each owns its destinations.")
    static let zipf = CommandOption(
        "zipf", .distinct(.number("X", .atLeastZero)), default: [0],
        help: "Skews of the routing; 0 is uniform.")

    // MARK: Results

    static let output = CommandOption(
        "output", .file, absent: "the standard output",
        help: "A line of JSON for each point. Points that an existing file has are not run again.")

    static let command = CommandDeclaration(
        path: "perseus simulate sweep",
        summary: "modelled layer times for every combination of the given values",
        discussion: "Every list is an axis; the first one below varies slowest. A point that the "
            + "fabric cannot honour is a line with the reason. Interrupted with --output, the same "
            + "command goes on where it was; lines do not depend on --threads.",
        groups: [
            OptionGroup(
                title: "Grid",
                entries: [
                    profile.entry, model.entry, nodes.entry, ranksPerNode.entry, tokens.entry,
                    scheme.entry, ordering.entry, groupSize.entry, proxyThreads.entry, zipf.entry,
                ]),
            OptionGroup(
                title: "Execution",
                entries: [RunDeclaration.seed.entry, PaperDeclaration.threads.entry]),
            OptionGroup(title: "Results", entries: [output.entry]),
        ],
        examples: [
            CommandExample(
                purpose: "Every scheme on 2, 4 and 8 nodes, with a table at the end:",
                line: "perseus simulate sweep --output schemes.jsonl"),
            CommandExample(
                purpose: "How large the groups of the paper's system should be:",
                line: "perseus simulate sweep --scheme perseus --group-size 1,4,16,64"),
            CommandExample(
                purpose: "What skewed routing costs ours:",
                line: "perseus simulate sweep --scheme perseus-plus --zipf 0,0.5,1,1.5"),
        ])
}
