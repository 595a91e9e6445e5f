// Everything that one scheme needs to run a layer, put together once and driven by either runner.

import CPerseusABI
import PerseusExpertKernels
import PerseusMegakernel
import PerseusMemory
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC

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

/// The parts of one run: heaps, kernels, rings, proxies and NICs of all ranks.
///
/// A job runs once. Building it is the only time at which anything is allocated.
public final class LayerJob {
    public let geometry: LayerGeometry
    public let setup: SchemeSetup
    public let heaps: [SymmetricHeap]
    public let kernels: [RankKernel]
    let transport: TransportJob
    /// [all tokens, hidden] F32, NaN until written; nil in a run with modelled compute.
    public let output: UnsafeMutablePointer<Float>?

    /// - Parameter plan: that of `setup`, with what only this run wants.
    init(
        geometry: LayerGeometry, setup: SchemeSetup, plan: TransportPlan, input: JobInput,
        compute: LayerCompute?, processorCount: Int
    ) throws {
        self.geometry = geometry
        self.setup = setup
        let heaps = try (0..<geometry.rankCount).map { _ in
            try SymmetricHeap(
                layout: geometry.layout, hasData: compute != nil,
                hasShadow: setup.ordering.usesImmediates)
        }
        self.heaps = heaps
        let outputCount = geometry.tokensPerRank.reduce(0, +) * geometry.model.hidden
        let output: UnsafeMutablePointer<Float>? =
            compute != nil ? .allocate(capacity: max(1, outputCount)) : nil
        output?.initialize(repeating: .nan, count: outputCount)
        self.output = output
        let transport = TransportJob(
            plan: plan, memory: heaps.map(RankMemory.init), remoteRanks: geometry.remoteRanks(of:))
        self.transport = transport
        let shared = LayerShared(
            geometry: geometry, program: setup.program, compute: compute, heaps: heaps,
            routing: input.routing)
        var firstToken = 0
        kernels = (0..<geometry.rankCount).map { rank in
            let offset = firstToken * geometry.model.hidden
            firstToken += geometry.tokensPerRank[rank]
            let state = RankState(
                rank: rank, shared: shared, hidden: input.hidden.map { $0 + offset },
                output: output.map { $0 + offset })
            return RankKernel(
                state: state, port: transport.ports[rank], processorCount: processorCount)
        }
    }

    deinit { output?.deallocate() }

    /// Routing of all tokens, [all tokens, topK], after the run; no weights in a run with modelled compute.
    public var routing: (ids: [Int32], weights: [Float]) {
        var ids: [Int32] = []
        var weights: [Float] = []
        for (rank, kernel) in kernels.enumerated() {
            let count = geometry.tokensPerRank[rank] * geometry.model.topK
            ids += kernel.state.routedIDs
            if let start = kernel.state.weights {
                weights += UnsafeBufferPointer(start: start, count: count)
            }
        }
        return (ids, weights)
    }
}
