// The event queue against a sorted list, operation by operation.

import Testing

@testable import PerseusPrimitives

/// What a queue must do: events in (time, insertion) order, by search.
private struct SortedList {
    private var events: [(time: UInt64, payload: Int)] = []

    var nextTime: UInt64? { events.first?.time }
    var count: Int { events.count }

    /// Behind every event of the same time.
    mutating func push(time: UInt64, _ payload: Int) {
        let place = events.firstIndex { $0.time > time } ?? events.count
        events.insert((time, payload), at: place)
    }

    mutating func pop() -> (time: UInt64, payload: Int) { events.removeFirst() }
}

@Suite struct EventHeapTests {
    @Test(arguments: 1...20)
    func eventsComeInTimeAndInsertionOrder(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var heap = EventHeap<Int>(capacity: 16)
        var expected: [(UInt64, Int)] = []
        for index in 0..<500 {
            let time = UInt64(random.next(below: 40))
            heap.pushGrowing(time: time, index)
            expected.append((time, index))
        }
        expected.sort { ($0.0, $0.1) < ($1.0, $1.1) }
        for (time, index) in expected {
            let event = heap.pop()
            #expect(event.time == time && event.payload == index, "seed \(seed)")
        }
        let isEmpty = heap.isEmpty
        #expect(isEmpty)
    }

    /// Pushes and pops in random order; few distinct times, so that ties decide, and now and then the whole range.
    @Test(arguments: 1...60)
    func everyOperationAgreesWithASortedList(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed), stream: 7)
        var heap = EventHeap<Int>(capacity: 16 + seed % 4)
        var list = SortedList()
        // Some heaps run out of sequence numbers under way, several times.
        if seed % 3 == 0 { heap.nextSequence = .max - UInt32(random.next(below: 100)) }
        let limit = 1 + random.next(below: 300)
        let range = 1 + random.next(below: 30)
        var now: UInt64 = 0
        for index in 0..<2000 {
            let (nextTime, isEmpty) = (heap.nextTime, heap.isEmpty)
            #expect(nextTime == list.nextTime, "seed \(seed)")
            #expect(isEmpty == (list.count == 0), "seed \(seed)")
            let pushes = list.count == 0 || (list.count < limit && random.chance(0.55))
            if pushes {
                let time =
                    random.chance(0.01) ? random.next() : now &+ UInt64(random.next(below: range))
                heap.pushGrowing(time: time, index)
                list.push(time: time, index)
            } else {
                let event = heap.pop()
                let expected = list.pop()
                now = expected.time
                #expect(
                    event.time == expected.time && event.payload == expected.payload,
                    "seed \(seed), operation \(index)")
            }
            if seed % 6 == 0 && random.chance(0.01) {
                heap.nextSequence = max(heap.nextSequence, .max - 3)
            }
        }
    }

    /// Every shape of up to 40 events: each number of children that the last parent can have.
    @Test func everySizeIsEmptiedInOrder() {
        for count in 1...40 {
            for seed in 1...5 {
                var random = SeededRandom(seed: UInt64(seed), stream: UInt64(count))
                var heap = EventHeap<UInt32>(capacity: count)
                var list = SortedList()
                for index in 0..<count {
                    let time = UInt64(random.next(below: 6))
                    heap.push(time: time, UInt32(index))
                    list.push(time: time, index)
                }
                for _ in 0..<count {
                    let expected = list.pop()
                    let event = heap.pop()
                    #expect(event.time == expected.time && event.payload == expected.payload)
                }
            }
        }
    }

    /// The highest bit of a time is part of its order.
    @Test func timesAreUnsigned() {
        var heap = EventHeap<Int>(capacity: 4)
        for (index, time) in [UInt64.max, 0, 1 << 63, (1 << 63) - 1, .max].enumerated() {
            heap.push(time: time, index)
        }
        #expect((0..<5).map { _ in heap.pop().payload } == [1, 3, 2, 0, 4])
    }

    @Test func sequenceNumbersThatRunOutKeepTheOrder() {
        var heap = EventHeap<Int>(capacity: 64)
        heap.nextSequence = .max - 10
        for index in 0..<40 { heap.push(time: UInt64(index % 2), index) }
        let nextSequence = heap.nextSequence
        #expect(nextSequence < 64)
        let order = (0..<40).map { _ in heap.pop().payload }
        #expect(
            order == Array(stride(from: 0, to: 40, by: 2)) + Array(stride(from: 1, to: 40, by: 2)))
    }

    @Test func anEventOfTheRunnerHasSixteenBytes() {
        #expect(MemoryLayout<EventHeap<UInt32>.Event>.stride == 16)
    }

    @Test func misuseTraps() async {
        await #expect(processExitsWith: .failure) {
            var heap = EventHeap<Int>(capacity: 16)
            _ = heap.pop()
        }
        await #expect(processExitsWith: .failure) {
            var heap = EventHeap<Int>(capacity: 16)
            for index in 0..<17 { heap.push(time: 0, index) }
        }
        await #expect(processExitsWith: .failure) {
            _ = EventHeap<Int>(capacity: 1 << 31 + 1)
        }
    }
}
