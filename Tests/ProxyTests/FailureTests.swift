// Failed completions and deadlines: one lane fails, the others do not notice, and the report says what happened.

import PerseusCommandRing
import PerseusProxy
import PerseusTransport
import Testing

@Suite struct FailureTests {
    private let deadline: UInt64 = 1000

    private func rig(
        _ ordering: SignalOrdering, nic: NICScript = NICScript(), interval: Int = 1,
        configure: (inout ProxyConfiguration) -> Void = { _ in }
    ) -> ProxyRig {
        ProxyRig(ordering, nic: nic) {
            $0.deadlineNanoseconds = deadline
            $0.signalInterval = interval
            configure(&$0)
        }
    }

    @Test func aFailedCompletionFailsItsLaneOnly() throws {
        let rig = rig(.inOrder)
        rig.put(1, bytes: 48)
        rig.put(2)
        rig.step()
        rig.now = 70
        rig.nic.complete(0, status: .retryExceeded)
        #expect(rig.step().hasFailed)
        let failure = try #require(rig.failure)
        #expect(failure.destination == 1 && failure.stage == .posted)
        #expect(failure.status == .retryExceeded && failure.byteCount == 48)
        #expect(failure.ageNanoseconds == 70)
        rig.put(1, at: 64)
        rig.signal(1)
        rig.put(2, at: 64)
        rig.step()
        #expect(rig.nic.log(from: 2) == ["put 2 @64 x32"])
        #expect(rig.counters.droppedCommands == 2)
    }

    @Test func theBacklogOfAFailedLaneIsDroppedAndCounted() {
        let rig = rig(.inOrder, nic: NICScript(queueCount: 4, queueDepth: 1))
        for index in 0..<3 { rig.put(1, at: index * 16) }
        rig.step()
        rig.nic.complete(0, status: .retryExceeded)
        rig.step()
        #expect(rig.counters.droppedCommands == 2)
        #expect(rig.nic.posts.count == 1)
    }

    @Test(arguments: [0, 1])
    func aDrainOfAllDoesNotHangOnAFailedLane(failedPost: Int) {
        let rig = rig(.drainAll)
        rig.put(1)
        rig.put(2)
        rig.signal(2)
        rig.put(3)
        #expect(rig.step().isStalled)
        rig.nic.complete(failedPost, status: .retryExceeded)
        rig.nic.complete(1 - failedPost)
        rig.step(2)
        let expected = failedPost == 0 ? ["signal 2 @0 [1]", "put 3 @0 x32"] : ["put 3 @0 x32"]
        #expect(rig.nic.log(from: 2) == expected)
    }

    @Test func aQuietIsAnsweredOnAFailedLane() {
        let rig = rig(.inOrder)
        rig.put(1)
        rig.quiet()
        rig.step()
        rig.nic.complete(0, status: .flushed)
        rig.step()
        #expect(rig.board.published(0) == 1)
    }

    @Test func aPostedOperationPastItsDeadlineIsReported() throws {
        let rig = rig(.inOrder)
        rig.put(3, bytes: 64)
        rig.step()
        rig.now = deadline
        rig.loop.checkDeadlines(now: rig.now)
        #expect(rig.failure == nil, "the deadline has not passed yet")
        rig.now = deadline + 1
        rig.step(4)
        let failure = try #require(rig.failure)
        #expect(failure.destination == 3 && failure.stage == .posted)
        #expect(failure.ageNanoseconds == deadline + 1 && failure.byteCount == 64)
        #expect(
            failure.description
                == "peer 3, lane 3, command 0: put of 64 bytes posted, no completion, age 0.0 ms")
    }

    @Test func aQueuedOperationPastItsDeadlineIsReported() throws {
        let rig = rig(.inOrder)
        rig.nic.acceptableCount = 0
        rig.now = 50
        rig.put(2)
        rig.step()
        rig.now = 50 + deadline + 1
        rig.step(4)
        let failure = try #require(rig.failure)
        #expect(failure.destination == 2 && failure.stage == .queued)
        #expect(failure.ageNanoseconds == deadline + 1)
        #expect(rig.counters.droppedCommands == 1)
    }

    @Test func aSignalThatNeverFindsASlotIsReported() throws {
        let rig = rig(.inOrder)
        rig.nic.acceptableCount = 0
        rig.signal(2)
        rig.step()
        rig.now = deadline + 1
        rig.step(4)
        let failure = try #require(rig.failure)
        #expect(failure.destination == 2 && failure.stage == .queued)
    }

    @Test func aBusyBacklogThatMovesIsNotStuck() {
        let rig = rig(.inOrder, nic: NICScript(queueDepth: 1))
        for index in 0..<8 { rig.put(1, at: index * 16) }
        rig.step()
        for post in 0..<8 {
            rig.now += deadline / 2
            rig.nic.complete(post)
            rig.step(4)
        }
        #expect(rig.failure == nil)
        #expect(rig.nic.posts.count == 8)
    }

    @Test func aPutThatAskedForNoCompletionIsAskedAfterInTime() {
        let rig = rig(.inOrder, interval: 16)
        rig.put(1)
        rig.step()
        for _ in 0..<8 {
            rig.now += deadline / 4
            rig.nic.completeAll()
            rig.step(4)
        }
        #expect(rig.nic.log() == ["put 1 @0 x32 ~", "marker 1"])
        #expect(rig.failure == nil)
    }

    @Test func theEntriesOfAFailedLaneComeBackToThePool() {
        let rig = rig(.inOrder, interval: 4) { $0.inFlightCapacity = 32 }
        for index in 0..<32 { rig.put(1, at: index * 16) }
        rig.step()
        #expect(rig.nic.posts.count == 32)
        rig.nic.complete(3, status: .retryExceeded)
        for post in 4..<32 where rig.nic.posts[post].request.isSignaled {
            rig.nic.complete(post, status: .flushed)
        }
        rig.step()
        for index in 0..<32 { rig.put(2, at: index * 16) }
        rig.step()
        #expect(rig.nic.posts.count == 64, "rank 2 finds all 32 entries free")
        rig.finish()
        #expect(rig.failure?.destination == 1)
    }
}
