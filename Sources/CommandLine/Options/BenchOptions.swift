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

    init(_ given: ParsedArguments) throws(PerseusError) {
        benchmark = given.command.name
        repetitionCount = try given.value(of: BenchDeclaration.repetitions)
        isQuick = given.isGiven(BenchDeclaration.quick)
        jsonPath = try given.value(of: CommonOptions.json)
    }
}

/// Declares `perseus bench` and its benchmarks.
enum BenchDeclaration {
    static let repetitions = CommandOption(
        "repetitions", .integer(in: 1...10_000), default: 11,
        help: "Repetitions of each contender and baseline; 8 or more give a fair median.")
    static let quick = CommandFlag(
        "quick", help: "Small sizes: proves that it runs, measures little.")

    static let command = CommandDeclaration(
        path: "perseus bench",
        summary: "measure one part against named baselines in the same process",
        discussion: "Contenders and baselines are interleaved, so that a noisy machine disturbs "
            + "them alike. Ratios are what to trust.",
        subcommands: [ring, proxy, PutSignalDeclaration.command, gemm, simulator],
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
            + "nanoseconds per command and the ratio to each baseline.")
    private static let proxy = benchmark(
        "proxy", summary: "the whole proxy loop, against the same loop in C",
        discussion: "Commands become work requests on a NIC that completes at once, under every "
            + "ordering. Prints nanoseconds per command.")
    private static let gemm = benchmark(
        "gemm", summary: "the expert kernels, against naive loops and the machine's peak",
        discussion: "Multiplies expert-shaped matrices with each SIMD variant of this machine. "
            + "Prints GFLOPS and the share of the measured peak.")

    private static let simulator = benchmark(
        "simulator", summary: "the simulator's event queue, against the same heap in C",
        discussion: "Every event that is handled makes another one, while a constant number waits. "
            + "Prints millions of events per second.")

    private static func benchmark(
        _ name: String, summary: String, discussion: String
    ) -> CommandDeclaration {
        CommandDeclaration(
            path: "perseus bench \(name)", summary: summary, discussion: discussion,
            groups: [
                OptionGroup(
                    title: "Options",
                    entries: [repetitions.entry, quick.entry, CommonOptions.json.entry])
            ],
            examples: [
                CommandExample(purpose: "Measure:", line: "perseus bench \(name)"),
                CommandExample(
                    purpose: "Measure longer and keep the numbers:",
                    line: "perseus bench \(name) --repetitions 51 --json \(name).json"),
                CommandExample(
                    purpose: "See that it works:", line: "perseus bench \(name) --quick"),
            ])
    }
}
