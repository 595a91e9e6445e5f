// What a GPU and the proxies of its ranks share: rings, completion boards, and queues to the copy blocks.

import CPerseusABI
import PerseusCommandRing
import PerseusDevice
import PerseusPrimitives
import PerseusRunners
import PerseusSoftNIC

/// The network side of ranks on one device, all of it zeroed.
final class DeviceNetwork {
    /// Slots of a command ring.
    static let ringCapacity = 4096
    /// From a command to the copy block to its bytes at the peer, measured (docs/results).
    static let copyNanoseconds: UInt64 = 4000

    private let ranks: Int
    private let threads: Int
    private let sendQueueLog2: Int?
    /// Seen by both sides, and the device's own words.
    private let host: MappedBuffer
    private let words: DeviceBuffer
    private let copies: UnsafeMutablePointer<CopyQueue>
    private let layout: Layout

    /// Offsets within a rank's share of each buffer.
    private struct Layout {
        var rings = 0
        var copyQueue = 0
        var copyDone = 0
        var boards = 0
        var sendQueue = 0
        var completed = 0
        var hostBytes = 0
        var ringWords = 0
        var wordBytes = 0

        init(threads: Int, sendQueueLog2: Int?) {
            var host = DeviceMemoryPlan()
            rings = host.add(threads * CommandRing.byteCount(capacity: ringCapacity))
            copyQueue = host.add(
                Int(PERSEUS_DEVICE_COPY_CAPACITY) * MemoryLayout<perseus_device_copy>.stride)
            copyDone = host.add(8)
            boards = host.add(threads * Int(PERSEUS_SHARED_WORD_STRIDE))
            if let sendQueueLog2 {
                sendQueue = host.add(Int(PERSEUS_DIRECT_ENTRY_BYTES) << sendQueueLog2)
                completed = host.add(8)
            }
            hostBytes = host.byteCount
            var own = DeviceMemoryPlan()
            ringWords = own.add(threads * 2 * Int(PERSEUS_SHARED_WORD_STRIDE))
            wordBytes = own.byteCount
        }
    }

    /// - Parameter sendQueueLog2: log2 of the entries of each rank's send queue, where kernels post themselves; else nil.
    init(
        _ device: CUDADevice, ranks: Int, threads: Int, sendQueueLog2: Int? = nil
    ) throws(PerseusError) {
        self.ranks = ranks
        self.threads = threads
        self.sendQueueLog2 = sendQueueLog2
        let layout = Layout(threads: threads, sendQueueLog2: sendQueueLog2)
        self.layout = layout
        host = try device.allocateMapped(layout.hostBytes * ranks)
        words = try device.allocate(layout.wordBytes * ranks)
        try words.fill(0 as UInt8)
        copies = .allocate(capacity: ranks)
        for rank in 0..<ranks {
            let base = host.pointer + rank * layout.hostBytes
            (copies + rank).initialize(
                to: CopyQueue(
                    commands: (base + layout.copyQueue).assumingMemoryBound(
                        to: perseus_device_copy.self),
                    done: (base + layout.copyDone).assumingMemoryBound(to: UInt64.self)))
        }
    }

    deinit { copies.deallocate() }

    /// log2 of the entries of a send queue that a rank fills itself: as many as the NIC's queue pairs hold.
    static func sendQueueLog2(_ plan: TransportPlan) -> Int {
        let requests = plan.nic.queueDepth * plan.queueCount
        return Int.bitWidth - 1 - max(64, min(4096, requests)).leadingZeroBitCount
    }

    /// `plan` over these rings and copy blocks, on the machine's clock: what the copy block takes from command to placement
    /// is part of the wire's latency.
    ///
    /// - Parameter posting: how long a proxy that has posted is kept busy; else posting costs what it costs.
    func plan(_ plan: TransportPlan, faults: FaultPlan, posting: PostingCosts = PostingCosts())
        -> TransportPlan
    {
        var plan = plan
        plan.posting = posting
        plan.faults = faults
        plan.nic.latencyNanoseconds -= min(plan.nic.latencyNanoseconds, Self.copyNanoseconds)
        let (base, layout, threads) = (host.pointer, layout, threads)
        plan.device = DevicePorts(
            rings: (0..<ranks).map { rank in
                (0..<threads).map { thread in
                    base + rank * layout.hostBytes + layout.rings
                        + thread * CommandRing.byteCount(capacity: Self.ringCapacity)
                }
            }, ringCapacity: Self.ringCapacity,
            boards: (0..<ranks).map { rank in
                (0..<threads).map { thread in
                    (base + rank * layout.hostBytes + layout.boards
                        + thread * Int(PERSEUS_SHARED_WORD_STRIDE)).assumingMemoryBound(
                            to: UInt64.self)
                }
            }, copies: copies,
            sendQueues: sendQueueLog2.map { log2 in
                (0..<ranks).map { rank in
                    let base = base + rank * layout.hostBytes
                    return SendQueueMemory(
                        entries: (base + layout.sendQueue).assumingMemoryBound(to: UInt64.self),
                        capacityLog2: log2,
                        completed: (base + layout.completed).assumingMemoryBound(to: UInt64.self))
                }
            } ?? [])
        return plan
    }

    /// Fills in what a rank's blocks see of it.
    ///
    /// - Parameters:
    ///   - error: device memory, a `perseus_error_record`.
    ///   - cycleLimit: SM clock cycles after which a wait for room fails.
    func describe(
        _ rank: Int, in result: inout perseus_device_rank, error: UInt64, cycleLimit: UInt64
    ) {
        let shared = host.address + UInt64(rank * layout.hostBytes)
        let own = words.address + UInt64(rank * layout.wordBytes)
        result.boards = shared + UInt64(layout.boards)
        result.ring_count = UInt32(threads)
        withUnsafeMutableBytes(of: &result.rings) { bytes in
            let rings = bytes.bindMemory(to: perseus_device_ring.self)
            for thread in 0..<threads {
                let header =
                    shared
                    + UInt64(
                        layout.rings + thread * CommandRing.byteCount(capacity: Self.ringCapacity))
                let cursors =
                    own + UInt64(layout.ringWords + thread * 2 * Int(PERSEUS_SHARED_WORD_STRIDE))
                var ring = perseus_device_ring()
                ring.slots = header + UInt64(MemoryLayout<perseus_ring_header>.size)
                ring.retired =
                    header + UInt64(MemoryLayout<perseus_ring_header>.offset(of: \.retired)!)
                ring.claimed = cursors
                ring.credit = cursors + UInt64(PERSEUS_SHARED_WORD_STRIDE)
                ring.error = error
                ring.cycle_limit = cycleLimit
                ring.capacity_log2 = UInt32(Self.ringCapacity.trailingZeroBitCount)
                ring.index = UInt32(thread)
                ring.rank = UInt32(rank)
                if let sendQueueLog2 {
                    // The send queue, described as a ring; its words in device memory are those that a ring would have.
                    ring.slots = shared + UInt64(layout.sendQueue)
                    ring.retired = shared + UInt64(layout.completed)
                    ring.capacity_log2 = UInt32(sendQueueLog2)
                }
                rings[thread] = ring
            }
        }
        result.nic = perseus_device_nic(
            queue: shared + UInt64(layout.copyQueue), done: shared + UInt64(layout.copyDone))
    }

    /// Ends the copy blocks of `ranks`.
    func stop(_ ranks: Range<Int>) {
        for rank in ranks { copies[rank].stop() }
    }
}
