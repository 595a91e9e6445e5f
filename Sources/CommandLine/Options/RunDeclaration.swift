// The options of `perseus run` as a person sees them, one declaration each.

/// Declares `perseus run`; `RunOptions` reads the values.
enum RunDeclaration {
    // MARK: The layer

    static let model = CommandOption(
        "model", .name(noun: "model", of: KnownNames.models), default: "qwen3-30b",
        help: "Random weights from --seed with the true shapes of a published model: "
            + spoken(KnownNames.models) + ".")
    static let config = CommandOption(
        "config", .file,
        help: "A published config.json; needs --weights.")
    static let weights = CommandOption(
        "weights", .files,
        help: "Published safetensors files that hold the layer.")
    static let modelDirectory = CommandOption(
        "model-dir", .text("DIR"),
        help: "A directory in the published layout, instead of --config and --weights.")
    static let layerIndex = CommandOption(
        "layer-index", .integer(in: 0...9999), absent: "the first MoE layer",
        help: "Which layer of the checkpoint.")
    static let input = CommandOption(
        "input", .file, absent: "random tokens from --seed",
        help: "A safetensors file with hidden_states [tokens, hidden]; topk_ids and topk_weights "
            + "in it replace the router.")
    static let output = CommandOption(
        "output", .file,
        help: "Write output [tokens, hidden] F32, topk_ids I32 and topk_weights F32 as safetensors."
    )
    static let seed = CommandOption(
        "seed", .seed, default: 1,
        help: "Everything random comes from it, decimal or 0x hexadecimal.")

    // MARK: The cluster

    static let ranks = CommandOption(
        "ranks", .integer(in: 1...16384), default: 8,
        help: "Ranks that share the experts, 1 to 16384.")
    static let ranksPerNode = CommandOption(
        "ranks-per-node", .integer(in: 1...16384), default: 1,
        help: "Ranks that reach each other without the NIC.")
    /// A rank's rows are counted in 24 bits of a signal word.
    static let tokens = CommandOption(
        "tokens", .integers("N[,N...]", in: 0...16_777_215), default: [64],
        help: "Tokens per rank, or one count for each rank; 0 is a fine count.")
    static let heapLimit = CommandOption(
        "heap-limit", .size(), absent: "the worst case",
        help: "Arena bytes per rank, such as 64M or 2GiB; less than the worst case means rounds.")
    static let profile = CommandOption(
        "profile", .profile, default: KnownNames.profiles[0],
        help: "The cluster that the virtual clock models: "
            + KnownNames.profiles.joined(separator: ", ") + ", or a file like those that "
            + "perseus simulate profile prints.")

    // MARK: Communication

    static let scheme = CommandOption(
        "scheme", .names(noun: "scheme", of: KnownNames.schemes), default: KnownNames.schemes,
        help: "What to run and compare: " + spoken(KnownNames.schemes) + ".")
    static let ordering = CommandOption(
        "ordering",
        .name(noun: "ordering", of: KnownNames.orderings + [KnownNames.noOrdering]),
        absent: "each scheme's own",
        help: "Force how a signal stays behind its data: " + spoken(KnownNames.orderings)
            + "; none only with --unproven.")
    static let unproven = CommandFlag(
        "unproven",
        help: "Allow an ordering that the transport does not promise.")
    static let groupSize = CommandOption(
        "group-size", .integer("G", in: 1...16384), absent: "each scheme's own",
        help: "Puts per dispatch group of a decoupled scheme.")
    static let combineGroupSize = CommandOption(
        "combine-group-size", .integer("G", in: 1...16384), absent: "each scheme's own",
        help: "Blocks per combine group of a decoupled scheme.")
    static let proxyThreads = CommandOption(
        "proxy-threads", .integer("T", in: 1...256), default: 1,
        help: "Proxies per rank; each owns its destinations.")

    // MARK: Execution

