// Everything that one scheme needs to run a layer, put together once and driven by either runner.

import CPerseusABI
import PerseusCommandRing
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
    public let faults: FaultPlan
    public let ranks: Int
    public let heaps: [SymmetricHeap]
    public let fabric: SoftFabric
    public let kernels: [RankKernel]
    /// [rank][proxy thread]
    let proxies: UnsafeMutablePointer<ProxyLoop<SoftNICEndpoint>>
    let clocks: UnsafeMutablePointer<StepClock>
    let engines: UnsafeMutablePointer<NICEngine>
    let proxyThreads: Int
    /// [rank]: the port whose lock guards the rank's only proxy, where the kernel posts itself.
    let directPorts: [DirectPort]
    /// [all tokens, hidden] F32, NaN until written; nil in a run with modelled compute.
    public let output: UnsafeMutablePointer<Float>?
    private let outputCount: Int
    private let ringMemory: [UnsafeMutableRawPointer]
    private let boards: [CompletionBoard]
    private let softNICs: [SoftNIC]

    /// Slots of a command ring.
    static let ringCapacity = 1024

    public init(
        geometry: LayerGeometry, setup: SchemeSetup, input: JobInput, compute: LayerCompute?,
        faults: FaultPlan, costs: Profile, isModelledTime: Bool, processorCount: Int,
        reportsTransmissions: Bool = false
    ) throws {
        self.geometry = geometry
        self.setup = setup
        self.faults = faults
        let ranks = geometry.rankCount
        self.ranks = ranks
        proxyThreads = setup.proxyThreads
        try Self.checkImmediates(geometry, setup)
        heaps = try (0..<ranks).map { _ in
            try SymmetricHeap(layout: geometry.layout, hasData: compute != nil)
        }
        let usesImmediates = setup.ordering.usesImmediates
        fabric = SoftFabric(rankCount: ranks, receiveDepth: usesImmediates ? 1024 : 0)
        Self.register(heaps, on: fabric)
        outputCount = geometry.tokensPerRank.reduce(0, +) * geometry.model.hidden
        output = compute != nil ? .allocate(capacity: max(1, outputCount)) : nil
        output?.initialize(repeating: .nan, count: outputCount)

        var parts = Parts()
        proxies = .allocate(capacity: ranks * proxyThreads)
        clocks = .allocate(capacity: ranks * proxyThreads)
        clocks.initialize(repeating: StepClock(), count: ranks * proxyThreads)
        engines = .allocate(capacity: ranks)
        for rank in 0..<ranks {
            Self.build(
                rank, into: &parts, geometry: geometry, setup: setup, faults: faults, costs: costs,
                isModelledTime: isModelledTime, fabric: fabric, heap: heaps[rank], proxies: proxies,
                clocks: clocks, engines: engines, reportsTransmissions: reportsTransmissions)
        }
        softNICs = parts.softNICs
        ringMemory = parts.ringMemory
        boards = parts.boards
        directPorts = parts.directPorts
        var kernels: [RankKernel] = []
        var firstToken = 0
        for rank in 0..<ranks {
            let offset = firstToken * geometry.model.hidden
            let state = RankState(
                rank: rank, geometry: geometry, program: setup.program, compute: compute,
                heaps: heaps, routing: input.routing, hidden: input.hidden.map { $0 + offset },
                output: output.map { $0 + offset })
            kernels.append(
                RankKernel(state: state, port: parts.ports[rank], processorCount: processorCount))
            firstToken += geometry.tokensPerRank[rank]
        }
        self.kernels = kernels
    }

    deinit {
        proxies.deinitialize(count: ranks * proxyThreads)
        proxies.deallocate()
        clocks.deallocate()
        engines.deinitialize(count: ranks)
        engines.deallocate()
        output?.deallocate()
        for memory in ringMemory { memory.deallocate() }
        for board in boards { board.deallocate() }
    }

    /// The pieces that are made rank by rank.
    private struct Parts {
        var softNICs: [SoftNIC] = []
        var ringMemory: [UnsafeMutableRawPointer] = []
        var boards: [CompletionBoard] = []
        var ports: [any CommandPort] = []
        var directPorts: [DirectPort] = []
    }

    private static func register(_ heaps: [SymmetricHeap], on fabric: SoftFabric) {
        for (rank, heap) in heaps.enumerated() {
            let signalBytes = heap.layout.signal_byte_count
            fabric.register(
                rank: rank, region: Int(PERSEUS_REGION_DATA.rawValue),
                SoftRegion(base: heap.data, byteCount: heap.layout.data_byte_count))
            fabric.register(
                rank: rank, region: Int(PERSEUS_REGION_SIGNAL.rawValue),
                SoftRegion(base: UnsafeMutableRawPointer(heap.signalWords), byteCount: signalBytes))
            fabric.register(
                rank: rank, region: Int(PERSEUS_REGION_SIGNAL_SHADOW.rawValue),
                SoftRegion(base: UnsafeMutableRawPointer(heap.shadowWords), byteCount: signalBytes))
        }
    }

    /// Immediates have 32 bits: what they cannot name is refused before anything starts.
    private static func checkImmediates(_ geometry: LayerGeometry, _ setup: SchemeSetup) throws {
        guard setup.ordering.usesImmediates else { return }
        let words = Int(geometry.layout.signal_byte_count / 8)
        let message = geometry.roundTokens * Int(geometry.layout.row_stride)
        let isCounted = setup.ordering == .countedImmediate
        if words > Immediate.signalWordLimit
            || (isCounted && geometry.layout.data_byte_count > Immediate.dataRegionByteLimit)
            || (isCounted && message > Int(PERSEUS_MAX_PUT_BYTES))
        {
            throw PerseusError(
                .badInput,
                "ordering \(setup.ordering.rawValue): 32-bit immediates cannot name \(words) signal words,"
                    + " \(geometry.layout.data_byte_count) bytes per rank or messages of \(message) bytes;"
                    + " use a smaller --heap-limit (more rounds) or another --ordering")
        }
        if isCounted && setup.program.isStaged {
            throw PerseusError(
                .badInput,
                "scheme collective sends one put for several experts, which counted-immediate does not count"
            )
        }
    }

    private static func build(
        _ rank: Int, into parts: inout Parts, geometry: LayerGeometry, setup: SchemeSetup,
        faults: FaultPlan, costs: Profile, isModelledTime: Bool, fabric: SoftFabric,
        heap: SymmetricHeap, proxies: UnsafeMutablePointer<ProxyLoop<SoftNICEndpoint>>,
        clocks: UnsafeMutablePointer<StepClock>, engines: UnsafeMutablePointer<NICEngine>,
        reportsTransmissions: Bool
    ) {
        let threads = setup.proxyThreads
        let isDirect = setup.scheme.path == .gpuDirect
        let nic = SoftNIC(
            fabric: fabric, rank: rank, endpointCount: threads, queueCount: setup.queueCount,
            sendCapacity: 4096, parameters: setup.nic)
        parts.softNICs.append(nic)
        (engines + rank).initialize(
            to: nic.makeEngine(
                faults: faults, reportsTransmissions: reportsTransmissions,
                destinationCount: (geometry.remoteRanks(of: rank) + threads - 1) / threads))
        var rings: [CommandRing] = []
        var boards: [CompletionBoard] = []
        let posting = isDirect ? costs.directPosting : costs.posting
        for thread in 0..<threads {
            let memory = UnsafeMutableRawPointer.allocate(
                byteCount: CommandRing.byteCount(capacity: ringCapacity), alignment: 128)
            parts.ringMemory.append(memory)
            let ring = CommandRing.initialize(at: memory, capacity: ringCapacity)
            rings.append(ring)
            let board = CompletionBoard(wordCount: 1)
            boards.append(board)
            let index = rank * threads + thread
            let endpoint = nic.makeEndpoint(
                thread, costs: isModelledTime ? posting : PostingCosts(), clock: clocks + index)
            let receiver =
                setup.ordering.usesImmediates && thread == 0
                ? ImmediateReceiver(
                    words: heap.signalWords, shadow: heap.shadowWords, layout: geometry.layout,
                    countsData: setup.ordering == .countedImmediate) : ImmediateReceiver()
            (proxies + index).initialize(
                to: ProxyLoop(
                    transport: endpoint, rings: isDirect ? [] : [ring],
                    rankCount: geometry.rankCount, ordering: setup.ordering, receiver: receiver,
                    board: board, configuration: setup.proxy))
        }
        parts.boards += boards
        if isDirect {
            let port = DirectPort(
                proxy: proxies + rank * threads, clock: clocks + rank * threads, board: boards[0])
            parts.ports.append(port)
            parts.directPorts.append(port)
        } else {
            parts.ports.append(RingPort(rings: rings, boards: boards))
        }
    }

    /// Sums of all proxies.
    public var counters: ProxyCounters {
        var sum = ProxyCounters()
        for index in 0..<ranks * proxyThreads { sum += proxies[index].counters }
        return sum
    }

    /// Routing of all tokens, [all tokens, topK], after the run.
    public var routing: (ids: [Int32], weights: [Float]) {
        var ids: [Int32] = []
        var weights: [Float] = []
        for (rank, kernel) in kernels.enumerated() {
            let count = geometry.tokensPerRank[rank] * geometry.model.topK
            ids += UnsafeBufferPointer(start: kernel.state.ids, count: count)
            weights += UnsafeBufferPointer(start: kernel.state.weights, count: count)
        }
        return (ids, weights)
    }
}
