// One modelled measurement: a layer or a microbenchmark on a cluster, named by everything it depends on.

import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusRunners

/// A layer on a modelled cluster.
public struct LayerPoint: Hashable, Sendable {
    public var profile: String
    public var model: String
    public var nodes: Int
    public var ranksPerNode: Int
    /// Tokens of each rank.
    public var tokens: Int
    public var scheme: Scheme
    public var ordering: SignalOrdering?
    public var groupSize: Int?
    public var combineGroupSize: Int?
    public var proxyThreads = 1
    /// Skew of the routing; 0 is uniform.
    public var zipf = 0.0
    public var seed: UInt64 = 1

    public init(
        profile: String, model: String, nodes: Int, ranksPerNode: Int, tokens: Int, scheme: Scheme
    ) {
        self.profile = profile
        self.model = model
        self.nodes = nodes
        self.ranksPerNode = ranksPerNode
        self.tokens = tokens
        self.scheme = scheme
    }

    /// The same point with one thing changed.
    public func with<Value>(_ path: WritableKeyPath<LayerPoint, Value>, _ value: Value)
        -> LayerPoint
    {
        var copy = self
        copy[keyPath: path] = value
        return copy
    }

    /// Rough real time of the simulation, for order and progress only: within a factor of two from 8 to 512 ranks
    /// and from 16 to 16384 tokens of qwen3-30b.
    var work: Double { Double(nodes * ranksPerNode) * (Double(tokens) + 1500) }

    /// How the point is run on `profile`.
    func settings(_ profile: Profile) -> RunSettings {
        var settings = RunSettings(profile: profile)
        settings.checksOrder = false
        settings.options.ordering = ordering
        settings.options.groupSize = groupSize
        settings.options.combineGroupSize = combineGroupSize
        settings.options.proxyThreads = proxyThreads
        settings.options.seed = seed
        settings.options.deadlineNanoseconds = experimentDeadlineNanoseconds
        return settings
    }

    /// - Throws: `badInput` for an unknown model, or more tokens than a signal word can count rows of.
    public func geometry() throws -> LayerGeometry {
        guard let shape = MoEModel.preset(model) else {
            throw PerseusError(.badInput, "unknown model \(model)")
        }
        let ranks = nodes * ranksPerNode
        return try LayerGeometry(
            model: shape, rankCount: ranks, ranksPerNode: ranksPerNode,
            tokensPerRank: Array(repeating: tokens, count: ranks), heapByteLimit: .max)
    }

    func workload() throws -> LayerWorkload {
        let geometry = try geometry()
        let routing = SyntheticRouting(
            expertCount: geometry.model.expertCount, topK: geometry.model.topK, seed: seed,
            zipfExponent: zipf)
        return LayerWorkload(
            geometry: geometry, input: JobInput(hidden: nil, routing: .synthetic(routing)),
            compute: nil)
    }
}

/// Concurrent transfers on a modelled cluster.
public struct PutSignalPoint: Hashable, Sendable {
    public var profile: String
    public var nodes: Int
    public var ranksPerNode: Int
    public var concurrency: Int
    public var byteCount: Int
    /// nil: puts only.
    public var scheme: Scheme?
    /// nil: the scheme's own.
    public var ordering: SignalOrdering?
    public var groupSize: Int?
    public var proxyThreads = 1
    public var senders = PutSignalWorkload.Senders.one

    public init(
        profile: String, nodes: Int, ranksPerNode: Int, concurrency: Int, byteCount: Int,
        scheme: Scheme?
    ) {
        self.profile = profile
        self.nodes = nodes
        self.ranksPerNode = ranksPerNode
        self.concurrency = concurrency
        self.byteCount = byteCount
        self.scheme = scheme
    }
}
