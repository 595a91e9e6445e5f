// The values of `perseus bench put-signal`.

import PerseusPrimitives

/// Everything `perseus bench put-signal` was told.
public struct PutSignalOptions: Equatable, Sendable {
    public var concurrencies: [Int]
    /// Bytes of one transfer.
    public var byteCounts: [Int]
    public var nodeCounts: [Int]
    public var ranksPerNode: Int
    /// A built-in name or a path.
    public var profile: String
    public var schemes: [String]
    /// `virtual`, `real` or `both`.
    public var clock: String
    /// `one` or `all`.
    public var senders: String
    public var proxyThreadCount: Int
    /// Of the real clock; nil: one per core.
    public var threadCount: Int?
    public var repetitionCount: Int
    public var isQuick: Bool
    public var jsonPath: String?
    /// `cpu` or `cuda`.
    public var device: String

    init(_ given: ParsedArguments) throws(PerseusError) {
        concurrencies = try given.value(of: PutSignalDeclaration.concurrency)
        byteCounts = try given.value(of: PutSignalDeclaration.bytes)
        nodeCounts = try given.value(of: PutSignalDeclaration.nodes)
        ranksPerNode = try given.value(of: PutSignalDeclaration.ranksPerNode)
        profile = try given.value(of: RunDeclaration.profile)
        schemes = try given.value(of: PutSignalDeclaration.scheme)
        clock = try given.value(of: PutSignalDeclaration.clock)
        senders = try given.value(of: PutSignalDeclaration.senders)
        proxyThreadCount = try given.value(of: RunDeclaration.proxyThreads)
        threadCount = try given.value(of: RunDeclaration.threads)
        device = try given.value(of: PutSignalDeclaration.device)
        // A launch has many rounds.
        let isShort = device == "cuda" && !given.isGiven(BenchDeclaration.repetitions)
        repetitionCount = isShort ? 3 : try given.value(of: BenchDeclaration.repetitions)
        isQuick = given.isGiven(BenchDeclaration.quick)
        jsonPath = try given.value(of: CommonOptions.json)
        guard device == "cuda" else { return }
        if given.isGiven(PutSignalDeclaration.clock) {
            throw given.refusal("--clock is for the CPU: with --device cuda time is the GPU's")
        }
        if given.isGiven(RunDeclaration.threads) {
            throw given.refusal("--threads is for the CPU: with --device cuda one thread serves")
        }
        if senders == "all" {
            throw given.refusal("--senders all: with --device cuda rank 0 alone sends")
        }
    }
}

/// Declares `perseus bench put-signal`.
enum PutSignalDeclaration {
    static let concurrency = CommandOption(
        "concurrency", .integers("C[,C...]", in: 1...65536), default: [96],
        help: "Transfers that a sender has in flight.")
    static let bytes = CommandOption(
        "bytes", .integers("B[,B...]", in: 16...16_777_200), default: [4096],
        help: "Bytes of one transfer, a multiple of 16.")
    static let nodes = CommandOption(
        "nodes", .integers("N[,N...]", in: 2...4096), default: [2, 8],
        help: "Nodes; transfers go to ranks of other nodes.")
    static let ranksPerNode = CommandOption(
        "ranks-per-node", .integer(in: 1...64), default: 4, help: "Ranks of one node.")
    static let scheme = CommandOption(
        "scheme", .names(noun: "scheme", of: schemes), default: schemes,
        help: "What is compared with puts alone: " + schemes.joined(separator: ", ") + ".")
    static let clock = CommandOption(
        "clock", .name(noun: "clock", of: ["virtual", "real", "both"]), default: "virtual",
        help: "virtual models the time; real measures the proxies on this machine, over a soft NIC "
            + "that takes as long as the profile says; both shows how far they agree.")
    static let senders = CommandOption(
        "senders", .name(noun: "choice of senders", of: ["one", "all"]), default: "one",
        help: "Rank 0 alone, or every rank at the same time.")

    static let device = CommandOption(
        "device", .name(noun: "device", of: KnownNames.devices), default: "cpu",
        help: "cuda: blocks of an H100 or H200 push, and bytes move on it; time is measured.")

    /// Bulk all-to-all has no put with signal of its own.
    private static let schemes = KnownNames.schemes.filter { $0 != "collective" }

    static let command = CommandDeclaration(
        path: "perseus bench put-signal",
        summary: "concurrent puts alone against puts with signals, under each scheme",
        discussion: "What a signal costs: a sender pushes its transfers through the production "
            + "rings, proxies and orderings onto the soft NIC, once without and once with signals. "
            + "No bytes are moved, except on a GPU.",
        groups: [
            OptionGroup(
                title: "Transfers",
                entries: [
                    concurrency.entry, bytes.entry, nodes.entry, ranksPerNode.entry, senders.entry,
                ]),
            OptionGroup(
                title: "Options",
                entries: [
                    device.entry, scheme.entry, RunDeclaration.profile.entry,
                    RunDeclaration.proxyThreads.entry, clock.entry, RunDeclaration.threads.entry,
                    BenchDeclaration.repetitions.entry,
                    BenchDeclaration.quick.entry, CommonOptions.json.entry,
                ]),
        ],
        examples: [
            CommandExample(
                purpose: "The paper's case, 96 transfers of 4 KB on 2 and 8 nodes:",
                line: "perseus bench put-signal"),
            CommandExample(
                purpose: "By size and concurrency, pushed by a GPU:",
                line: "perseus bench put-signal --device cuda --concurrency 1,8,32,128 "
                    + "--bytes 4096,65536"),
            CommandExample(
                purpose: "The model against this machine:",
                line: "perseus bench put-signal --nodes 2 --ranks-per-node 1 --clock both"),
        ])
}
