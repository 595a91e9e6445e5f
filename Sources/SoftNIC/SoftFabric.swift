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

/// The wiring of one job: regions, receive queues and port occupancy of all ranks.
///
/// - Threading: regions are fixed after set-up; receive queues take many writers and one reader each; port words
///   are atomic.
public final class SoftFabric: @unchecked Sendable {
    @usableFromInline static let regionsPerRank = 3
    public let rankCount: Int
    @usableFromInline let regions: UnsafeMutablePointer<SoftRegion>
    /// Until when each rank's receiving port is busy.
    @usableFromInline let portBusyUntil: UnsafeMutablePointer<UInt64>
    /// 1 when the rank is dead: nothing is delivered there any more.
    @usableFromInline let deadFlags: UnsafeMutablePointer<UInt64>
    @usableFromInline let receiveQueues: UnsafeMutablePointer<CommandRing>
    private let receiveMemory: UnsafeMutableRawPointer
    public let hasReceiveQueues: Bool

    /// - Parameter receiveDepth: slots of each rank's receive queue; 0 where no ordering uses immediates.
    public init(rankCount: Int, receiveDepth: Int) {
        self.rankCount = rankCount
        regions = .allocate(capacity: rankCount * Self.regionsPerRank)
        regions.initialize(
            repeating: SoftRegion(base: nil, byteCount: 0), count: rankCount * Self.regionsPerRank)
        portBusyUntil = .allocate(capacity: rankCount)
        portBusyUntil.initialize(repeating: 0, count: rankCount)
        deadFlags = .allocate(capacity: rankCount)
        deadFlags.initialize(repeating: 0, count: rankCount)
        hasReceiveQueues = receiveDepth > 0
        receiveQueues = .allocate(capacity: rankCount)
        let stride = hasReceiveQueues ? CommandRing.byteCount(capacity: receiveDepth) : 0
        receiveMemory = .allocate(byteCount: max(64, stride * rankCount), alignment: 128)
        if hasReceiveQueues {
            for rank in 0..<rankCount {
                (receiveQueues + rank).initialize(
                    to: CommandRing.initialize(
                        at: receiveMemory + rank * stride, capacity: receiveDepth))
            }
        }
    }

    deinit {
        regions.deallocate()
        portBusyUntil.deallocate()
        deadFlags.deallocate()
        receiveQueues.deallocate()
        receiveMemory.deallocate()
    }

    /// Registers a region of `rank`; ids of `perseus_arena.h`.
    public func register(rank: Int, region: Int, _ memory: SoftRegion) {
        regions[rank * Self.regionsPerRank + region] = memory
    }

    /// Marks a rank dead. Its peers' requests fail after the NIC's retry time.
    public func kill(rank: Int) {
        perseus_store_release(deadFlags + rank, 1)
    }

    @inlinable
    public func isDead(_ rank: Int) -> Bool {
        perseus_load_acquire(deadFlags + rank) != 0
    }

    /// Whether the peer would accept the access.
    @inlinable
    func accepts(rank: Int, region: UInt8, offset: UInt64, byteCount: UInt32) -> Bool {
        guard Int(region) < SoftFabric.regionsPerRank else { return false }
        let target = regions[rank &* SoftFabric.regionsPerRank &+ Int(region)]
        return offset <= target.byteCount && UInt64(byteCount) <= target.byteCount &- offset
    }

    @inlinable
    func address(rank: Int, region: UInt8, offset: UInt64) -> UnsafeMutableRawPointer? {
        regions[rank &* SoftFabric.regionsPerRank &+ Int(region)].base.map { $0 + Int(offset) }
    }

    /// Books `duration` on the receiving port of `rank` not before `earliest`; returns the start.
    @inlinable
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
