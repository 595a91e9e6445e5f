// The exact work requests of every ordering: what is waited for, what is flagged, how a signal travels.

import CPerseusABI
import PerseusCommandRing
import PerseusProxy
import PerseusTransport
import Testing

@Suite struct OrderingSequenceTests {
    /// Two puts to rank 1 around one to rank 2, then a signal to rank 1.
    private func rigWithOneGroup(
        _ ordering: SignalOrdering, configure: (inout ProxyConfiguration) -> Void = { _ in }
    ) -> ProxyRig {
        let rig = ProxyRig(ordering, configure: configure)
        rig.put(1, at: 64)
        rig.put(2, at: 128)
        rig.put(1, at: 192)
        rig.signal(1, at: 3, [7])
        rig.step()
        return rig
    }

    private let puts = ["put 1 @64 x32", "put 2 @128 x32", "put 1 @192 x32"]

    @Test func drainPeerWaitsForItsOwnDestinationOnly() {
        let rig = rigWithOneGroup(.drainPeer)
        #expect(rig.nic.log() == puts)
        rig.nic.complete(0)
        rig.step()
        #expect(rig.nic.log() == puts, "one of two puts to rank 1 is still open")
        rig.nic.complete(2)
        rig.step()
        #expect(rig.nic.log() == puts + ["signal 1 @3 [7]"], "rank 2 is not waited for")
        #expect(rig.counters.drains == 1)
        #expect(rig.counters.dispatchFences == 1)
    }

    @Test func drainAllWaitsForEveryDestination() {
        let rig = rigWithOneGroup(.drainAll)
        for post in [0, 2] {
            rig.nic.complete(post)
            #expect(rig.step().isStalled)
        }
        #expect(rig.nic.log() == puts)
        rig.nic.complete(1)
        #expect(!rig.step().isStalled)
        #expect(rig.nic.log() == puts + ["signal 1 @3 [7]"])
        #expect(rig.counters.drains == 1)
    }

    @Test(arguments: [SignalOrdering.drainPeer, .drainAll])
    func aDrainOfWhatHasCompletedIsCountedAsFenceAndNotAsDrain(ordering: SignalOrdering) {
        let rig = ProxyRig(ordering)
        rig.put(1)
        rig.step()
        rig.nic.complete(0)
        rig.step()
        rig.signal(1)
        rig.step()
        #expect(rig.nic.log() == ["put 1 @0 x32", "signal 1 @0 [1]"])
        #expect(rig.counters.dispatchFences == 1)
        #expect(rig.counters.drains == 0)
    }

    @Test(arguments: [SignalOrdering.drainPeer, .drainAll])
    func aSignalWithoutUnorderedPutsDoesNotWait(ordering: SignalOrdering) {
        let rig = ProxyRig(ordering)
        rig.put(2)
        rig.signal(1)
        rig.step()
        #expect(rig.nic.log() == ["put 2 @0 x32", "signal 1 @0 [1]"])
        #expect(rig.counters.dispatchFences == 0)
    }

    @Test func aDrainOfAllOrdersTheOtherLanesToo() {
        let rig = ProxyRig(.drainAll)
        rig.put(1)
        rig.put(2)
        rig.signal(1)
        rig.step()
        rig.nic.completeAll()
        rig.step()
        rig.signal(2)
        rig.step()
        #expect(rig.nic.posts.count == 4, "the signal to rank 2 needs no second drain")
        #expect(rig.counters.dispatchFences == 1)
    }

    @Test func drainTimeRunsFromTheSignalToItsPost() {
        let rig = ProxyRig(.drainPeer)
        rig.now = 100
        rig.put(1)
        rig.signal(1)
        rig.step()
        rig.now = 350
        rig.step()
        rig.now = 600
        rig.nic.complete(0)
        rig.step()
        #expect(rig.counters.drainNanoseconds == 500)
    }

