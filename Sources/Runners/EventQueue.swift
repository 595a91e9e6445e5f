// The event queue of virtual time: a heap, and before it the few earliest events.

import PerseusPrimitives

/// Events in (time, insertion) order, as an `EventHeap` gives them.
///
/// Many events are made shortly before they are due: the earliest ones stand in a short sorted list, where such an event
/// is put in among them and never sees the heap.
struct EventQueue: ~Copyable {
    typealias Event = EventHeap<UInt32>.Event

    private var heap: EventHeap<UInt32>
    /// A ring of the earliest events, all of them before those of the heap.
    private let list: UnsafeMutablePointer<Event>
    private var head = 0
    private var tail = 0

    /// Events that the list is filled up to, and most that it holds.
    private static var refill: Int { 4 }
    private static var limit: Int { 16 }

    init() {
        heap = EventHeap(capacity: 4096)
        list = .allocate(capacity: Self.limit)
    }

    deinit { list.deallocate() }

    @inline(__always)
    private func place(_ position: Int) -> UnsafeMutablePointer<Event> {
        list + position & (Self.limit &- 1)
    }

    /// Takes events out of the heap, so that the next one is in the list.
    @inline(__always)
    mutating func fill() {
        while tail &- head < Self.refill && !heap.isEmpty {
            place(tail).initialize(to: heap.pop())
            tail &+= 1
        }
    }

    /// The time of the next event, after `fill`; nil: there is none.
    @inline(__always)
    var nextTime: UInt64? { head < tail ? place(head).pointee.time : nil }

    /// Removes the next event; the caller has seen that there is one.
    @inline(__always)
    mutating func pop() -> UInt32 {
        head &+= 1
        return place(head &- 1).pointee.payload
    }

    @inline(__always)
    mutating func push(time: UInt64, _ payload: UInt32) {
        // Numbers are given anew to events of the heap only.
        if heap.needsNumbering { while tail > head { spill() } }
        guard head < tail, time < place(tail &- 1).pointee.time else {
            heap.pushGrowing(time: time, payload)
            return
        }
        if tail &- head == Self.limit { spill() }
        let event = heap.makeEvent(time: time, payload)
        var hole = tail
        while hole > head, time < place(hole &- 1).pointee.time {
            place(hole).initialize(to: place(hole &- 1).pointee)
            hole &-= 1
        }
        place(hole).initialize(to: event)
        tail &+= 1
    }

    /// Puts the last event of the list back into the heap.
    private mutating func spill() {
        tail &-= 1
        heap.putBack(place(tail).pointee)
    }
}
