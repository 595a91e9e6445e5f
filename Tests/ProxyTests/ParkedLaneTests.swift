// Lanes that cannot go on park alone; what stalls the whole proxy, and what pushes back into the ring.

import PerseusCommandRing
import PerseusProxy
import PerseusTransport
import Testing

@Suite struct ParkedLaneTests {
    @Test func aFullQueueParksItsLaneOnly() {
        let rig = ProxyRig(.inOrder, nic: NICScript(queueCount: 2, queueDepth: 2))
        for index in 0..<4 { rig.put(1, at: index * 16) }
        rig.put(2, at: 160)
        rig.step()
        #expect(rig.nic.log() == ["put 1 @0 x32", "put 1 @16 x32", "put 2 @160 x32"])
        #expect(rig.counters.parkedCommands == 2)
        rig.nic.complete(0)
        rig.step()
        #expect(rig.nic.log(from: 3) == ["put 1 @32 x32"])
        rig.finish()
        #expect(rig.nic.log(from: 4) == ["put 1 @48 x32"])
    }

    @Test func commandsBehindAParkedOneKeepTheirOrder() {
        let rig = ProxyRig(.inOrder, nic: NICScript(queueDepth: 1))
        rig.put(1, at: 0)
        rig.put(1, at: 16)
        rig.signal(1, at: 0, [1, 2, 3])
        rig.put(1, at: 32)
        rig.signal(1, at: 7, [4])
        rig.step()
        // There is room now, and a later command must not use it first.
        rig.nic.complete(0)
        rig.put(1, at: 48)
        rig.finish()
        #expect(
            rig.nic.log() == [
                "put 1 @0 x32", "put 1 @16 x32", "signal 1 @0 [1 2 3]", "put 1 @32 x32",
                "signal 1 @7 [4]", "put 1 @48 x32",
            ])
    }

    /// Lanes 1, 3, 5, … wait for one queue pair and 2, 4, … for the other: one lane of each is asked, not all.
    @Test func aTurnAsksOneLaneOfAFullQueue() {
        let rig = ProxyRig(.inOrder, nic: NICScript(queueCount: 2, queueDepth: 1), ranks: 200)
        for lane in 1..<200 { rig.put(lane, at: lane * 16) }
        rig.step(10)
        let waiting = rig.nic.refusedCount
        rig.step()
        #expect(rig.nic.refusedCount - waiting == 2)
        rig.nic.complete(0)
        rig.step()
        #expect(rig.nic.log() == ["put 1 @16 x32", "put 2 @32 x32", "put 3 @48 x32"])
        rig.finish()
        #expect(rig.nic.posts.map(\.peer) == Array(1..<200))
    }

    @Test func aDrainOfOnePeerParksOneLane() {
        let rig = ProxyRig(.drainPeer)
        rig.put(1)
        rig.signal(1)
        rig.put(1, at: 64)
        rig.put(2, at: 128)
        #expect(!rig.step().isStalled)
        #expect(rig.nic.log() == ["put 1 @0 x32", "put 2 @128 x32"])
        rig.nic.complete(0)
        rig.step()
        #expect(rig.nic.log(from: 2) == ["signal 1 @0 [1]", "put 1 @64 x32"])
    }

    @Test(arguments: [SignalOrdering.drainAll, .drainPeer])
    func aStallingDrainStopsEverything(ordering: SignalOrdering) {
        let rig = ProxyRig(ordering) { $0.stallsOnDrain = true }
        rig.put(1)
        rig.signal(1)
        rig.put(2, at: 128)
        #expect(rig.step().isStalled)
        rig.step(3)
        #expect(rig.nic.log() == ["put 1 @0 x32"])
        #expect(rig.ring.retiredPosition == 3, "the put to rank 2 waits in the ring")
        rig.nic.complete(0)
        #expect(!rig.step().isStalled)
        #expect(rig.nic.log(from: 1) == ["signal 1 @0 [1]", "put 2 @128 x32"])
    }

    @Test func anExhaustedBacklogPushesBackIntoTheRing() {
        let rig = ProxyRig(.inOrder, nic: NICScript(queueDepth: 1), ringCapacity: 16) {
            $0.backlogSlotCount = 8
            $0.signalWordCapacity = 4
            $0.groupWordLimit = 4
        }
        var pushedCount = 0
        for _ in 0..<10 {
            while rig.put(1, at: pushedCount * 16, bytes: 16) { pushedCount += 1 }
            rig.step()
        }
        #expect(pushedCount < 32, "the ring has refused commands")
        #expect(rig.ring.claimedPosition - rig.ring.retiredPosition == 16)
        rig.finish()
        #expect(rig.nic.posts.map { Int($0.request.remoteOffset) / 16 } == Array(0..<pushedCount))
    }

    @Test func aStepDrainsNoMoreThanItsBatch() {
        let rig = ProxyRig(.inOrder) { $0.batchLimit = 8 }
        for index in 0..<20 { rig.put(1, at: index * 16) }
        #expect((0..<4).map { _ in rig.step().drained } == [8, 8, 4, 0])
        #expect(rig.nic.doorbellCount == 3, "one doorbell for each batch")
        #expect(rig.step().isIdle)
    }

    @Test func aStepTakesABoundedNumberOfCompletions() {
        let rig = ProxyRig(.inOrder)
        for index in 0..<100 { rig.put(1, at: index * 16) }
        rig.step(4)
        rig.nic.completeAll()
        let first = rig.step().completed
        #expect(first > 0 && first < 100)
        rig.finish()
        #expect(rig.counters.completions == 100)
    }

    /// A kernel that posts itself pushes a put and its signal as one: where the first has found room in the backlog,
    /// the second must.
    @Test func aSubmittedPutLeavesRoomForItsSignal() {
        let rig = ProxyRig(.inOrder, nic: NICScript(queueDepth: 1)) {
            $0.backlogSlotCount = 12
            $0.signalWordCapacity = 8
            $0.groupWordLimit = 8
        }
        let place = HeapLocation(.data, byteOffset: 0)
        let put = Command.put(destination: 1, source: place, target: place, byteCount: 16)
        let header = Command.signalBlock(
            destination: 1, target: HeapLocation(.signal, byteOffset: 0), wordCount: 8)
        let words = [UInt64](repeating: 1, count: 8)
        let noWords = UnsafeBufferPointer<UInt64>(start: nil, count: 0)
        var pairCount = 0
        while rig.loop.submit(put, words: noWords, now: 0) {
            let isTaken = words.withUnsafeBufferPointer {
                rig.loop.submit(header, words: $0, now: 0)
            }
            #expect(isTaken, "pair \(pairCount)")
            guard isTaken else { return }
            pairCount += 1
        }
        #expect(pairCount > 0)
    }
}