    @Test func fenceFlagMarksTheFirstSignalOfAGroupOnly() {
        let rig = rigWithOneGroup(.fenceFlag)
        rig.signal(1, at: 9, [8])
        rig.signal(3, at: 1, [9])
        rig.put(1, at: 256)
        rig.signal(1, at: 10, [10], flags: .combine)
        rig.step()
        #expect(
            rig.nic.log() == puts + [
                "signal 1 @3 [7] !",
                "signal 1 @9 [8]",  // nothing unordered is left
                "signal 3 @1 [9]",  // its lane never had a put
                "put 1 @256 x32",
                "signal 1 @10 [10] !",
            ])
        #expect(rig.counters.dispatchFences == 1)
        #expect(rig.counters.combineFences == 1)
        #expect(rig.counters.drains == 0)
    }

    @Test(arguments: [SignalOrdering.inOrder, .providerOrder, .none])
    func freeOrderingsPostASignalAsItComes(ordering: SignalOrdering) {
        let rig = rigWithOneGroup(ordering)
        #expect(rig.nic.log() == puts + ["signal 1 @3 [7]"])
        #expect(rig.counters.dispatchFences == 0)
    }

    @Test func immediateLastSendsTheWordsToTheShadow() {
        let rig = rigWithOneGroup(.immediateLast)
        // Word 3, one word, bit 31 for a signal.
        #expect(rig.nic.log() == puts + ["signal 1 @3 [7] #80000c01"])
        let signal = rig.nic.posts[3].request
        #expect(signal.remoteRegion == UInt8(PERSEUS_REGION_SIGNAL_SHADOW.rawValue))
        #expect(signal.operation == .writeWithImmediate)
    }

    @Test func countedImmediateMarksEveryPut() {
        let rig = rigWithOneGroup(.countedImmediate)
        // The immediate of a put is its remote offset in units of 16 bytes.
        #expect(
            rig.nic.log() == [
                "put 1 @64 x32 #4", "put 2 @128 x32 #8", "put 1 @192 x32 #c",
                "signal 1 @3 [7] #80000c01",
            ])
    }

    @Test func atomicSignalsAreAdditions() {
        let rig = rigWithOneGroup(.atomic)
        rig.signal(1, at: 8, [5, 0, 6])
        rig.step()
        #expect(
            rig.nic.log() == puts + ["add 1 @3 +7", "add 1 @8 +5", "add 1 @10 +6"],
            "one addition for each word, none for a zero")
        #expect(rig.counters.signals == 3)
    }

    @Test func signalsAreInlineAndSignaledInTheSignalRegion() {
        let rig = rigWithOneGroup(.inOrder)
        let put = rig.nic.posts[0].request
        let signal = rig.nic.posts[3].request
        #expect(signal.isInline && signal.isSignaled && !put.isInline)
        #expect(signal.remoteRegion == UInt8(PERSEUS_REGION_SIGNAL.rawValue))
        #expect(put.localRegion == UInt8(PERSEUS_REGION_DATA.rawValue))
        #expect(put.remoteRegion == UInt8(PERSEUS_REGION_DATA.rawValue))
        #expect(put.localOffset == 64)
        #expect(signal.queue == put.queue)
    }

    @Test func aLoneAtomicAddIsNotOrdered() {
        let rig = ProxyRig(.drainAll)
        rig.put(1)
        _ = rig.ring.tryPush(
            .atomicAdd(destination: 1, target: HeapLocation(.signal, byteOffset: 40), addend: 3))
        rig.step()
        #expect(rig.nic.log() == ["put 1 @0 x32", "add 1 @5 +3"])
    }

    @Test func countersAreExact() {
        let rig = ProxyRig(.fenceFlag)
        rig.put(1, bytes: 64)
        rig.signal(1, [1, 2, 3])
        rig.put(2, bytes: 32, flags: .combine)
        rig.signal(2, flags: .combine)
        rig.step()
        rig.finish()
        let counters = rig.counters
        #expect(counters.commands == 4)
        #expect(counters.dispatchPuts == 1 && counters.combinePuts == 1)
        #expect(counters.signals == 2 && counters.signalWords == 4)
        #expect(counters.dispatchFences == 1 && counters.combineFences == 1)
        #expect(counters.doorbells == 1 && rig.nic.doorbellCount == 1)
        #expect(counters.completions == 4)
        #expect(counters.bytesSent == 64 + 24 + 32 + 8)
        #expect(counters.parkedCommands == 0 && counters.droppedCommands == 0)
    }
}

@Suite struct FenceScopeTests {
    /// Puts to ranks 1, 2 and 3, then a signal to each; which of them are flagged.
    private func flags(scope: FenceScope, queueCount: Int) -> [Bool] {
        let rig = ProxyRig(
            .fenceFlag, nic: NICScript(fenceScope: scope, queueCount: queueCount))
        for rank in 1...3 { rig.put(rank) }
        for rank in 1...3 { rig.signal(rank) }
        rig.step()
        return rig.nic.posts.filter(\.isSignal).map(\.request.isFenced)
    }

    @Test func aPeerFenceCoversOnePeer() {
        #expect(flags(scope: .peer, queueCount: 1) == [true, true, true])
    }

    @Test func aLaneFenceCoversItsQueuePair() {
        #expect(flags(scope: .lane, queueCount: 1) == [true, false, false])
        // Ranks 1 and 3 share queue pair 1.
        #expect(flags(scope: .lane, queueCount: 2) == [true, true, false])
    }

    @Test func aQueueFenceCoversTheNICWhereThereIsOneQueuePair() {
        #expect(flags(scope: .queue, queueCount: 1) == [true, false, false])
        #expect(flags(scope: .queue, queueCount: 2) == [true, true, false])
    }
}

@Suite struct SignalOrderingTests {
    private func guarantees(_ held: [OrderingGuarantee]) -> OrderingGuarantees {
        OrderingGuarantees(
            promises: held.map { .init($0, source: "made up") }, completesInOrder: true,
            fenceScope: .peer)
    }

    @Test func theCheapestProvenOrderingIsTaken() {
        #expect(SignalOrdering.cheapest(on: guarantees(OrderingGuarantee.allCases)) == .inOrder)
        #expect(
            SignalOrdering.cheapest(
                on: guarantees([.completionImpliesVisibility, .fenceCoversWrites])) == .fenceFlag)
        #expect(
            SignalOrdering.cheapest(on: guarantees([.completionImpliesVisibility])) == .drainPeer)
        #expect(SignalOrdering.cheapest(on: guarantees([])) == nil)
    }

    @Test(arguments: SignalOrdering.allCases)
    func aProofNeedsItsObligation(ordering: SignalOrdering) {
        let without = OrderingGuarantee.allCases.filter { $0 != ordering.obligation }
        #expect(!ordering.proof(on: guarantees(without)).isProven)
        let isProven = ordering.proof(on: guarantees(OrderingGuarantee.allCases)).isProven
        #expect(isProven == (ordering != .none))
    }
}
