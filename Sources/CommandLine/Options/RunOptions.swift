// The values of `perseus run`, and the rules between them.

import PerseusPrimitives

/// Where the layer's weights and shape come from.
public enum LayerSource: Equatable, Sendable {
    /// Random weights with the true shapes of a published model.
    case model(String)
    /// A published `config.json` and the safetensors files beside it.
    case files(config: String, weights: [String])
    /// A directory in the published layout.
    case directory(String)
}

/// How many tokens each rank holds at the start.
public enum TokenCounts: Equatable, Sendable {
    case everyRank(Int)
    /// One count per rank, zeros allowed.
    case perRank([Int])

    /// Tokens of `rank`.
    public func count(ofRank rank: Int) -> Int {
        switch self {
        case .everyRank(let count): count
        case .perRank(let counts): counts[rank]
        }
    }
}

/// Everything `perseus run` was told; names stay text and are known to be in `KnownNames`.
public struct RunOptions: Equatable, Sendable {
    // The layer.
    public var layer: LayerSource
    /// Layer of the checkpoint; nil chooses its first MoE layer.
    public var layerIndex: Int?
    public var inputPath: String?
    public var outputPath: String?
    public var seed: UInt64

    // The cluster.
    public var rankCount: Int
    /// False when `--ranks` was absent, so that a launcher may decide.
    public var ranksAreGiven: Bool
    public var ranksPerNode: Int
    public var tokens: TokenCounts
    /// False when `--tokens` was absent, so that an input file may decide.
    public var tokensAreGiven: Bool
    /// Bytes of one rank's arenas; nil fits the worst case, less means rounds.
    public var heapLimitByteCount: Int?
    /// A built-in name, or the path of a file.
    public var profile: String

    // How it communicates.
    /// At least one, in the order in which they run.
    public var schemes: [String]
    /// Forces one ordering on every scheme that has a choice; nil leaves each its own.
    public var ordering: String?
    /// Whether an ordering without a met obligation may run.
    public var allowsUnproven: Bool
    /// Puts per dispatch group; nil is each scheme's default: one destination.
    public var groupSize: Int?
    /// Blocks per combine group; nil is each scheme's default.
    public var combineGroupSize: Int?
    public var proxyThreadCount: Int

    // How it executes.
    public var device: String
    /// Layers of one launch, and launches, on a device.
    public var layerCount: Int
    public var repeatCount: Int
    /// Nil leaves it to the environment.
    public var launch: String?
    public var clock: String
    /// False when `--clock` was absent.
    public var clockIsGiven: Bool
    /// Worker threads of the real clock; nil is one per core.
    public var threadCount: Int?
    public var compute: String
    /// Skew of the modelled routing; nil is uniform.
    public var zipfExponent: Double?
    public var faultPlan: String?
    public var deadlineMilliseconds: Int

    // What it checks and writes.
    public var verification: String
    public var verifiedTokenCount: Int
    public var jsonPath: String?
    public var tracePath: String?

    /// Whose time is told: `virtual`, `real`, or `device` for the GPU's own.
    public var clockName: String { device == "cuda" ? "device" : clock }
    /// Time is measured and not modelled.
    public var isMeasured: Bool { clockName != "virtual" }

    /// Reads the words behind `perseus run`.
    public init(parsing words: [String]) throws(PerseusError) {
        try self.init(ParsedArguments(words[...], for: RunDeclaration.command))
    }

    init(_ given: ParsedArguments) throws(PerseusError) {
        typealias Option = RunDeclaration
        layer = try RunOptions.layer(given)
        layerIndex = try given.value(of: Option.layerIndex)
        inputPath = try given.value(of: Option.input)
        outputPath = try given.value(of: Option.output)
        seed = try given.value(of: Option.seed)
        rankCount = try given.value(of: Option.ranks)
        ranksAreGiven = given.isGiven(Option.ranks)
        ranksPerNode = try given.value(of: Option.ranksPerNode)
        tokens = try RunOptions.tokens(given, rankCount: rankCount)
        tokensAreGiven = given.isGiven(Option.tokens)
        heapLimitByteCount = try given.value(of: Option.heapLimit)
        profile = try given.value(of: Option.profile)
        schemes = try given.value(of: Option.scheme)
        ordering = try given.value(of: Option.ordering)
        allowsUnproven = given.isGiven(Option.unproven)
        groupSize = try given.value(of: Option.groupSize)
        combineGroupSize = try given.value(of: Option.combineGroupSize)
        proxyThreadCount = try given.value(of: Option.proxyThreads)
        device = try given.value(of: Option.device)
        layerCount = try given.value(of: Option.layers)
        repeatCount = try given.value(of: Option.repeats)
        launch = try given.value(of: Option.launch)
        clock = try given.value(of: Option.clock)
        clockIsGiven = given.isGiven(Option.clock)
        threadCount = try given.value(of: Option.threads)
        compute = try given.value(of: Option.compute)
        zipfExponent = try given.value(of: Option.zipf)
        faultPlan = try given.value(of: Option.faults)
        deadlineMilliseconds = try given.value(of: Option.deadline)
        verification = try given.value(of: Option.verify)
        verifiedTokenCount = try given.value(of: Option.verifyTokens)
        jsonPath = try given.value(of: Option.json)
        tracePath = try given.value(of: Option.trace)
        try settleExecution(given)
    }

