// The transport half of a job: rings, proxies and NICs of all ranks, whatever kernels push into them.

import CPerseusABI
import PerseusCommandRing
import PerseusMegakernel
import PerseusMemory
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC

/// The memory of one rank, as its NIC and its proxies see it.
package struct RankMemory {
    /// Base of the data region; nil: no bytes. May be an address of a device.
    package var data: UnsafeMutableRawPointer?
    package var signals: UnsafeMutablePointer<UInt64>
    /// Where immediates stage words; nil without them.
    package var shadow: UnsafeMutablePointer<UInt64>?
    package var layout: perseus_arena_layout

    package init(
        data: UnsafeMutableRawPointer?, signals: UnsafeMutablePointer<UInt64>,
        shadow: UnsafeMutablePointer<UInt64>?, layout: perseus_arena_layout
    ) {
        self.data = data
        self.signals = signals
        self.shadow = shadow
        self.layout = layout
    }

    init(_ heap: SymmetricHeap) {
        self.init(
            data: heap.data, signals: heap.signalWords, shadow: heap.shadowWords,
            layout: heap.layout)
    }
}

/// A send queue that a kernel on a device fills itself (`perseus_direct.h`), zeroed.
package struct SendQueueMemory: @unchecked Sendable {
    package var entries: UnsafeMutablePointer<UInt64>
    package var capacityLog2: Int
    package var completed: UnsafeMutablePointer<UInt64>

    package init(
        entries: UnsafeMutablePointer<UInt64>, capacityLog2: Int,
        completed: UnsafeMutablePointer<UInt64>
    ) {
        self.entries = entries
        self.capacityLog2 = capacityLog2
        self.completed = completed
    }
}

/// What a kernel on a device brings along: rings that it can reach, and who places bytes there.
package struct DevicePorts: @unchecked Sendable {
    /// [rank][proxy thread]: zeroed memory for a ring of `ringCapacity` slots, aligned to 128 bytes.
    package var rings: [[UnsafeMutableRawPointer]]
    package var ringCapacity: Int
    /// [rank][proxy thread]: the word of its completion board.
    package var boards: [[UnsafeMutablePointer<UInt64>]]
    /// [rank]
    package var copies: UnsafeMutablePointer<CopyQueue>
    /// [rank]: where a kernel that posts itself writes; not used by others.
    package var sendQueues: [SendQueueMemory]

    package init(
        rings: [[UnsafeMutableRawPointer]], ringCapacity: Int,
        boards: [[UnsafeMutablePointer<UInt64>]], copies: UnsafeMutablePointer<CopyQueue>,
        sendQueues: [SendQueueMemory]
    ) {
        self.sendQueues = sendQueues
        self.rings = rings
        self.ringCapacity = ringCapacity
        self.boards = boards
        self.copies = copies
    }
}

/// How commands travel, every choice made.
package struct TransportPlan: Sendable {
    package var ordering: SignalOrdering
    /// The kernel's roles write work requests themselves.
    var isDirect = false
    package var proxy = ProxyConfiguration()
    package var nic = NICParameters()
    package var proxyThreads = 1
    /// Queue pairs of each proxy thread's endpoint.
    package var queueCount = 1
    /// What posting is charged.
    package var posting = PostingCosts()
    package var faults = FaultPlan()
    /// The engines say what was on the wire and when, for a trace.
    var reportsTransmissions = false
    /// The engines remember each request's way, for the critical path.
    var recordsTimings = false
    /// Everything is stepped by one thread.
    var hasOneThread = false
    /// The kernel runs on a device.
    package var device: DevicePorts?
    /// In a job of processes: where the others' memory is, and the one rank that this process runs.
    var process: ProcessShare?

    /// Slots of each rank's receive queue; 0: none.
    var receiveDepth: Int { ordering.usesImmediates ? 1024 : 0 }

    /// The kernel fills the NICs' send queues, and no proxy exists.
    var hasSendQueues: Bool { isDirect && device != nil }
}

/// What one process of a job has of it.
struct ProcessShare: @unchecked Sendable {
    let fabric: SharedFabric
    let rank: Int
}

