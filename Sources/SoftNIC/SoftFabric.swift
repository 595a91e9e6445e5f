// Everything that the soft NICs of one job share: where each rank's memory is, and what arrived there.

import CPerseusABI
import CPerseusShims
import PerseusCommandRing

/// The memory of one rank that a NIC may write to.
public struct SoftRegion: BitwiseCopyable {
    /// nil: the region has no bytes (a run with modelled compute); writes to it are timed and not moved.
    public var base: UnsafeMutableRawPointer?
    public var byteCount: UInt64

    public init(base: UnsafeMutableRawPointer?, byteCount: UInt64) {
        self.base = base
        self.byteCount = byteCount
    }
}

extension SoftRegion: @unchecked Sendable {}

/// The wiring of one job as a NIC sees it: plain pointers, so that nothing is counted on the hot path.
///
/// - Threading: regions are fixed after set-up; receive queues take many writers and one reader each; port words
///   and dead flags are atomic.
@frozen
public struct SoftFabricView: BitwiseCopyable {
    @usableFromInline static var regionsPerRank: Int { 3 }
    @usableFromInline let rankCount: Int
    @usableFromInline let regions: UnsafeMutablePointer<SoftRegion>
    /// Until when each rank's receiving port is busy.
    @usableFromInline let portBusyUntil: UnsafeMutablePointer<UInt64>
    /// 1 when the rank is dead: nothing is delivered there any more.
    @usableFromInline let deadFlags: UnsafeMutablePointer<UInt64>
    @usableFromInline let receiveQueues: UnsafeMutablePointer<CommandRing>
    /// Room for the notices of one step, where one thread steps all engines and looks at them at once.
    @usableFromInline let notices: UnsafeMutablePointer<NICNotice>

    /// Tables of `rankCount`, the ports given.
    init(rankCount: Int, ports: UnsafeMutablePointer<UInt64>) {
        self.rankCount = rankCount
        let regionCount = rankCount * Self.regionsPerRank
        regions = .allocate(capacity: regionCount)
        regions.initialize(repeating: SoftRegion(base: nil, byteCount: 0), count: regionCount)
        portBusyUntil = ports
        deadFlags = .allocate(capacity: rankCount)
        deadFlags.initialize(repeating: 0, count: rankCount)
        receiveQueues = .allocate(capacity: rankCount)
        notices = .allocate(capacity: NICEngine.noticeCapacity)
    }

    @inlinable @inline(__always)
    func isDead(_ rank: Int) -> Bool { perseus_load_acquire(deadFlags + rank) != 0 }

    /// Whether the peer would accept the access.
    @inlinable @inline(__always)
    func accepts(rank: Int, region: UInt8, offset: UInt64, byteCount: UInt32) -> Bool {
        guard Int(region) < Self.regionsPerRank else { return false }
        let target = regions[rank &* Self.regionsPerRank &+ Int(region)]
        return offset <= target.byteCount && UInt64(byteCount) <= target.byteCount &- offset
    }

    @inlinable @inline(__always)
    func address(rank: Int, region: UInt8, offset: UInt64) -> UnsafeMutableRawPointer? {
        guard let base = regions[rank &* Self.regionsPerRank &+ Int(region)].base else {
            return nil
        }
        return base + Int(offset)
    }

    /// Books `duration` on the receiving port of `rank` not before `earliest`; returns the start.
    @inlinable @inline(__always)
    func bookPort(rank: Int, earliest: UInt64, duration: UInt64) -> UInt64 {
        while true {
            let busyUntil = perseus_load_relaxed(portBusyUntil + rank)
            let start = max(earliest, busyUntil)
            if perseus_compare_exchange_relaxed(portBusyUntil + rank, busyUntil, start &+ duration)
            {
                return start
            }
        }
    }
}

/// Owns the wiring of one job: regions, receive queues and port occupancy of all ranks. It must outlive the NICs.
public final class SoftFabric: @unchecked Sendable {
    let view: SoftFabricView
    /// Receive queues that this object owns; nil where they lie in shared memory.
    private let receiveMemory: UnsafeMutableRawPointer?
    /// Where regions, ports and receive queues lie in a job of processes.
    private let shared: SharedFabric?
    /// The models of the engines so far, mostly one.
    private var models: [SharedModel] = []
    let hasReceiveQueues: Bool
    public var rankCount: Int { view.rankCount }

    /// - Parameter receiveDepth: slots of each rank's receive queue; 0 where no ordering uses immediates.
    public init(rankCount: Int, receiveDepth: Int) {
        view = SoftFabricView(rankCount: rankCount, ports: .allocate(capacity: rankCount))
        view.portBusyUntil.initialize(repeating: 0, count: rankCount)
        shared = nil
        hasReceiveQueues = receiveDepth > 0
        let stride = hasReceiveQueues ? CommandRing.byteCount(capacity: receiveDepth) : 0
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(64, stride * rankCount), alignment: 128)
        receiveMemory = memory
        guard hasReceiveQueues else { return }
        for rank in 0..<rankCount {
            (view.receiveQueues + rank).initialize(
                to: CommandRing.initialize(at: memory + rank * stride, capacity: receiveDepth))
        }
    }

    /// The wiring of a job of processes, as one of them sees it: who is dead is its own belief, everything else that
    /// changes is shared.
    public init(shared: SharedFabric) {
        view = SoftFabricView(rankCount: shared.rankCount, ports: shared.ports)
        self.shared = shared
        receiveMemory = nil
        hasReceiveQueues = !shared.receiveQueues.isEmpty
        for (rank, queue) in shared.receiveQueues.enumerated() {
            (view.receiveQueues + rank).initialize(to: queue)
        }
    }

    private struct SharedModel {
        let parameters: NICParameters
        let faults: FaultPlan
        let memory: UnsafeMutablePointer<NICModel>
    }

    deinit {
        for model in models {
            model.memory.pointee.faults.deallocate()
            model.memory.deallocate()
        }
        view.regions.deallocate()
        if shared == nil { view.portBusyUntil.deallocate() }
        view.deadFlags.deallocate()
        view.receiveQueues.deallocate()
        view.notices.deallocate()
        receiveMemory?.deallocate()
    }

    /// What engines with these parameters read; one copy for all of them.
    ///
    /// - Threading: during set-up.
    func model(
        _ parameters: NICParameters, faults: FaultPlan, reportsTransmissions: Bool,
        recordsTimings: Bool
    ) -> UnsafePointer<NICModel> {
        let known = models.first {
            $0.parameters == parameters && $0.faults == faults
                && $0.memory.pointee.reportsTransmissions == reportsTransmissions
                && $0.memory.pointee.recordsTimings == recordsTimings
        }
        if let known { return UnsafePointer(known.memory) }
        let memory = UnsafeMutablePointer<NICModel>.allocate(capacity: 1)
        memory.initialize(
            to: NICModel(
                fabric: view, parameters: parameters, faults: faults,
                reportsTransmissions: reportsTransmissions, recordsTimings: recordsTimings))
        models.append(SharedModel(parameters: parameters, faults: faults, memory: memory))
        return UnsafePointer(memory)
    }

    /// Registers a region of `rank`; ids of `perseus_arena.h`.
    public func register(rank: Int, region: Int, _ memory: SoftRegion) {
        view.regions[rank * SoftFabricView.regionsPerRank + region] = memory
    }

    /// Marks a rank dead. Its peers' requests fail after the NIC's retry time.
    public func kill(rank: Int) { perseus_store_release(view.deadFlags + rank, 1) }

    public func isDead(_ rank: Int) -> Bool { view.isDead(rank) }
}
