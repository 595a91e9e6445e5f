// The transport half of a job: rings, proxies and NICs of all ranks, whatever kernels push into them.

import CPerseusABI
import PerseusCommandRing
import PerseusMegakernel
import PerseusMemory
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC

/// How commands travel, every choice made.
struct TransportPlan {
    var ordering: SignalOrdering
    /// The kernel's roles write work requests themselves.
    var isDirect = false
    var proxy = ProxyConfiguration()
    var nic = NICParameters()
    var proxyThreads = 1
    /// Queue pairs of each proxy thread's endpoint.
    var queueCount = 1
    /// What posting is charged.
    var posting = PostingCosts()
    var faults = FaultPlan()
    /// The engines say what was on the wire and when, for a trace.
    var reportsTransmissions = false
    /// The engines remember each request's way, for the critical path.
    var recordsTimings = false
}

/// Rings, proxies, NICs and the fabric between them, with one way out for each rank's kernel.
///
/// Building it is the only time at which anything is allocated.
final class TransportJob {
    let ranks: Int
    let proxyThreads: Int
    let fabric: SoftFabric
    let faults: FaultPlan
    /// [rank][proxy thread]
    let proxies: UnsafeMutablePointer<ProxyLoop<SoftNICEndpoint>>
    let clocks: UnsafeMutablePointer<StepClock>
    /// [rank]
    let engines: UnsafeMutablePointer<NICEngine>
    /// [rank]: where the rank's kernel pushes.
    let ports: [any CommandPort]
    /// [rank]: the port whose lock guards the rank's only proxy, where the kernel posts itself.
    let directPorts: [DirectPort]
    private let ringMemory: [UnsafeMutableRawPointer]
    private let boards: [CompletionBoard]
    private let softNICs: [SoftNIC]

    /// Slots of a command ring.
    static let ringCapacity = 1024

    /// - Parameters:
    ///   - heaps: the memory of each rank; registered with the fabric, and must outlive the job.
    ///   - remoteRanks: destinations of a rank that its proxies serve.
    init(plan: TransportPlan, heaps: [SymmetricHeap], remoteRanks: (Int) -> Int) {
        ranks = heaps.count
        proxyThreads = plan.proxyThreads
        faults = plan.faults
        fabric = SoftFabric(
            rankCount: heaps.count, receiveDepth: plan.ordering.usesImmediates ? 1024 : 0)
        Self.register(heaps, on: fabric)
        var parts = Parts(plan: plan, fabric: fabric, ranks: heaps.count)
        for (rank, heap) in heaps.enumerated() {
            parts.build(rank, heap: heap, remoteRanks: remoteRanks(rank))
        }
        proxies = parts.proxies
        clocks = parts.clocks
        engines = parts.engines
        ports = parts.ports
        directPorts = parts.directPorts
        ringMemory = parts.ringMemory
        boards = parts.boards
        softNICs = parts.softNICs
    }

    deinit {
        proxies.deinitialize(count: ranks * proxyThreads)
        proxies.deallocate()
        clocks.deallocate()
        engines.deinitialize(count: ranks)
        engines.deallocate()
        for memory in ringMemory { memory.deallocate() }
        for board in boards { board.deallocate() }
    }

    /// Sums of all proxies.
    var counters: ProxyCounters {
        var sum = ProxyCounters()
        for index in 0..<ranks * proxyThreads { sum += proxies[index].counters }
        return sum
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
            guard let shadow = heap.shadowWords else { continue }
            fabric.register(
                rank: rank, region: Int(PERSEUS_REGION_SIGNAL_SHADOW.rawValue),
                SoftRegion(base: UnsafeMutableRawPointer(shadow), byteCount: signalBytes))
        }
    }

    /// The pieces that are made rank by rank.
    private struct Parts {
        let plan: TransportPlan
        let fabric: SoftFabric
        let ranks: Int
        let proxies: UnsafeMutablePointer<ProxyLoop<SoftNICEndpoint>>
        let clocks: UnsafeMutablePointer<StepClock>
        let engines: UnsafeMutablePointer<NICEngine>
        var softNICs: [SoftNIC] = []
        var ringMemory: [UnsafeMutableRawPointer] = []
        var boards: [CompletionBoard] = []
        var ports: [any CommandPort] = []
        var directPorts: [DirectPort] = []

        init(plan: TransportPlan, fabric: SoftFabric, ranks: Int) {
            self.plan = plan
            self.fabric = fabric
            self.ranks = ranks
            proxies = .allocate(capacity: ranks * plan.proxyThreads)
            clocks = .allocate(capacity: ranks * plan.proxyThreads)
            clocks.initialize(repeating: StepClock(), count: ranks * plan.proxyThreads)
            engines = .allocate(capacity: ranks)
        }

        mutating func build(_ rank: Int, heap: SymmetricHeap, remoteRanks: Int) {
            let threads = plan.proxyThreads
            let nic = SoftNIC(
                fabric: fabric, rank: rank, endpointCount: threads, queueCount: plan.queueCount,
                sendCapacity: 4096, parameters: plan.nic)
            softNICs.append(nic)
            (engines + rank).initialize(
                to: nic.makeEngine(
                    faults: plan.faults, reportsTransmissions: plan.reportsTransmissions,
                    recordsTimings: plan.recordsTimings,
                    destinationCount: (remoteRanks + threads - 1) / threads))
            var rings: [CommandRing] = []
            let firstBoard = boards.count
            for thread in 0..<threads {
                let ring = makeRing()
                rings.append(ring)
                let board = CompletionBoard(wordCount: 1)
                boards.append(board)
                let index = rank * threads + thread
                (proxies + index).initialize(
                    to: ProxyLoop(
                        transport: nic.makeEndpoint(
                            thread, costs: plan.posting, clock: clocks + index),
                        rings: plan.isDirect ? [] : [ring], rankCount: ranks,
                        ordering: plan.ordering, receiver: receiver(thread: thread, heap: heap),
                        board: board, configuration: plan.proxy))
            }
            if plan.isDirect {
                let port = DirectPort(
                    proxy: proxies + rank * threads, clock: clocks + rank * threads,
                    board: boards[firstBoard])
                ports.append(port)
                directPorts.append(port)
            } else {
                ports.append(RingPort(rings: rings, boards: Array(boards[firstBoard...])))
            }
        }

        private mutating func makeRing() -> CommandRing {
            let memory = UnsafeMutableRawPointer.allocate(
                byteCount: CommandRing.byteCount(capacity: ringCapacity), alignment: 128)
            ringMemory.append(memory)
            return CommandRing.initialize(at: memory, capacity: ringCapacity)
        }

        /// The rank's first proxy takes what arrives for all of them.
        private func receiver(thread: Int, heap: SymmetricHeap) -> ImmediateReceiver {
            guard plan.ordering.usesImmediates && thread == 0, let shadow = heap.shadowWords else {
                return ImmediateReceiver()
            }
            return ImmediateReceiver(
                words: heap.signalWords, shadow: shadow, layout: heap.layout,
                countsData: plan.ordering == .countedImmediate)
        }
    }
}
