// One destination as a proxy sees it: what waits, what is in flight, what a signal would have to cover.

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

/// The state of one destination. A lane has one owner, the proxy thread of its ring, so nothing in it is shared.
@frozen
public struct Lane: BitwiseCopyable {
    public var state: LaneState = .open
    /// Phase of the pending signals: 0 dispatch, 1 combine.
    @usableFromInline var pendingPhase: UInt8 = 0
    /// Signals that were admitted and not yet posted, as entries of the lane's slice of the pending table.
    @usableFromInline var pendingCount: UInt16 = 0
    /// Entries of the pending slice that were posted already, while a full queue pair interrupts a flush.
    @usableFromInline var pendingPosted: UInt16 = 0
    /// The pending signals must go before anything else: their group is closed.
    @usableFromInline var isFlushing = false
    /// The drain that the pending signals need has been counted and has begun.
    @usableFromInline var hasBegunDrain = false
    /// Queue pair that this destination is pinned to.
    @usableFromInline var queue: UInt16 = 0
    /// Requests posted and not completed.
    public var inFlightCount: UInt32 = 0
    /// Posted since the last signaled request (selective completions).
    @usableFromInline var unsignaledCount: UInt32 = 0
    /// FIFO of in-flight entries; -1 when empty.
    @usableFromInline var oldestInFlight: Int32 = -1
    @usableFromInline var newestInFlight: Int32 = -1
    /// FIFO of waiting command slots; -1 when empty.
    @usableFromInline var backlogHead: Int32 = -1
    @usableFromInline var backlogTail: Int32 = -1
    @usableFromInline var backlogCount: UInt32 = 0
    /// Sequence number of the last put to this destination, and the last one that is ordered already.
    @usableFromInline var lastData: UInt64 = 0
    @usableFromInline var orderedThrough: UInt64 = 0
    /// When the current drain began.
    @usableFromInline var waitingSince: UInt64 = 0
    /// When the oldest of the waiting commands or signals came, or the lane last made progress.
    @usableFromInline var queuedSince: UInt64 = 0

    @inlinable
    init() {}
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
