// The values of `perseus bench layer`.

import PerseusPrimitives

/// Everything `perseus bench layer` was told.
public struct LayerBenchOptions: Equatable, Sendable {
    public var device: String
    public var models: [String]
    /// Tokens of each rank; nil where the benchmark chooses, as for the other lists.
    public var tokenCounts: [Int]?
    public var rankCounts: [Int]
    public var ranksPerNode: Int
    /// Built-in names or paths.
    public var profiles: [String]
    public var schemes: [String]
    public var repetitionCount: Int
    public var seed: UInt64
    public var isQuick: Bool
    /// Whether `--model` was given: a quick run takes one model where it was not.
    public var modelsAreGiven: Bool
    public var jsonPath: String?

    init(_ given: ParsedArguments) throws(PerseusError) {
        device = try given.value(of: LayerBenchDeclaration.device)
        models = try given.value(of: LayerBenchDeclaration.models)
        modelsAreGiven = given.isGiven(LayerBenchDeclaration.models)
        tokenCounts =
            given.isGiven(LayerBenchDeclaration.tokens)
            ? try given.value(of: LayerBenchDeclaration.tokens) : nil
        rankCounts = try given.value(of: LayerBenchDeclaration.ranks)
        ranksPerNode = try given.value(of: LayerBenchDeclaration.ranksPerNode)
        profiles = try given.value(of: LayerBenchDeclaration.profiles)
        schemes = try given.value(of: LayerBenchDeclaration.schemes)
        repetitionCount = try given.value(of: LayerBenchDeclaration.repetitions)
        seed = try given.value(of: RunDeclaration.seed)
        isQuick = given.isGiven(BenchDeclaration.quick)
        jsonPath = try given.value(of: CommonOptions.json)
    }
}

/// Declares `perseus bench layer`.
enum LayerBenchDeclaration {
    static let device = CommandOption(
        "device", .name(noun: "device", of: ["cuda"]), default: "cuda",
        help: "What runs the layers: one H100 or H200; perseus run compares schemes on a CPU.")
    static let models = CommandOption(
        "model", .names(noun: "model", of: KnownNames.models), default: KnownNames.models,
        help: "Published shapes with random weights: " + KnownNames.models.joined(separator: ", ")
            + ".")
    static let tokens = CommandOption(
        "tokens", .distinct(.integer("S", in: 1...1 << 20)), default: [256, 1024, 4096, 16384],
        help: "Tokens of each rank.")
    static let ranks = CommandOption(
        "ranks", .distinct(.integer("R", in: 1...64)), default: [8],
        help: "Ranks that share the GPU.")
    static let ranksPerNode = CommandOption(
        "ranks-per-node", .integer(in: 1...64), default: 1,
        help: "Ranks that reach each other without the NIC.")
    static let profiles = CommandOption(
        "profile", .distinct(.profile), default: ["perlmutter-slingshot11", "h100-connectx7"],
        help: "Clusters whose NICs are emulated, built-in or files.")
    static let schemes = CommandOption(
        "scheme", .names(noun: "scheme", of: KnownNames.schemes), default: KnownNames.schemes,
        help: "What is compared; what the device or the fabric cannot carry is left out with a "
            + "note.")
    static let repetitions = CommandOption(
        "repetitions", .integer(in: 1...1000), default: 2,
        help: "Launches of each scheme at each point, by turns; a launch has several layers.")

    static let command = CommandDeclaration(
        path: "perseus bench layer",
        summary: "whole layers on a GPU under every scheme, against coupled",
        discussion:
            "Runs layers back to back in one persistent kernel, with emulated NICs, for all "
            + "models, sizes, ranks and profiles in one process. Prints the median layer, its "
            + "speed-up over coupled, the paper's where it reports one, and how much of the time "
            + "the multiplication alone would take.",
        groups: [
            OptionGroup(
                title: "Points",
                entries: [
                    models.entry, tokens.entry, ranks.entry, ranksPerNode.entry, profiles.entry,
                    schemes.entry,
                ]),
            OptionGroup(
                title: "Options",
                entries: [
                    device.entry, repetitions.entry, RunDeclaration.seed.entry,
                    BenchDeclaration.quick.entry, CommonOptions.json.entry,
                ]),
        ],
        examples: [
            CommandExample(
                purpose: "Everything, and keep the numbers:",
                line: "perseus bench layer --device cuda --json layer.json"),
            CommandExample(
                purpose: "One model on the paper's fabric:",
                line: "perseus bench layer --model qwen3-30b --profile perlmutter-slingshot11"),
            CommandExample(
                purpose: "See that it works:", line: "perseus bench layer --quick"),
        ])
}