    private static func layer(_ given: ParsedArguments) throws(PerseusError) -> LayerSource {
        typealias Option = RunDeclaration
        let config = try given.value(of: Option.config)
        let weights = try given.value(of: Option.weights)
        let directory = try given.value(of: Option.modelDirectory)
        if given.isGiven(Option.model) {
            for (isGiven, name) in [
                (directory != nil, "model-dir"), (config != nil, "config"),
                (weights != nil, "weights"),
            ] where isGiven {
                throw given.refusal(
                    "--model makes random weights and --\(name) reads published ones; give one")
            }
        }
        if let directory {
            guard config == nil, weights == nil else {
                throw given.refusal("--model-dir replaces --config and --weights; give one")
            }
            return .directory(directory)
        }
        if let config {
            guard let weights else { throw given.refusal("--config needs --weights") }
            return .files(config: config, weights: weights)
        }
        guard weights == nil else { throw given.refusal("--weights needs --config") }
        guard !given.isGiven(Option.layerIndex) else {
            throw given.refusal("--layer-index needs a checkpoint: --config or --model-dir")
        }
        return .model(try given.value(of: Option.model))
    }

    private static func tokens(
        _ given: ParsedArguments, rankCount: Int
    ) throws(PerseusError) -> TokenCounts {
        let counts = try given.value(of: RunDeclaration.tokens)
        if counts.count == 1 { return .everyRank(counts[0]) }
        guard counts.count == rankCount else {
            throw given.refusal(
                "--tokens lists \(counts.count) counts for \(rankCount) ranks; "
                    + "give one count, or one per rank")
        }
        return .perRank(counts)
    }

    /// Rules between ordering, clock, compute and verification.
    private mutating func settleExecution(_ given: ParsedArguments) throws(PerseusError) {
        typealias Option = RunDeclaration
        if ordering == KnownNames.noOrdering, !allowsUnproven {
            throw given.refusal("--ordering none breaks the layer on purpose; add --unproven")
        }
        if launch == "processes" { try settleProcesses() }
        if clock == "virtual", given.isGiven(Option.threads) {
            throw given.refusal("--threads needs --clock real: the virtual clock has one thread")
        }
        if device == "cuda" {
            try settleDevice(given)
        } else if layerCount > 1 || repeatCount > 1 {
            throw given.refusal("--layers and --repeats need --device cuda")
        }
        if compute == "modelled" {
            try settleModelledCompute(given)
        } else if given.isGiven(Option.zipf) {
            throw given.refusal(
                "--zipf needs --compute modelled: real tokens are routed by the model")
        }
        if verification == "none", given.isGiven(Option.verifyTokens) {
            throw given.refusal("--verify-tokens has nothing to do when nothing is verified")
        }
    }

    /// Each rank is a process: there is no common virtual time, and no device yet.
    ///
    /// - Errors: `badInput` for options that ask for these.
    public mutating func settleProcesses() throws(PerseusError) {
        func refusal(_ text: String) -> PerseusError {
            PerseusError(.badInput, "\(RunDeclaration.command.path): \(text)")
        }
        if clockIsGiven, clock == "virtual" {
            throw refusal(
                "--clock virtual is one thread's: ranks that are processes run in real time")
        }
        if device != "cpu" {
            throw refusal(
                "--device \(device) runs all ranks in one process; not with --launch processes")
        }
        clock = "real"
    }

    /// What every rank must have been told alike, by option.
    public var agreement: [(name: String, value: String)] {
        func text(_ value: Int?) -> String { value.map(String.init) ?? "absent" }
        return [
            ("--layer-index", text(layerIndex)), ("--seed", String(seed)),
            ("--ranks-per-node", String(ranksPerNode)), ("--heap-limit", text(heapLimitByteCount)),
            ("--scheme", schemes.joined(separator: ",")), ("--ordering", ordering ?? "absent"),
            ("--unproven", String(allowsUnproven)), ("--group-size", text(groupSize)),
            ("--combine-group-size", text(combineGroupSize)),
            ("--proxy-threads", String(proxyThreadCount)), ("--compute", compute),
            ("--zipf", zipfExponent.map { "\($0)" } ?? "absent"),
            ("--faults", faultPlan ?? "absent"), ("--deadline", String(deadlineMilliseconds)),
        ]
    }

    /// On a device there is one clock, and nobody looks over the roles' shoulders.
    private func settleDevice(_ given: ParsedArguments) throws(PerseusError) {
        typealias Option = RunDeclaration
        for (isGiven, name) in [
            (given.isGiven(Option.clock), "clock"), (given.isGiven(Option.threads), "threads"),
            (compute == "modelled", "compute modelled"), (tracePath != nil, "trace"),
        ] where isGiven {
            throw given.refusal("--\(name) has no meaning with --device cuda")
        }
    }

    /// Modelled compute moves no numbers: nothing can be verified or written.
    private mutating func settleModelledCompute(_ given: ParsedArguments) throws(PerseusError) {
        if given.isGiven(RunDeclaration.verify), verification == "reference" {
            throw given.refusal("--verify reference needs --compute real: modelled has no output")
        }
        if outputPath != nil {
            throw given.refusal("--output needs --compute real: modelled has no output")
        }
        verification = "none"
    }
}
