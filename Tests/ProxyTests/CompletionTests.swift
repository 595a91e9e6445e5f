// Which requests ask for a completion, what a completion covers, and what a quiet waits for.

import PerseusCommandRing
import PerseusProxy
import PerseusTransport
import Testing

@Suite struct CompletionTests {
    private func rigWithInterval(
        _ interval: Int, ordering: SignalOrdering = .inOrder, nic: NICScript = NICScript(),
        ranks: Int = 4, configure: (inout ProxyConfiguration) -> Void = { _ in }
    ) -> ProxyRig {
        ProxyRig(ordering, nic: nic, ranks: ranks) {
            $0.signalInterval = interval
            configure(&$0)
        }
    }

    private func signaled(_ rig: ProxyRig) -> [Bool] { rig.nic.posts.map(\.request.isSignaled) }

    @Test func everyNthPutAsksAndEverySignal() {
        let rig = rigWithInterval(3)
        for index in 0..<5 { rig.put(1, at: index * 16) }
        rig.signal(1)
        rig.put(1, at: 80)
        rig.step()
        #expect(signaled(rig) == [false, false, true, false, false, true, false])
    }

    @Test func lanesCountForThemselves() {
        let rig = rigWithInterval(2)
        rig.put(1)
        rig.put(2)
        rig.put(1, at: 64)
        rig.step()
        #expect(signaled(rig) == [false, false, true])
    }

    @Test func drainsAndUnorderedCompletionsNeedEveryCompletion() {
        let rigs = [
            rigWithInterval(4, ordering: .drainPeer),
            rigWithInterval(4, nic: NICScript(completesInOrder: false)),
        ]
        for rig in rigs {
            for index in 0..<3 { rig.put(1, at: index * 16) }
            rig.step()
            #expect(signaled(rig) == [true, true, true])
        }
    }

    @Test func lanesOfOneQueuePairShareItsSlots() {
        // Two slots for four lanes: none of them may be unsignaled.
        let rig = rigWithInterval(16, nic: NICScript(queueDepth: 2))
        rig.put(1)
        rig.step()
        #expect(signaled(rig) == [true])
        // Half of 64 slots, divided among four lanes.
        let wide = rigWithInterval(16, nic: NICScript(queueDepth: 64))
        for index in 0..<8 { wide.put(1, at: index * 16) }
        wide.step()
        #expect(signaled(wide).firstIndex(of: true) == 7)
    }

    /// With a queue pair for each of many lanes, the tails that nobody asks after must not fill the pool.
    @Test func unsignaledTailsLeaveRoomInThePool() {
        let rig = rigWithInterval(
            16, nic: NICScript(queueCount: 16, queueDepth: 64), ranks: 16
        ) { $0.inFlightCapacity = 64 }
        for rank in 0..<16 {
            for index in 0..<15 { rig.put(rank, at: index * 16) }
        }
        rig.finish()
        #expect(rig.nic.posts.count == 240)
    }

    @Test func anInOrderCompletionRetiresAllBeforeIt() {
        let rig = rigWithInterval(4, nic: NICScript(queueDepth: 1024)) { $0.inFlightCapacity = 64 }
        for index in 0..<4 { rig.put(1, at: index * 16) }
        rig.put(2)
        rig.quiet(1)
        rig.step()
        #expect(rig.board.published(0) == 0)
        rig.nic.complete(3)
        rig.step()
        #expect(rig.board.published(0) == 1, "one completion covers four puts to rank 1")
    }

    @Test func outOfOrderCompletionsRetireOneEach() {
        let rig = ProxyRig(.drainPeer, nic: NICScript(completesInOrder: false))
        for index in 0..<3 { rig.put(1, at: index * 16) }
        rig.signal(1)
        rig.step()
        for post in [2, 0] {
            rig.nic.complete(post)
            rig.step()
            #expect(rig.nic.posts.count == 3)
        }
        rig.nic.complete(1)
        rig.step()
        #expect(rig.nic.posts.count == 4)
    }
}

@Suite struct QuietTests {
    @Test func aQuietOfAllWaitsForAll() {
        let rig = ProxyRig(.inOrder)
        rig.put(1)
        rig.put(2)
        rig.quiet()
        rig.step()
        rig.nic.complete(0)
        rig.step()
        #expect(rig.board.published(0) == 0)
        rig.nic.complete(1)
        rig.step()
        #expect(rig.board.published(0) == 1)
    }

    @Test func aQuietOfOneDestinationWaitsForThatOne() {
        let rig = ProxyRig(.inOrder)
        rig.put(1)
        rig.put(2)
        rig.quiet(2, board: 1)
        rig.step()
        rig.nic.complete(1)
        rig.step()
        #expect(rig.board.published(1) == 1)
        #expect(rig.board.published(0) == 0)
    }

    @Test func unsignaledTailsGetAMarker() {
        let rig = ProxyRig(.inOrder) { $0.signalInterval = 16 }
        rig.put(1)
        rig.put(2)
        rig.signal(2)
        rig.quiet()
        rig.step()
        #expect(
            rig.nic.log() == ["put 1 @0 x32 ~", "put 2 @0 x32 ~", "signal 2 @0 [1]", "marker 1"],
            "rank 2 ends with a signal, which always asks")
        rig.finish()
        #expect(rig.board.published(0) == 1)
    }

    @Test func aQuietWaitsForParkedCommandsAndMarksBehindThem() {
        let rig = ProxyRig(.inOrder, nic: NICScript(queueDepth: 64)) { $0.signalInterval = 8 }
        rig.nic.acceptableCount = 1
        rig.put(1)
        rig.put(1, at: 64)
        rig.quiet()
        rig.step(2)
        #expect(rig.board.published(0) == 0)
        rig.nic.acceptableCount = 1
        rig.step()
        #expect(rig.nic.posts.count == 2, "no slot was left for the marker")
        #expect(rig.board.published(0) == 0)
        rig.nic.acceptableCount = nil
        rig.finish()
        #expect(rig.nic.openPosts.isEmpty)
        #expect(rig.board.published(0) == 1)
    }

    @Test func aQuietWaitsForHeldSignals() {
        let rig = ProxyRig(.inOrder) {
            $0.coalesces = true
            $0.batchLimit = 2
        }
        rig.signal(1)
        rig.quiet()
        rig.step()
        #expect(rig.board.published(0) == 0)
        rig.finish()
        #expect(rig.nic.log() == ["signal 1 @0 [1]"])
        #expect(rig.board.published(0) == 1)
    }

    @Test func putsBehindAQuietDoNotKeepItFromBeingAnswered() {
        let rig = ProxyRig(.inOrder) { $0.signalInterval = 16 }
        rig.put(1)
        rig.quiet()
        rig.put(1, at: 64)
        rig.finish()
        #expect(rig.board.published(0) == 1)
    }
}
