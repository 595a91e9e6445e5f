// The event queue of virtual time against the heap alone, operation by operation.

import PerseusPrimitives
import Testing

@testable import PerseusRunners

@Suite struct EventQueueTests {
    /// Few distinct times, so that ties decide; some events far ahead, so that the list and the heap both have some.
    @Test(arguments: 1...40)
    func everyOperationAgreesWithAHeap(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed), stream: 11)
        var queue = EventQueue()
        var heap = EventHeap<UInt32>(capacity: 16)
        let limit = 1 + random.next(below: 200)
        let range = 1 + random.next(below: 60)
        var now: UInt64 = 0
        var count = 0
        for payload in 0..<3000 {
            queue.fill()
            let (time, expected) = (queue.nextTime, heap.nextTime)
            #expect(time == expected, "seed \(seed)")
            if count == 0 || (count < limit && random.chance(0.55)) {
                let ahead = random.chance(0.3) ? 50 * range : range
                let due = now &+ UInt64(random.next(below: ahead))
                queue.push(time: due, UInt32(payload))
                heap.pushGrowing(time: due, UInt32(payload))
                count += 1
            } else {
                let event = heap.pop()
                let popped = queue.pop()
                #expect(popped == event.payload, "seed \(seed), operation \(payload)")
                now = event.time
                count -= 1
            }
        }
    }
}
