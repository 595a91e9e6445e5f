// Timed events in (time, insertion) order: the one queue of the soft NIC and of virtual time.

/// A heap of `(time, payload)` that gives equal times back in the order in which they came.
///
/// The order is total, so a run is the same on every machine. `pushGrowing` doubles
/// the memory when it is full; it is never given back.
///
/// Every event has four children: half as many levels as with two, and with a payload of four bytes the four have the
/// length of a cache line. Behind the last event stand three places that are later than any event, so that four
/// children can be compared without asking how many there are. Measured: docs/benchmarks.md.
/// - Complexity: O(log n) per operation.
@frozen
public struct EventHeap<Payload: BitwiseCopyable>: ~Copyable {
    @frozen
    public struct Event: BitwiseCopyable {
        public var time: UInt64
        /// Place among the insertions; 32 bits, so that an event of the runner has 16 bytes. See `renumber`.
        @usableFromInline var sequence: UInt32
        public var payload: Payload

        @inlinable @inline(__always)
        init(time: UInt64, sequence: UInt32, payload: Payload) {
            self.time = time
            self.sequence = sequence
            self.payload = payload
        }

        /// Time, then sequence, as one number: which of two events is earlier cannot be predicted, so it is no branch.
        @inlinable @inline(__always)
        var order: UInt128 {
            UInt128(truncatingIfNeeded: time) << 64 | UInt128(truncatingIfNeeded: sequence)
        }

        /// Later than every event.
        @inlinable @inline(__always)
        mutating func becomePadding() {
            time = .max
            sequence = .max
        }
    }

    /// The children of `index` are at `4 * index + 1 ... 4 * index + 4`; behind the last event, `paddingCount` places
    /// have the latest time and a sequence that no event gets.
    @usableFromInline var events: UnsafeMutablePointer<Event>
    @usableFromInline var capacity: Int
    @usableFromInline var count = 0
    public var isEmpty: Bool { count == 0 }
    /// Above that of every event in the heap.
    @usableFromInline var nextSequence: UInt32 = 0

    /// The first child is an event where its siblings are not.
    @usableFromInline static var paddingCount: Int { 3 }
    /// Half of the sequence numbers: a renumbered heap has as many to go as it holds.
    @usableFromInline static var largestCapacity: Int { 1 << 31 }

    public init(capacity: Int) {
        precondition(capacity <= Self.largestCapacity, "EventHeap: more than 2^31 events")
        self.capacity = max(16, capacity)
        events = Self.allocate(self.capacity)
        for index in 0..<Self.paddingCount { events[index].becomePadding() }
    }

    deinit { Self.deallocate(events) }

    /// The earliest time, or nil when empty.
    @inlinable @inline(__always)
    public var nextTime: UInt64? { count > 0 ? events[0].time : nil }

    /// True when the earliest event comes before one at `time` with `sequence`.
    @inlinable @inline(__always)
    public func isNextBefore(time: UInt64, sequence: UInt32) -> Bool {
        count > 0
            && (events[0].time < time
                || (events[0].time == time && events[0].sequence < sequence))
    }

    /// The place in the order of an event that its owner keeps himself, as if it were pushed now. It is good until the
    /// heap is renumbered, 2^32 insertions later at the earliest.
    @inlinable @inline(__always)
    public mutating func reserveSequence() -> UInt32 {
        if nextSequence == .max { renumber() }
        nextSequence &+= 1
        return nextSequence &- 1
    }

    /// The next place in the order makes the heap number its events anew: those that are outside must be put back.
    @inlinable @inline(__always)
    public var needsNumbering: Bool { nextSequence == .max }

    /// An event that its owner keeps himself, with its place in the order, as if it were pushed now.
    @inlinable @inline(__always)
    public mutating func makeEvent(time: UInt64, _ payload: Payload) -> Event {
        Event(time: time, sequence: reserveSequence(), payload: payload)
    }

    /// Adds an event that was popped, or made by `makeEvent`: it keeps its place in the order.
    @inlinable
    public mutating func putBack(_ event: Event) {
        if count == capacity { grow() }
        insert(event)
    }