    static let device = CommandOption(
        "device", .name(noun: "device", of: KnownNames.devices), default: "cpu",
        help:
            "cuda runs the layer in one persistent kernel on a Hopper GPU: all ranks share it, and their "
            + "NICs are emulated; its time is measured.")
    static let layers = CommandOption(
        "layers", .integer(in: 1...100_000), default: 1,
        help: "With --device cuda: layers back to back in one launch; the time is their median.")
    static let repeats = CommandOption(
        "repeats", .integer(in: 1...100_000), default: 1,
        help:
            "With --device cuda: launches, each on poisoned memory with other jitter, whose outputs must be "
            + "bitwise equal.")
    static let launch = CommandOption(
        "launch", .name(noun: "launch", of: KnownNames.launches),
        absent: "in-process, or as the launcher says that started this process",
        help:
            "processes runs every rank as a process of its own on this machine, on the real clock, with shared "
            + "memory between the soft NICs; --threads are then each rank's.")
    static let clock = CommandOption(
        "clock", .name(noun: "clock", of: KnownNames.clocks), default: "virtual",
        help: "virtual charges every step its modelled time and gives the same bytes for the same "
            + "seed; real measures threads of this machine.")
    static let threads = CommandOption(
        "threads", .integer(in: 1...4096), absent: "one per core",
        help: "Worker threads of the real clock.")
    static let compute = CommandOption(
        "compute", .name(noun: "compute", of: KnownNames.computes), default: "real",
        help: "real multiplies; modelled only charges the time, for large clusters.")
    static let zipf = CommandOption(
        "zipf", .number("X", .atLeastZero), absent: "uniform",
        help: "Skew of the routing with --compute modelled.")
    static let faults = CommandOption(
        "faults", .text("PLAN"), absent: "none",
        help: "Faults that the soft NIC injects, such as delays, errors or a dead rank.")
    static let deadline = CommandOption(
        "deadline", .integer("MS", in: 1...86_400_000), default: 30_000,
        help: "Milliseconds that any wait may take before it is an error.")

    // MARK: Results

    static let verify = CommandOption(
        "verify", .name(noun: "verification", of: KnownNames.verifications), default: "reference",
        help: "Compare with a float64 reference layer; modelled compute verifies nothing.")
    static let verifyTokens = CommandOption(
        "verify-tokens", .integer(in: 1...16_777_215), default: 16,
        help: "Tokens that the reference layer recomputes.")
    static let json = CommonOptions.json
    static let trace = CommandOption(
        "trace", .file,
        help: "Write a timeline for ui.perfetto.dev.")

    static let command = CommandDeclaration(
        path: "perseus run",
        summary: "run one MoE layer over many ranks and compare schemes",
        discussion: "Routes tokens, sends them to the ranks that own their experts, multiplies, "
            + "sends the results back and combines them, once per scheme. Needs no GPU and no NIC. "
            + "The output is bitwise equal for every scheme and number of ranks.",
        groups: [
            OptionGroup(
                title: "Layer",
                entries: [
                    model.entry, config.entry, weights.entry, modelDirectory.entry,
                    layerIndex.entry, input.entry, output.entry, seed.entry,
                ]),
            OptionGroup(
                title: "Cluster",
                entries: [
                    ranks.entry, ranksPerNode.entry, tokens.entry, heapLimit.entry, profile.entry,
                ]),
            OptionGroup(
                title: "Communication",
                entries: [
                    scheme.entry, ordering.entry, unproven.entry, groupSize.entry,
                    combineGroupSize.entry, proxyThreads.entry,
                ]),
            OptionGroup(
                title: "Execution",
                entries: [
                    device.entry, layers.entry, repeats.entry, launch.entry, clock.entry,
                    threads.entry,
                    compute.entry, zipf.entry, faults.entry,
                    deadline.entry,
                ]),
            OptionGroup(
                title: "Results",
                entries: [verify.entry, verifyTokens.entry, json.entry, trace.entry]),
        ],
        examples: [
            CommandExample(
                purpose: "Compare every scheme on eight ranks:", line: "perseus run"),
            CommandExample(
                purpose:
                    "A layer of a downloaded checkpoint, each rank a process, its output kept:",
                line: "perseus run --model-dir Qwen3-30B-A3B --layer-index 3 --launch processes "
                    + "--output out.st"),
            CommandExample(
                purpose: "The paper's system against ours on 16 nodes of 4 GPUs, timing only:",
                line: "perseus run --ranks 64 --ranks-per-node 4 --compute modelled "
                    + "--scheme perseus,perseus-plus"),
        ])

    /// `a, b or c`.
    private static func spoken(_ names: [String]) -> String {
        names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
    }
}
