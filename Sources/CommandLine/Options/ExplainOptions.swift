// The values of `perseus simulate explain`.

import PerseusPrimitives

/// Everything `perseus simulate explain` was told: one layer on one cluster.
public struct ExplainOptions: Equatable, Sendable {
    /// A built-in name or a path.
    public var profile: String
    public var model: String
    public var nodeCount: Int
    public var ranksPerNode: Int
    /// Of each rank.
    public var tokenCount: Int
    public var scheme: String
    /// nil: the scheme's own.
    public var ordering: String?
    public var groupSize: Int?
    public var combineGroupSize: Int?
    public var proxyThreadCount: Int
    public var zipf: Double
    public var seed: UInt64
    /// nil: one per core.
    public var threadCount: Int?
    public var jsonPath: String?

    init(_ given: ParsedArguments) throws(PerseusError) {
        profile = try given.value(of: RunDeclaration.profile)
        model = try given.value(of: ExplainDeclaration.model)
        nodeCount = try given.value(of: ExplainDeclaration.nodes)
        ranksPerNode = try given.value(of: ExplainDeclaration.ranksPerNode)
        tokenCount = try given.value(of: ExplainDeclaration.tokens)
        scheme = try given.value(of: ExplainDeclaration.scheme)
        ordering = try given.value(of: ExplainDeclaration.ordering)
        groupSize = try given.value(of: RunDeclaration.groupSize)
        combineGroupSize = try given.value(of: RunDeclaration.combineGroupSize)
        proxyThreadCount = try given.value(of: RunDeclaration.proxyThreads)
        zipf = try given.value(of: RunDeclaration.zipf) ?? 0
        seed = try given.value(of: RunDeclaration.seed)
        threadCount = try given.value(of: PaperDeclaration.threads)
        jsonPath = try given.value(of: CommonOptions.json)
    }
}

/// Declares `perseus simulate explain`.
enum ExplainDeclaration {
    static let model = CommandOption(
        "model", .name(noun: "model", of: KnownNames.models), default: KnownNames.models[0],
        help: "The layer's shape: " + KnownNames.models.joined(separator: ", ") + ".")
    static let nodes = CommandOption(
        "nodes", .integer(in: 1...4096), default: 8, help: "Nodes of the cluster.")
    static let ranksPerNode = CommandOption(
        "ranks-per-node", .integer(in: 1...64), default: 4, help: "Ranks (GPUs) of one node.")
    static let tokens = CommandOption(
        "tokens", .integer(in: 1...1_048_576), default: 1024, help: "Tokens per rank.")
    static let scheme = CommandOption(
        "scheme", .name(noun: "scheme", of: KnownNames.schemes), default: "coupled",
        help: "The scheme to explain: " + KnownNames.schemes.joined(separator: ", ") + ".")
    static let ordering = CommandOption(
        "ordering", .name(noun: "ordering", of: KnownNames.orderings), absent: "the scheme's own",
        help: "Force how a signal stays behind its data: "
            + KnownNames.orderings.joined(separator: ", ") + ".")

    static let command = CommandDeclaration(
        path: "perseus simulate explain",
        summary: "where the time of one modelled layer goes, and which change would buy how much",
        discussion: "Follows the chain of waits that decided when the layer ended, and runs the "
            + "layer again with one thing changed at a time: what you can choose, and what single "
            + "costs of the cluster are worth.",
        groups: [
            OptionGroup(
                title: "Layer and cluster",
                entries: [
                    model.entry, nodes.entry, ranksPerNode.entry, tokens.entry,
                    RunDeclaration.profile.entry, RunDeclaration.zipf.entry,
                    RunDeclaration.seed.entry,
                ]),
            OptionGroup(
                title: "Communication",
                entries: [
                    scheme.entry, ordering.entry, RunDeclaration.groupSize.entry,
                    RunDeclaration.combineGroupSize.entry, RunDeclaration.proxyThreads.entry,
                ]),
            OptionGroup(
                title: "Options",
                entries: [PaperDeclaration.threads.entry, CommonOptions.json.entry]),
        ],
        examples: [
            CommandExample(
                purpose: "Why the vanilla layer is slow on 8 nodes:",
                line: "perseus simulate explain"),
            CommandExample(
                purpose: "The same with the paper's system, as JSON:",
                line: "perseus simulate explain --scheme perseus --json why.json"),
            CommandExample(
                purpose: "What is left with ours, on a cluster of your own:",
                line: "perseus simulate explain --scheme perseus-plus --profile my.profile"),
        ])
}
