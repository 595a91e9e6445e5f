// Which signals leave together, and when a group closes.

import PerseusCommandRing
import PerseusProxy
import PerseusTransport
import Testing

@Suite struct CoalescingTests {
    private func rig(
        _ ordering: SignalOrdering, nic: NICScript = NICScript(),
        configure: (inout ProxyConfiguration) -> Void = { _ in }
    ) -> ProxyRig {
        ProxyRig(ordering, nic: nic) {
            $0.coalesces = true
            configure(&$0)
        }
    }

    @Test func adjacentWordsLeaveInOneWriteInAddressOrder() {
        let rig = rig(.inOrder)
        rig.signal(1, at: 5, [50, 60])
        rig.signal(1, at: 3, [30, 40])
        rig.signal(1, at: 9, [90])
        rig.step()
        #expect(rig.nic.log() == ["signal 1 @3 [30 40 50 60]", "signal 1 @9 [90]"])
        #expect(rig.counters.signals == 2 && rig.counters.signalWords == 5)
    }

    @Test func withoutCoalescingEverySignalLeavesAlone() {
        let rig = ProxyRig(.inOrder)
        rig.signal(1, at: 0, [1])
        rig.signal(1, at: 1, [2])
        rig.step()
        #expect(rig.nic.log() == ["signal 1 @0 [1]", "signal 1 @1 [2]"])
    }

    @Test func aGroupStaysOpenWhileTheRingIsNotDry() {
        let rig = rig(.inOrder) { $0.batchLimit = 2 }
        rig.signal(1, at: 0, [1])
        rig.signal(1, at: 1, [2])
        rig.signal(1, at: 2, [3])
        rig.step()
        #expect(rig.nic.posts.isEmpty, "the batch ended before the ring did")
        rig.step()
        #expect(rig.nic.log() == ["signal 1 @0 [1 2 3]"])
    }

    @Test func aFullGroupCloses() {
        let rig = rig(.inOrder) {
            $0.groupWordLimit = 3
            $0.batchLimit = 3
        }
        for word in 0..<4 { rig.signal(1, at: word, [UInt64(word) + 1]) }
        rig.step()
        #expect(rig.nic.log() == ["signal 1 @0 [1 2 3]"])
        rig.step()
        #expect(rig.nic.log(from: 1) == ["signal 1 @3 [4]"])
    }

    @Test func theLastOfAGroupCloses() {
        let rig = rig(.inOrder) { $0.batchLimit = 2 }
        rig.signal(1, at: 0, [1])
        rig.signal(1, at: 1, [2], flags: .lastOfGroup)
        rig.step()
        #expect(rig.nic.log() == ["signal 1 @0 [1 2]"])
    }

    @Test func phasesAreNotMixed() {
        let rig = rig(.inOrder)
        rig.signal(1, at: 0, [1])
        rig.signal(1, at: 1, [2], flags: .combine)
        rig.step()
        #expect(rig.nic.log() == ["signal 1 @0 [1]", "signal 1 @1 [2]"])
    }

    @Test func aPutOfTheOtherPhaseClosesTheGroup() {
        let rig = rig(.fenceFlag)
        rig.put(1)
        rig.signal(1, at: 0, [1])
        rig.put(1, at: 64, flags: .combine)
        rig.signal(1, at: 1, [2], flags: .combine)
        rig.step()
        #expect(
            rig.nic.log() == [
                "put 1 @0 x32", "signal 1 @0 [1] !", "put 1 @64 x32", "signal 1 @1 [2] !",
            ])
    }

    @Test(arguments: [SignalOrdering.inOrder, .providerOrder, .immediateLast, .atomic])
    func aLargePutDoesNotDelayAReadySignal(ordering: SignalOrdering) {
        let rig = rig(ordering) { $0.coalesceByteLimit = 1024 }
        rig.signal(1, at: 0, [1])
        rig.put(1, at: 0, bytes: 1040)
        rig.step()
        #expect(rig.nic.posts.map(\.isSignal) == [true, false])
    }

    @Test func aSmallPutMayOvertakeAHeldSignal() {
        let rig = rig(.inOrder) { $0.coalesceByteLimit = 1024 }
        rig.signal(1, at: 0, [1])
        rig.put(1, at: 0, bytes: 1024)
        rig.signal(1, at: 1, [2])
        rig.step()
        #expect(rig.nic.log() == ["put 1 @0 x1024", "signal 1 @0 [1 2]"])
    }

    @Test func whereOrderCostsSomethingLargePutsJoinTheGroup() {
        let rig = rig(.fenceFlag) { $0.coalesceByteLimit = 1024 }
        for index in 0..<3 {
            rig.put(1, at: index * 4096, bytes: 4096)
            rig.signal(1, at: index, [UInt64(index) + 1])
        }
        rig.step()
        #expect(rig.nic.log(from: 3) == ["signal 1 @0 [1 2 3] !"])
        #expect(rig.counters.dispatchFences == 1)
    }

    @Test func onlyCombineSignalsAreHeldWhereDispatchGroupsComeClosed() {
        let rig = rig(.inOrder) { $0.groupsCombineOnly = true }
        rig.signal(1, at: 0, [1])
        rig.signal(1, at: 1, [2])
        rig.signal(1, at: 2, [3], flags: .combine)
        rig.signal(1, at: 3, [4], flags: .combine)
        rig.step()
        #expect(rig.nic.log() == ["signal 1 @0 [1]", "signal 1 @1 [2]", "signal 1 @2 [3 4]"])
    }

    @Test func aLongRunIsSplitAndOnlyItsFirstPartIsFlagged() {
        let rig = rig(.fenceFlag, nic: NICScript(inlineWords: 4))
        rig.put(1)
        rig.signal(1, at: 0, (1...10).map { UInt64($0) })
        rig.step()
        #expect(
            rig.nic.log(from: 1) == [
                "signal 1 @0 [1 2 3 4] !", "signal 1 @4 [5 6 7 8]", "signal 1 @8 [9 10]",
            ])
        #expect(rig.counters.dispatchFences == 1)
    }

    @Test func aFlushInterruptedByAFullQueueGoesOnWhereItStopped() {
        let rig = rig(.fenceFlag, nic: NICScript(inlineWords: 4))
        rig.nic.acceptableCount = 2
        rig.put(1)
        rig.signal(1, at: 0, (1...10).map { UInt64($0) }, flags: .lastOfGroup)
        rig.put(1, at: 64)
        rig.step(3)
        #expect(rig.nic.posts.count == 2)
        rig.nic.acceptableCount = nil
        rig.step()
        #expect(
            rig.nic.log() == [
                "put 1 @0 x32", "signal 1 @0 [1 2 3 4] !", "signal 1 @4 [5 6 7 8]",
                "signal 1 @8 [9 10]", "put 1 @64 x32",
            ])
    }

    @Test func immediateRunsFitTheirCountField() {
        let rig = ProxyRig(.immediateLast, nic: NICScript(inlineWords: 2048), ringCapacity: 2048) {
            $0.signalWordCapacity = 2046
            $0.coalesces = true
            $0.groupWordLimit = 2046
        }
        rig.signal(1, at: 0, Array(repeating: 1, count: 1023))
        rig.signal(1, at: 1023, Array(repeating: 2, count: 1023))
        rig.step()
        #expect(rig.nic.posts.map(\.words.count) == [1023, 1023])
        #expect(rig.nic.posts.map { $0.request.immediate & 0x3FF } == [1023, 1023])
    }
}
