// One destination as a proxy sees it: what waits, what is in flight, what a signal would have to cover.

import PerseusPrimitives

/// Why a lane takes no new command; its commands wait in the backlog meanwhile.
@frozen
public enum LaneState: UInt8, BitwiseCopyable, Sendable {
    case open
    /// A signal waits for this destination's completions.
    case draining
    /// The queue pair had no free slot.
    case full
    /// The peer is dead or an operation passed its deadline; commands are dropped and counted.
    case failed
}

/// The state of one destination: one cache line. A lane has one owner, the proxy thread of its ring, so nothing in it is
/// shared.
@frozen
public struct Lane: BitwiseCopyable {
    public var state: LaneState = .open
    @usableFromInline var marks = LaneMarks()
    /// Signals that were admitted and not yet posted, as entries of the lane's slice of the pending table.
    @usableFromInline var pendingCount: UInt16 = 0
    /// Entries of the pending slice that were posted already, while a full queue pair interrupts a flush.
    @usableFromInline var pendingPosted: UInt16 = 0
    /// The slice, while there are pending signals.
    @usableFromInline var pendingSlice: UInt16 = 0
    /// Queue pair that this destination is pinned to.
    @usableFromInline var queue: UInt16 = 0
    /// Posted since the last signaled request (selective completions).
    @usableFromInline var unsignaledCount: UInt16 = 0
    /// Requests posted and not completed.
    public var inFlightCount: UInt32 = 0
    /// FIFO of in-flight entries; -1 when empty.
    @usableFromInline var oldestInFlight: Int32 = -1
    @usableFromInline var newestInFlight: Int32 = -1
    /// FIFO of waiting command slots; -1 when empty.
    @usableFromInline var backlogHead: Int32 = -1
    @usableFromInline var backlogTail: Int32 = -1
    /// Sequence number of the last put to this destination, and the last one that is ordered already.
    @usableFromInline var lastData: UInt64 = 0
    @usableFromInline var orderedThrough: UInt64 = 0
    /// When the current drain began.
    @usableFromInline var waitingSince: UInt64 = 0
    /// When the oldest of the waiting commands or signals came, or the lane last made progress.
    @usableFromInline var queuedSince: UInt64 = 0

    @inlinable
    init() {}

    /// Phase of the pending signals: 0 dispatch, 1 combine.
    @inlinable @inline(__always)
    var pendingPhase: UInt8 {
        get { marks.rawValue & LaneMarks.isCombine.rawValue }
        set { marks.rawValue = marks.rawValue & ~LaneMarks.isCombine.rawValue | newValue }
    }

    /// The pending signals must go before anything else: their group is closed.
    @inlinable @inline(__always)
    var isFlushing: Bool {
        get { marks.rawValue & LaneMarks.isFlushing.rawValue != 0 }
        set { marks.set(.isFlushing, newValue) }
    }

    /// The drain that the pending signals need has been counted and has begun.
    @inlinable @inline(__always)
    var hasBegunDrain: Bool {
        get { marks.rawValue & LaneMarks.hasBegunDrain.rawValue != 0 }
        set { marks.set(.hasBegunDrain, newValue) }
    }
}

/// The yes-or-no facts of a lane, in one byte.
@frozen
public struct LaneMarks: BitwiseCopyable {
    @usableFromInline var rawValue: UInt8

    @inlinable @inline(__always)
    init(rawValue: UInt8 = 0) { self.rawValue = rawValue }

    @inlinable @inline(__always)
    static var isCombine: LaneMarks { LaneMarks(rawValue: 1) }
    @inlinable @inline(__always)
    static var isFlushing: LaneMarks { LaneMarks(rawValue: 2) }
    @inlinable @inline(__always)
    static var hasBegunDrain: LaneMarks { LaneMarks(rawValue: 4) }

    @inlinable @inline(__always)
    mutating func set(_ mark: LaneMarks, _ isSet: Bool) {
        rawValue = isSet ? rawValue | mark.rawValue : rawValue & ~mark.rawValue
    }
}

/// A signal word that waits to be posted, and where it goes.
@frozen
public struct PendingSignal: BitwiseCopyable {
    /// 8-byte words from the start of the peer's signal region.
    @usableFromInline var wordOffset: UInt64
    @usableFromInline var word: UInt64

    @inlinable
    init(wordOffset: UInt64, word: UInt64) {
        self.wordOffset = wordOffset
        self.word = word
    }
}

/// The pending signals of all lanes: a slice for each lane that has some, in memory for as many as have held signals at
/// once, up to twice as many.
@frozen
public struct PendingTable: BitwiseCopyable {
    @usableFromInline var entries: UnsafeMutablePointer<PendingSignal>
    /// Entries of one slice.
    @usableFromInline let capacity: Int
    /// Slices that there is memory for.
    @usableFromInline var room: Int
    /// Slices that were given back, the last one first, and the lowest that was never taken.
    @usableFromInline let free: UnsafeMutablePointer<UInt16>
    @usableFromInline var freeCount = 0
    @usableFromInline var fresh = 0

    init(laneCount: Int, capacity: Int, room: Int) {
        self.capacity = capacity
        self.room = min(laneCount, room)
        entries = .allocateDense(capacity: self.room * capacity)
        free = .allocateDense(capacity: laneCount)
    }

    /// Frees the memory; the owner calls it once.
    func deallocate() {
        entries.deallocateDense()
        free.deallocateDense()
    }

    /// A slice that no lane has; there is one for each.
    @inlinable @inline(__always)
    mutating func take() -> UInt16 {
        if freeCount == 0 {
            if fresh == room { grow() }
            fresh &+= 1
            return UInt16(truncatingIfNeeded: fresh &- 1)
        }
        freeCount &-= 1
        return free[freeCount]
    }

    @inlinable @inline(__always)
    mutating func give(_ slice: UInt16) {
        free[freeCount] = slice
        freeCount &+= 1
    }

    @usableFromInline
    mutating func grow() {
        entries.growDense(from: room * capacity, to: room * 2 * capacity)
        room *= 2
    }

    @inlinable @inline(__always)
    subscript(_ slice: UInt16) -> UnsafeMutablePointer<PendingSignal> {
        entries + Int(slice) &* capacity
    }
}