/// Rings, proxies, NICs and the fabric between them, with one way out for each rank's kernel.
///
/// Parts of ranks are listed by *slot*: the place of a rank among those that this process runs. With all ranks in one
/// process, a slot is a rank. Building it is the only time at which anything is allocated.
package final class TransportJob {
    /// Of the whole job.
    let ranks: Int
    /// [slot]: the ranks that this process runs.
    let hosted: [Int]
    package let proxyThreads: Int
    let fabric: SoftFabric
    let faults: FaultPlan
    /// [slot][proxy thread]; none with `sendQueues`.
    let proxies: UnsafeMutablePointer<ProxyLoop<SoftNICEndpoint>>
    private let proxyCount: Int
    /// [slot]: where a kernel on a device posts itself; nil otherwise.
    let sendQueues: UnsafeMutablePointer<DirectQueue<SoftNICEndpoint>>?
    let clocks: UnsafeMutablePointer<StepClock>
    /// [slot]
    package let engines: UnsafeMutablePointer<NICEngine>
    /// [slot]: where the rank's kernel pushes.
    let ports: [any CommandPort]
    /// [slot]: the port whose lock guards the rank's only proxy, where the kernel posts itself.
    let directPorts: [DirectPort]
    private let ringMemory: [UnsafeMutableRawPointer]
    private let boards: [CompletionBoard]
    private let scratch: ProxyScratch?
    private let softNICs: [SoftNIC]

    /// Slots of a command ring.
    static let ringCapacity = 1024

    /// - Parameters:
    ///   - memory: of each rank; registered with the fabric, and must outlive the job.
    ///   - remoteRanks: destinations of a rank that its proxies serve.
    package init(plan: TransportPlan, memory: [RankMemory], remoteRanks: (Int) -> Int) {
        ranks = memory.count
        hosted = plan.process.map { [$0.rank] } ?? Array(0..<memory.count)
        proxyThreads = plan.proxyThreads
        faults = plan.faults
        fabric =
            plan.process.map { SoftFabric(shared: $0.fabric) }
            ?? SoftFabric(rankCount: memory.count, receiveDepth: plan.receiveDepth)
        Self.register(memory, on: fabric)
        var parts = Parts(plan: plan, fabric: fabric, slots: hosted.count)
        for (slot, rank) in hosted.enumerated() {
            parts.build(slot, rank: rank, memory: memory[rank], remoteRanks: remoteRanks(rank))
        }
        proxies = parts.proxies
        proxyCount = plan.hasSendQueues ? 0 : hosted.count * plan.proxyThreads
        sendQueues = parts.sendQueues
        clocks = parts.clocks
        engines = parts.engines
        ports = parts.ports
        directPorts = parts.directPorts
        ringMemory = parts.ringMemory
        boards = parts.boards
        scratch = parts.scratch
        softNICs = parts.softNICs
    }

    deinit {
        proxies.deinitialize(count: proxyCount)
        proxies.deallocateDense()
        sendQueues?.deinitialize(count: hosted.count)
        sendQueues?.deallocate()
        clocks.deallocateDense()
        engines.deinitialize(count: hosted.count)
        engines.deallocateDense()
        for memory in ringMemory { memory.deallocateDense() }
        for board in boards { board.deallocate() }
        scratch?.deallocate()
    }

    /// Sums of all proxies, or of the send queues in their place.
    package var counters: ProxyCounters {
        var sum = ProxyCounters()
        for index in 0..<proxyCount { sum += proxies[index].counters }
        if let sendQueues {
            for slot in hosted.indices { sum += sendQueues[slot].counters }
        }
        return sum
    }

    private static func register(_ memory: [RankMemory], on fabric: SoftFabric) {
        for (rank, memory) in memory.enumerated() {
            let signalBytes = memory.layout.signal_byte_count
            fabric.register(
                rank: rank, region: Int(PERSEUS_REGION_DATA.rawValue),
                SoftRegion(base: memory.data, byteCount: memory.layout.data_byte_count))
            fabric.register(
                rank: rank, region: Int(PERSEUS_REGION_SIGNAL.rawValue),
                SoftRegion(base: UnsafeMutableRawPointer(memory.signals), byteCount: signalBytes))
            guard let shadow = memory.shadow else { continue }
            fabric.register(
                rank: rank, region: Int(PERSEUS_REGION_SIGNAL_SHADOW.rawValue),
                SoftRegion(base: UnsafeMutableRawPointer(shadow), byteCount: signalBytes))
        }
    }

    /// The pieces that are made rank by rank.
    private struct Parts {
        let plan: TransportPlan
        let fabric: SoftFabric
        let proxies: UnsafeMutablePointer<ProxyLoop<SoftNICEndpoint>>
        let sendQueues: UnsafeMutablePointer<DirectQueue<SoftNICEndpoint>>?
        let clocks: UnsafeMutablePointer<StepClock>
        let engines: UnsafeMutablePointer<NICEngine>
        let scratch: ProxyScratch?
        var softNICs: [SoftNIC] = []
        var ringMemory: [UnsafeMutableRawPointer] = []
        var boards: [CompletionBoard] = []
        var ports: [any CommandPort] = []
        var directPorts: [DirectPort] = []

        init(plan: TransportPlan, fabric: SoftFabric, slots: Int) {
            self.plan = plan
            self.fabric = fabric
            proxies = .allocateDense(capacity: slots * plan.proxyThreads, alignment: 64)
            sendQueues = plan.hasSendQueues ? .allocate(capacity: slots) : nil
            clocks = .allocateDense(capacity: slots * plan.proxyThreads)
            clocks.initialize(repeating: StepClock(), count: slots * plan.proxyThreads)
            engines = .allocateDense(capacity: slots, alignment: 64)
            scratch = plan.hasOneThread ? ProxyScratch() : nil
        }

        mutating func build(_ slot: Int, rank: Int, memory: RankMemory, remoteRanks: Int) {
            let ranks = fabric.rankCount
            let threads = plan.proxyThreads
            let nic = SoftNIC(
                fabric: fabric, rank: rank, endpointCount: threads, queueCount: plan.queueCount,
                sendCapacity: 4096, parameters: plan.nic, hasOneThread: plan.hasOneThread)
            softNICs.append(nic)
            (engines + slot).initialize(
                to: nic.makeEngine(
                    faults: plan.faults, reportsTransmissions: plan.reportsTransmissions,
                    recordsTimings: plan.recordsTimings,
                    destinationCount: (remoteRanks + threads - 1) / threads,
                    copies: plan.device.map { $0.copies + rank }))
            if let sendQueues, let memory = plan.device?.sendQueues[rank] {
                (sendQueues + slot).initialize(
                    to: DirectQueue(
                        transport: nic.makeEndpoint(
                            0, costs: plan.posting, clock: clocks + slot * threads),
                        entries: memory.entries, capacityLog2: memory.capacityLog2,
                        completed: memory.completed, rankCount: ranks,
                        deadlineNanoseconds: plan.proxy.deadlineNanoseconds))
                return
            }
            var rings: [CommandRing] = []
            let firstBoard = boards.count
            for thread in 0..<threads {
                let ring = makeRing(rank, thread)
                rings.append(ring)
                let board = CompletionBoard(
                    wordCount: 1, words: plan.device?.boards[rank][thread])
                boards.append(board)
                let index = slot * threads + thread
                (proxies + index).initialize(
                    to: ProxyLoop(
                        transport: nic.makeEndpoint(
                            thread, costs: plan.posting, clock: clocks + index),
                        rings: plan.isDirect ? [] : [ring], rankCount: ranks,
                        ordering: plan.ordering, receiver: receiver(thread: thread, memory: memory),
                        board: board, configuration: plan.proxy, scratch: scratch))
            }
            if plan.isDirect {
                let port = DirectPort(
                    proxy: proxies + slot * threads, clock: clocks + slot * threads,
                    board: boards[firstBoard])
                ports.append(port)
                directPorts.append(port)
            } else {
                ports.append(RingPort(rings: rings, boards: Array(boards[firstBoard...])))
            }
        }

        private mutating func makeRing(_ rank: Int, _ thread: Int) -> CommandRing {
            if let device = plan.device {
                return CommandRing.initialize(
                    at: device.rings[rank][thread], capacity: device.ringCapacity)
            }
            let memory = UnsafeMutableRawPointer.allocateDense(
                byteCount: CommandRing.byteCount(capacity: ringCapacity), alignment: 128)
            ringMemory.append(memory)
            return CommandRing.initialize(at: memory, capacity: ringCapacity)
        }

        /// The rank's first proxy takes what arrives for all of them.
        private func receiver(thread: Int, memory: RankMemory) -> ImmediateReceiver {
            guard plan.ordering.usesImmediates && thread == 0, let shadow = memory.shadow else {
                return ImmediateReceiver()
            }
            return ImmediateReceiver(
                words: memory.signals, shadow: shadow, layout: memory.layout,
                countsData: plan.ordering == .countedImmediate)
        }
    }
}
