// Every name that a person may type as a value, in the order in which help and `all` list them.

/// The closed lists of the command line; the executable maps each name to a type.
public enum KnownNames {
    /// Published models whose true shapes `--model` knows.
    public static let models = ["qwen3-30b", "gpt-oss-120b", "deepseek-v3", "llama4-scout"]

    /// Named combinations of path, signaling and ordering, baselines first.
    public static let schemes = [
        "collective", "coupled", "decoupled", "nic-ordered", "perseus", "gpu-direct",
        "perseus-plus",
    ]

    /// Ways to keep a signal behind its group's data.
    public static let orderings = [
        "drain-all", "drain-peer", "fence-flag", "in-order", "provider-order", "counted-immediate",
        "immediate-last", "atomic",
    ]

    /// No ordering at all: wrong on purpose, so only together with `--unproven`.
    public static let noOrdering = "none"

    /// What can carry a litmus test.
    public static let fabrics =
        ["softnic"]
        + ["tcp", "shm", "sockets", "udp", "net", "efa", "cxi", "verbs"].map { "libfabric:\($0)" }

    public static let clocks = ["virtual", "real"]
    public static let devices = ["cpu", "cuda"]
    public static let launches = ["in-process", "processes"]
    public static let computes = ["real", "modelled"]
    public static let verifications = ["reference", "none"]

    /// Built-in clusters of the cost model.
    public static let profiles = [
        "perlmutter-slingshot11", "h100-connectx7", "roce-adaptive", "efa-srd", "ideal",
        "h100-connectx7-one-qp",
    ]

    /// What `perseus bench` can measure.
    public static let benchmarks = ["ring", "proxy", "gemm", "simulator"]
}
