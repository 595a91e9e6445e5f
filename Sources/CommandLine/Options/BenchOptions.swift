// The values of `perseus bench ring|proxy|gemm|simulator`.

import PerseusPrimitives

/// Everything `perseus bench` was told.
public struct BenchOptions: Equatable, Sendable {
    /// One of `KnownNames.benchmarks`.
    public var benchmark: String
    /// Repetitions of each contender and each baseline, interleaved.
    public var repetitionCount: Int
    /// Smaller sizes: a smoke test rather than a measurement.
    public var isQuick: Bool
    public var jsonPath: String?
    /// Of `bench ring` and `bench gemm`: `cpu` or `cuda`.
    public var device: String
    /// Of `bench ring --device cuda`; nil where the benchmark chooses.
    public var ringCounts: [Int]?
    public var blockCounts: [Int]?
    public var warpCounts: [Int]?
    /// Of `bench gemm --device cuda`; nil where the benchmark chooses.
    public var models: [String]?
    public var tokenCounts: [Int]?
    public var deepSeekExpertCount: Int?

    init(_ given: ParsedArguments) throws(PerseusError) {
        benchmark = given.command.name
        device = try given.value(of: BenchDeclaration.device)
        // Runs on a GPU differ less than runs on a shared machine's cores, and a launch has many layers.
        let isShort = device == "cuda" && !given.isGiven(BenchDeclaration.repetitions)
        repetitionCount =
            isShort
            ? benchmark == "gemm" ? 3 : 5 : try given.value(of: BenchDeclaration.repetitions)
        isQuick = given.isGiven(BenchDeclaration.quick)
        jsonPath = try given.value(of: CommonOptions.json)
        ringCounts = try BenchOptions.list(BenchDeclaration.rings, given, device)
        blockCounts = try BenchOptions.list(BenchDeclaration.blocks, given, device)
        warpCounts = try BenchOptions.list(BenchDeclaration.warps, given, device)
        models = try BenchOptions.list(BenchDeclaration.models, given, device)
        tokenCounts = try BenchOptions.list(BenchDeclaration.tokens, given, device)
        deepSeekExpertCount = try BenchOptions.list(BenchDeclaration.experts, given, device)
    }

    private static func list<Value>(
        _ option: CommandOption<Value>, _ given: ParsedArguments, _ device: String
    ) throws(PerseusError) -> Value? {
        guard given.isGiven(option) else { return nil }
        guard device == "cuda" else {
            throw given.refusal("--\(option.name) needs --device cuda")
        }
        return try given.value(of: option)
    }
}

/// Declares `perseus bench` and its benchmarks.
enum BenchDeclaration {
    static let repetitions = CommandOption(
        "repetitions", .integer(in: 1...10_000), default: 11,
        help: "Repetitions of each contender and baseline; 8 or more give a fair median.")
    static let quick = CommandFlag(
        "quick", help: "Small sizes: proves that it runs, measures little.")
    static let device = CommandOption(
        "device", .name(noun: "device", of: ["cpu", "cuda"]), default: "cpu",
        help: "What is measured; cuda needs one H100 or H200.")
    static let rings = CommandOption(
        "rings", .integers("R[,R...]", in: 1...16), default: [1, 2, 4, 8],
        help: "With cuda: rings, each with a consumer thread while cores last.")
    static let blocks = CommandOption(
        "ctas", .integers("C[,C...]", in: 1...1024), default: [1, 32, 128, 132],
        help: "With cuda: producing CTAs; each uses one ring.")
    static let warps = CommandOption(
        "warps", .integers("W[,W...]", in: 1...32), default: [1, 8],
        help: "With cuda: warps of a CTA.")
    static let models = CommandOption(
        "model", .names(noun: "model", of: KnownNames.models), default: KnownNames.models,
        help: "With cuda: published shapes, " + KnownNames.models.joined(separator: ", ")
            + "; routed experts alone.")
    static let tokens = CommandOption(
        "tokens", .distinct(.integer("S", in: 1...1 << 20)), default: [128, 1024, 4096, 16384],
        help: "With cuda: tokens of the layer.")
    static let experts = CommandOption(
        "experts-limit", .integer(in: 8...256), default: 32,
        help: "With cuda: experts of deepseek-v3 that are kept; 32 are one of eight ranks'.")

    static let command = CommandDeclaration(
        path: "perseus bench",
        summary: "measure one part against named baselines in the same process",
        discussion: "Contenders and baselines are interleaved, so that a noisy machine disturbs "
            + "them alike. Ratios are what to trust.",
        subcommands: [
            ring, proxy, PutSignalDeclaration.command, gemm, LayerBenchDeclaration.command,
            simulator,
        ],
        examples: [
            CommandExample(purpose: "The command ring:", line: "perseus bench ring"),
            CommandExample(
                purpose: "The proxy loop, kept as JSON:",
                line: "perseus bench proxy --json proxy.json"),
            CommandExample(
                purpose: "A quick look at the expert kernels:", line: "perseus bench gemm --quick"),
        ])

    private static let ring = benchmark(
        "ring", summary: "push and drain commands, against C rings and a locked queue",
        discussion: "One consumer and one or more producers exchange 16-byte commands. Prints "
            + "nanoseconds per command and the ratio to each baseline. With --device cuda a GPU "
            + "pushes to pinned threads: commands per second, round trip, cost of a fence.",
        entries: [device.entry, rings.entry, blocks.entry, warps.entry],
        longExample: CommandExample(
            purpose: "From a GPU, and keep the numbers:",
            line: "perseus bench ring --device cuda --json ring.json"))
    private static let proxy = benchmark(
        "proxy", summary: "the whole proxy loop, against the same loop in C",
        discussion: "Commands become work requests on a NIC that completes at once, under every "
            + "ordering. Prints nanoseconds per command.")
    private static let gemm = benchmark(
        "gemm", summary: "the expert kernels, against naive loops and the machine's peak",
        discussion: "Multiplies expert-shaped matrices with each SIMD variant of this machine. "
            + "Prints GFLOPS and the share of the measured peak. With --device cuda the megakernel "
            + "multiplies the experts of published models, alone and in the whole layer, against "
            + "the largest product of cuBLAS (PERSEUS_CUBLAS names the library or its folder) and "
            + "the floor that products and weights set.",
        entries: [device.entry, models.entry, tokens.entry, experts.entry],
        longExample: CommandExample(
            purpose: "On a GPU, and keep the numbers:",
            line: "perseus bench gemm --device cuda --json gemm.json"))

    private static let simulator = benchmark(
        "simulator", summary: "the simulator's event queue, against the same heap in C",
        discussion: "Every event that is handled makes another one, while a constant number waits. "
            + "Prints millions of events per second.")

    private static func benchmark(
        _ name: String, summary: String, discussion: String, entries: [OptionEntry] = [],
        longExample: CommandExample? = nil
    ) -> CommandDeclaration {
        CommandDeclaration(
            path: "perseus bench \(name)", summary: summary, discussion: discussion,
            groups: [
                OptionGroup(
                    title: "Options",
                    entries: entries + [repetitions.entry, quick.entry, CommonOptions.json.entry])
            ],
            examples: [
                CommandExample(purpose: "Measure:", line: "perseus bench \(name)"),
                longExample
                    ?? CommandExample(
                        purpose: "Measure longer and keep the numbers:",
                        line: "perseus bench \(name) --repetitions 51 --json \(name).json"),
                CommandExample(
                    purpose: "See that it works:", line: "perseus bench \(name) --quick"),
            ])
    }
}
