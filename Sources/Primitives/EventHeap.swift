// Timed events in (time, insertion) order: the one queue of the soft NIC and of virtual time.

/// A binary heap of `(time, payload)` that gives equal times back in the order in which they came.
///
/// The order is total, so a run is the same on every machine. `pushGrowing` doubles
/// the memory when it is full; it is never given back.
/// - Complexity: O(log n) per operation.
@frozen
public struct EventHeap<Payload: BitwiseCopyable>: ~Copyable {
    @frozen
    public struct Event: BitwiseCopyable {
        public var time: UInt64
        @usableFromInline var sequence: UInt64
        public var payload: Payload

        @inlinable @inline(__always)
        init(time: UInt64, sequence: UInt64, payload: Payload) {
            self.time = time
            self.sequence = sequence
            self.payload = payload
        }

        @inlinable @inline(__always)
        func isBefore(_ other: Event) -> Bool {
            time < other.time || (time == other.time && sequence < other.sequence)
        }
    }

    @usableFromInline var events: UnsafeMutablePointer<Event>
    @usableFromInline var capacity: Int
    @usableFromInline var count = 0
    public var isEmpty: Bool { count == 0 }
    @usableFromInline var nextSequence: UInt64 = 0

    public init(capacity: Int) {
        self.capacity = max(16, capacity)
        events = .allocate(capacity: self.capacity)
    }

    deinit { events.deallocate() }

    /// The earliest time, or nil when empty.
    @inlinable @inline(__always)
    public var nextTime: UInt64? { count > 0 ? events[0].time : nil }

    /// Adds an event and takes more memory where it is needed: not for the hot path.
    @inlinable
    public mutating func pushGrowing(time: UInt64, _ payload: Payload) {
        if count == capacity { grow() }
        push(time: time, payload)
    }

    /// Adds an event; the caller has sized the heap for all there can be.
    @inlinable
    public mutating func push(time: UInt64, _ payload: Payload) {
        precondition(count < capacity, "EventHeap: more events than it was made for")
        let event = Event(time: time, sequence: nextSequence, payload: payload)
        nextSequence &+= 1
        var hole = count
        count &+= 1
        while hole > 0 {
            let parent = (hole &- 1) >> 1
            guard event.isBefore(events[parent]) else { break }
            events[hole] = events[parent]
            hole = parent
        }
        events[hole] = event
    }

    /// Removes the earliest event; the caller has checked that there is one.
    @inlinable
    public mutating func pop() -> Event {
        precondition(count > 0, "EventHeap: pop of an empty heap")
        let first = events[0]
        count &-= 1
        let last = events[count]
        var hole = 0
        while true {
            var child = 2 &* hole &+ 1
            guard child < count else { break }
            if child &+ 1 < count && events[child &+ 1].isBefore(events[child]) { child &+= 1 }
            guard events[child].isBefore(last) else { break }
            events[hole] = events[child]
            hole = child
        }
        events[hole] = last
        return first
    }

    @usableFromInline
    mutating func grow() {
        let larger = UnsafeMutablePointer<Event>.allocate(capacity: capacity * 2)
        larger.update(from: events, count: count)
        events.deallocate()
        events = larger
        capacity *= 2
    }
}
