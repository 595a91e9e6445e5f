// What `perseus run` reports: one object per scheme, and the settings that they share.

import PerseusPrimitives

/// The report of `perseus run`.
public typealias RunReport = Report<RunContext, RunResult>

/// The settings of a run: with a virtual clock, everything that decides the results and nothing
/// else.
public struct RunContext: Codable, Equatable, Sendable {
    public var version = perseusVersion
    /// Name of the model, or the path of the checkpoint.
    public var model: String
    @Nullable public var layerIndex: Int?
    public var seed: UInt64
    public var ranks: Int
    public var ranksPerNode: Int
    /// Tokens of each rank, or the one count that all share.
    public var tokensPerRank: [Int]
    /// The profile's own name, which the runner fills in where `--profile` is a path.
    public var profile: String
    /// Values by key of a profile that is not built in; left out of a report on one that is.
    public var profileValues: [String: String]?
    /// `virtual`, `real`, or `device`: the GPU's own.
    public var clock: String
    /// `processes` where each rank was one; left out otherwise.
    public var launch: String?
    public var compute: String
    public var verification: String
    @Nullable public var faults: String?
    public var proxyThreads: Int
    // Null is each scheme's default.
    @Nullable public var forcedOrdering: String?
    @Nullable public var groupSize: Int?
    @Nullable public var combineGroupSize: Int?
    @Nullable public var heapLimitBytes: Int?
    @Nullable public var zipfExponent: Double?
    /// Shape of the layer; 0 until the runner fills it in.
    public var hidden = 0
    public var intermediate = 0
    public var experts = 0
    public var topK = 0
    /// The machine, where time is measured: a virtual run has the same bytes on every machine.
    public var machine: MachineContext?

    public init(_ options: RunOptions, machine: MachineContext? = nil) {
        switch options.layer {
        case .model(let name): model = name
        case .files(let config, _): model = config
        case .directory(let path): model = path
        }
        seed = options.seed
        ranks = options.rankCount
        ranksPerNode = options.ranksPerNode
        switch options.tokens {
        case .everyRank(let count): tokensPerRank = [count]
        case .perRank(let counts): tokensPerRank = counts
        }
        profile = options.profile
        clock = options.clockName
        compute = options.compute
        verification = options.verification
        proxyThreads = options.proxyThreadCount
        self.machine = options.isMeasured ? machine : nil
        _layerIndex = Nullable(wrappedValue: options.layerIndex)
        _faults = Nullable(wrappedValue: options.faultPlan)
        _forcedOrdering = Nullable(wrappedValue: options.ordering)
        _groupSize = Nullable(wrappedValue: options.groupSize)
        _combineGroupSize = Nullable(wrappedValue: options.combineGroupSize)
        _heapLimitBytes = Nullable(wrappedValue: options.heapLimitByteCount)
        _zipfExponent = Nullable(wrappedValue: options.zipfExponent)
    }
}

/// What one scheme did; counts are sums over all ranks.
public struct RunResult: Codable, Equatable, Sendable {
    public var scheme: String
    public var path: String
    public var signaling: String
    public var ordering: String
    public var ranks = 0
    public var nodes = 0
    /// Tokens of the whole layer.
    public var tokens = 0

    /// Commands that the proxies took from their rings.
    public var commands = 0
    public var puts = 0
    public var signals = 0
    /// Ordering actions that a signal demanded, waited for or flagged.
    public var fences = 0
    /// Fences for which a proxy waited.
    public var drains = 0
    public var doorbells = 0
    public var completions = 0
    public var bytesSent = 0
    public var dispatchPuts = 0
    public var combinePuts = 0
    public var dispatchFences = 0
    public var combineFences = 0

    public var layerNanoseconds = 0
    /// Time in which proxies waited for drains.
    public var drainNanoseconds = 0
    /// Time in which processors had nothing to do but wait for data.
    public var exposedCommunicationNanoseconds = 0
    /// `virtual`, `real` or `device`.
    public var clock = "virtual"

    /// Against the float64 reference; null when nothing was verified.
    @Nullable public var maxRelativeError: Double? = nil
    /// Output equals the first scheme's, bit by bit; null when there is no output.
    @Nullable public var bitwiseEqual: Bool? = nil

    /// Rounds that the arenas needed; 1 when the worst case fits.
    public var rounds = 1
    /// Layer time of `coupled` divided by this one's; null when `coupled` did not run.
    @Nullable public var speedupOverCoupled: Double? = nil

    public init(scheme: String, path: String, signaling: String, ordering: String) {
        self.scheme = scheme
        self.path = path
        self.signaling = signaling
        self.ordering = ordering
    }
}
