// A full queue pair: who gets the next slot, and what waits with whoever does not.

import PerseusCommandRing
import PerseusProxy
import PerseusTransport
import Testing

@Suite struct FullQueueTests {
    /// Ten puts to each of three peers over one queue pair with one slot.
    @Test func slotsGoRound() {
        let rig = ProxyRig(.inOrder, nic: NICScript(queueDepth: 1))
        for index in 0..<10 {
            for lane in 1...3 { rig.put(lane, at: index * 16) }
        }
        rig.step()
        for post in 0..<22 {
            #expect(rig.nic.posts.count == post + 1)
            rig.nic.complete(post)
            rig.step()
        }
        let peers = rig.nic.posts.dropFirst().map(\.peer)
        for first in 0...peers.count - 3 {
            #expect(Set(peers[first..<first + 3]) == [1, 2, 3], "from post \(first) on: \(peers)")
        }
        rig.finish()
        for lane in 1...3 {
            let offsets = rig.nic.posts.filter { $0.peer == lane }.map { $0.request.remoteOffset }
            #expect(offsets == (0..<10).map { UInt64($0 * 16) }, "lane \(lane) keeps its order")
        }
    }

    /// Pushed in turn to ranks 1 and 2, which have queue pairs of their own; the one of rank 1 is full.
    private func makeRig(stalls: Bool) -> ProxyRig {
        let rig = ProxyRig(.inOrder, nic: NICScript(queueCount: 2, queueDepth: 2)) {
            $0.stallsWhenFull = stalls
        }
        for index in 0..<3 { rig.put(1, at: index * 16) }
        for index in 3..<8 { rig.put(1 + index % 2, at: index * 16) }
        return rig
    }

    @Test func aProxyThatWaitsInPlaceDrainsNothingMeanwhile() {
        let rig = makeRig(stalls: true)
        rig.step()
        #expect(rig.nic.log() == ["put 1 @0 x32", "put 1 @16 x32"])
        let position = rig.ring.retiredPosition
        #expect(position == 3, "the refused command is the last that was taken")
        for _ in 0..<3 { #expect(rig.step().drained == 0) }
        #expect(rig.ring.retiredPosition == position)
        // A slot is free: the refused put takes it before anything else is drained.
        rig.nic.complete(0)
        rig.step()
        #expect(rig.nic.log(from: 2).prefix(2) == ["put 1 @32 x32", "put 2 @48 x32"])
        rig.finish()
        #expect(rig.nic.posts.map { Int($0.request.remoteOffset) } == (0..<8).map { $0 * 16 })
    }

    @Test func aProxyThatParksGoesOnWithOtherLanes() {
        let rig = makeRig(stalls: false)
        rig.step()
        #expect(
            rig.nic.log() == [
                "put 1 @0 x32", "put 1 @16 x32", "put 2 @48 x32", "put 2 @80 x32",
            ])
        #expect(rig.ring.retiredPosition == 8, "everything was taken")
        rig.finish()
        #expect(rig.nic.posts.count == 8)
        for lane in 1...2 {
            let offsets = rig.nic.posts.filter { $0.peer == lane }.map { $0.request.remoteOffset }
            #expect(offsets == offsets.sorted(), "lane \(lane) keeps its order")
        }
    }

    /// Signals and puts of several lanes over short queues, with completions in any order of the queues.
    @Test(arguments: [SignalOrdering.inOrder, .fenceFlag, .drainPeer, .drainAll])
    func waitingInPlaceIsFirstInFirstOut(_ ordering: SignalOrdering) {
        let rig = ProxyRig(ordering, nic: NICScript(queueCount: 3, queueDepth: 2), ranks: 7) {
            $0.stallsWhenFull = true
            $0.stallsOnDrain = true
        }
        var pushed: [String] = []
        for index in 0..<40 {
            let lane = 1 + index * index % 6
            if index % 3 == 2 {
                rig.signal(lane, at: index)
                pushed.append("signal \(lane) @\(index)")
            } else {
                rig.put(lane, at: index * 16)
                pushed.append("put \(lane) @\(index * 16)")
            }
        }
        for round in 0..<200 where rig.nic.posts.count < pushed.count {
            rig.step()
            let open = rig.nic.openPosts
            if let next = open.dropFirst(round % 2 == 0 ? 0 : open.count / 2).first {
                rig.nic.complete(next)
            }
        }
        rig.step()
        rig.finish()
        let posted = rig.nic.log().map { $0.split(separator: " ").prefix(3).joined(separator: " ") }
        #expect(posted == pushed)
    }
}
