// Everything that one scheme needs to run a layer, put together once and driven by either runner.

import CPerseusABI
import PerseusExpertKernels
import PerseusMegakernel
import PerseusMemory
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC
import PerseusTransport

/// What goes into a layer: tokens and where they are routed.
public struct JobInput: @unchecked Sendable {
    /// [all tokens, hidden] bf16; nil in a run with modelled compute.
    public var hidden: UnsafePointer<UInt16>?
    public var routing: RoutingSource

    public init(hidden: UnsafePointer<UInt16>?, routing: RoutingSource) {
        self.hidden = hidden
        self.routing = routing
    }
}

/// The parts of one run: heaps, kernels, rings, proxies and NICs of all ranks, or of one in a job of processes.
///
/// A job runs once. Building it is the only time at which anything is allocated.
public final class LayerJob {
    public let geometry: LayerGeometry
    public let setup: SchemeSetup
    /// [rank]
    public let heaps: [SymmetricHeap]
    /// Of the ranks that this process runs.
    public let kernels: [RankKernel]
    let transport: TransportJob
    /// In a job of processes: the others, and the memory shared with them.
    let group: (any Rendezvous)?
    let shared: SharedFabric?
    /// The tokens that `output` has room for: all, but those of its rank in a process that is not rank 0.
    let outputTokens: Range<Int>
    /// [outputTokens, hidden] F32, NaN until written; nil in a run with modelled compute.
    public let output: UnsafeMutablePointer<Float>?
    /// What rank 0 of a job of processes got from the others.
    var gatheredRouting: (ids: [Int32], weights: [Float])?

    /// - Parameters:
    ///   - plan: that of `setup`, with what only this run wants.
    ///   - group: the processes that run the other ranks; nil: this process runs all.
    init(
        geometry: LayerGeometry, setup: SchemeSetup, plan: TransportPlan, input: JobInput,
        compute: LayerCompute?, processorCount: Int, group: (any Rendezvous)? = nil
    ) throws {
        self.geometry = geometry
        self.setup = setup
        self.group = group
        let shared = try group.map { group throws(PerseusError) in
            try SharedFabric(
                group, layout: geometry.layout, hasData: compute != nil,
                hasShadow: setup.ordering.usesImmediates,
                receiveDepth: setup.transport.receiveDepth,
                step: "memory of scheme \(setup.scheme.rawValue)")
        }
        self.shared = shared
        let heaps =
            try shared?.heaps
            ?? (0..<geometry.rankCount).map { _ in
                try SymmetricHeap(
                    layout: geometry.layout, hasData: compute != nil,
                    hasShadow: setup.ordering.usesImmediates)
            }
        self.heaps = heaps
        let outputTokens =
            group.map { $0.rank == 0 ? geometry.allTokens : geometry.tokens(of: $0.rank) }
            ?? geometry.allTokens
        self.outputTokens = outputTokens
        let outputCount = outputTokens.count * geometry.model.hidden
        let output: UnsafeMutablePointer<Float>? =
            compute != nil ? .allocate(capacity: max(1, outputCount)) : nil
        output?.initialize(repeating: .nan, count: outputCount)
        self.output = output
        var plan = plan
        if let group, let shared { plan.process = ProcessShare(fabric: shared, rank: group.rank) }
        let transport = TransportJob(
            plan: plan, memory: heaps.map(RankMemory.init), remoteRanks: geometry.remoteRanks(of:))
        self.transport = transport
        let layerShared = LayerShared(
            geometry: geometry, program: setup.program, compute: compute, heaps: heaps,
            routing: input.routing)
        var firstTokens = [0]
        for count in geometry.tokensPerRank { firstTokens.append(firstTokens.last! + count) }
        kernels = transport.hosted.enumerated().map { slot, rank in
            let token = firstTokens[rank]
            let hidden = geometry.model.hidden
            let state = RankState(
                rank: rank, shared: layerShared, hidden: input.hidden.map { $0 + token * hidden },
                output: output.map { $0 + (token - outputTokens.lowerBound) * hidden })
            return RankKernel(
                state: state, port: transport.ports[slot], processorCount: processorCount)
        }
    }

    deinit { output?.deallocate() }

    /// Routing of all tokens that this process knows of, [tokens, topK], after the run; no weights in a run with
    /// modelled compute.
    public var routing: (ids: [Int32], weights: [Float]) { gatheredRouting ?? ownRouting }

    /// Of the ranks that this process runs.
    var ownRouting: (ids: [Int32], weights: [Float]) {
        var ids: [Int32] = []
        var weights: [Float] = []
        for kernel in kernels {
            let count = geometry.tokensPerRank[kernel.state.rank] * geometry.model.topK
            ids += kernel.state.routedIDs
            if let start = kernel.state.weights {
                weights += UnsafeBufferPointer(start: start, count: count)
            }
        }
        return (ids, weights)
    }
}
