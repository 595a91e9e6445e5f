// The loop that `bench simulator` times: the queue of the simulator in the same steps as its C baseline.

import CBenchmarkBaselines
import PerseusPrimitives

/// What an event carries in this benchmark.
protocol EventPayload: BitwiseCopyable {
    init(index: UInt32)
    /// All of it, for the checksum.
    var word: UInt64 { get }
    static var baseline: perseus_baseline_payload { get }
    /// `holdEvents`, compiled for this payload: reached through a protocol, a generic body would ask for the size of
    /// every event while it runs.
    static func hold(
        _ heap: inout EventHeap<Self>, _ increments: inout EventIncrements, count: Int
    ) -> UInt64
}

/// The runner of virtual time: which of its roles is due.
extension UInt32: EventPayload {
    init(index: UInt32) { self = index }
    var word: UInt64 { UInt64(self) }
    static var baseline: perseus_baseline_payload { PERSEUS_BASELINE_PAYLOAD_RUNNER }

    @inline(never)
    static func hold(
        _ heap: inout EventHeap<UInt32>, _ increments: inout EventIncrements, count: Int
    ) -> UInt64 { holdEvents(&heap, &increments, count: count) }
}

/// The layout of `NICEvent`, which only the soft NIC can make; a test compares the two.
struct NICPayload: EventPayload {
    var kind: UInt8
    var fragment: UInt16
    var entry: Int32
    var immediate: UInt32

    init(index: UInt32) {
        kind = UInt8(index % 5)
        fragment = UInt16(index % 4)
        entry = Int32(bitPattern: index)
        immediate = ~index
    }

    var word: UInt64 {
        UInt64(kind) &+ UInt64(fragment) &+ UInt64(immediate)
            &+ UInt64(bitPattern: Int64(entry)) << 32
    }

    static var baseline: perseus_baseline_payload { PERSEUS_BASELINE_PAYLOAD_NIC }

    @inline(never)
    static func hold(
        _ heap: inout EventHeap<NICPayload>, _ increments: inout EventIncrements, count: Int
    ) -> UInt64 { holdEvents(&heap, &increments, count: count) }
}

/// The increments of the hold model: xorshift64, as little as possible beside the heap.
struct EventIncrements {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// Below 65,536 ns: the times that messages and products of a layer take.
    @inline(__always)
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state & 0xFFFF
    }
}

/// A queue that can be held at its number of events.
protocol TimedEvents: AnyObject {
    /// `count` times: removes the earliest event and adds its successor. Returns a checksum of what came out.
    func hold(_ count: Int) -> UInt64
}

/// The heap of Perseus.
final class SwiftEvents<Payload: EventPayload>: TimedEvents {
    private var heap: EventHeap<Payload>
    private var increments: EventIncrements

    init(pending: Int, seed: UInt64) {
        heap = EventHeap(capacity: pending)
        increments = EventIncrements(seed: seed)
        for index in 0..<pending {
            heap.push(time: increments.next(), Payload(index: UInt32(index)))
        }
    }

    func hold(_ count: Int) -> UInt64 { Payload.hold(&heap, &increments, count: count) }
}

@inline(__always)
private func holdEvents<Payload: EventPayload>(
    _ heap: inout EventHeap<Payload>, _ increments: inout EventIncrements, count: Int
) -> UInt64 {
    var sum: UInt64 = 0xCBF2_9CE4_8422_2325
    var done = 0
    while done < count {
        let event = heap.pop()
        sum = (sum ^ event.time ^ event.payload.word) &* 0x100_0000_01B3
        heap.push(time: event.time &+ increments.next(), event.payload)
        done &+= 1
    }
    return sum
}

/// The same heap in C.
final class BaselineEvents: TimedEvents {
    private let queue: OpaquePointer

    init(_ payload: perseus_baseline_payload, pending: Int, seed: UInt64) {
        queue = perseus_baseline_events_create(payload, UInt64(pending), seed)
    }

    deinit { perseus_baseline_events_destroy(queue) }

    func hold(_ count: Int) -> UInt64 { perseus_baseline_events_hold(queue, UInt64(count)) }
}