    /// Adds an event and takes more memory where it is needed: not for the hot path.
    @inlinable
    public mutating func pushGrowing(time: UInt64, _ payload: Payload) {
        if count == capacity { grow() }
        push(time: time, payload)
    }

    /// Adds an event; the caller has sized the heap for all there can be.
    @inlinable @inline(__always)
    public mutating func push(time: UInt64, _ payload: Payload) {
        insert(Event(time: time, sequence: reserveSequence(), payload: payload))
    }

    @inlinable @inline(__always)
    mutating func insert(_ event: Event) {
        precondition(count < capacity, "EventHeap: more events than it was made for")
        // A copy of the pointer stays in a register; the property is read again behind every store.
        let events = events
        var hole = count
        count &+= 1
        events[hole &+ Self.paddingCount].becomePadding()
        while hole > 0 {
            let parent = (hole &- 1) >> 2
            guard event.order < events[parent].order else { break }
            (events + hole).initialize(from: events + parent, count: 1)
            hole = parent
        }
        events[hole] = event
    }

    /// Removes the earliest event; the caller has checked that there is one.
    @inlinable @inline(__always)
    public mutating func pop() -> Event {
        precondition(count > 0, "EventHeap: pop of an empty heap")
        let events = events
        let first = events[0]
        count &-= 1
        // It stays where it is while the hole sinks: even as one of four children it is not earlier than itself.
        let last = events + count
        let order = last.pointee.order
        var hole = 0
        while 4 &* hole &+ 1 < count {
            let child = Self.earliestChild(of: hole, in: events)
            guard events[child].order < order else { break }
            // As a block: an assignment would copy the payload field by field.
            (events + hole).initialize(from: events + child, count: 1)
            hole = child
        }
        if count > 0 { (events + hole).initialize(from: last, count: 1) }
        last.pointee.becomePadding()
        return first
    }

    /// The earliest of four places, of which the first at least is an event.
    @inlinable @inline(__always)
    static func earliestChild(of parent: Int, in events: UnsafeMutablePointer<Event>) -> Int {
        let child = 4 &* parent &+ 1
        let left = child &+ (events[child &+ 1].order < events[child].order ? 1 : 0)
        let right = child &+ 2 &+ (events[child &+ 3].order < events[child &+ 2].order ? 1 : 0)
        return events[right].order < events[left].order ? right : left
    }

    // MARK: Control path

    /// Numbers the events anew from 0 in their order, when the sequence numbers are used up: every 2^32 insertions.
    ///
    /// Only the order of the numbers of events that are in the heap together counts, and it stays: those inside keep
    /// theirs, and whatever comes later gets a higher one.
    /// - Complexity: O(n log n), with memory for n events.
    @inlinable @inline(never)
    mutating func renumber() {
        let total = count
        let sorted = UnsafeMutablePointer<Event>.allocate(capacity: total)
        for index in 0..<total { sorted[index] = pop() }
        // Rising from the root on: a heap.
        for index in 0..<total {
            events[index] = sorted[index]
            events[index].sequence = UInt32(truncatingIfNeeded: index)
        }
        sorted.deallocate()
        count = total
        nextSequence = UInt32(truncatingIfNeeded: total)
    }

    @usableFromInline
    mutating func grow() {
        precondition(capacity <= Self.largestCapacity / 2, "EventHeap: more than 2^31 events")
        let larger = Self.allocate(capacity * 2)
        larger.update(from: events, count: count + Self.paddingCount)
        Self.deallocate(events)
        events = larger
        capacity *= 2
    }

    /// Bytes of a cache line, with which the first four siblings begin.
    private static var lineByteCount: Int { 64 }

    private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Event> {
        let stride = MemoryLayout<Event>.stride
        precondition(stride <= lineByteCount, "EventHeap: the payload is too large")
        let memory = UnsafeMutableRawPointer.allocateDense(
            byteCount: lineByteCount + stride * (capacity + paddingCount), alignment: lineByteCount)
        return (memory + lineByteCount - stride).assumingMemoryBound(to: Event.self)
    }

    private static func deallocate(_ events: UnsafeMutablePointer<Event>) {
        (UnsafeMutableRawPointer(events + 1) - lineByteCount).deallocateDense()
    }
}
