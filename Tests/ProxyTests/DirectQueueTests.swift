// A send queue that its producer fills itself, with this thread or another one in the place of the GPU.

import CPerseusABI
import CPerseusShims
import Foundation
import PerseusProxy
import PerseusTransport
import Testing

/// The memory of a send queue, its producer's side, and the NIC's end on a scripted NIC.
final class DirectRig: @unchecked Sendable {
    let nic: NICScript
    let capacityLog2: Int
    let entries: UnsafeMutablePointer<UInt64>
    let completed: UnsafeMutablePointer<UInt64>
    var queue: DirectQueue<ScriptedNIC>
    var claimed: UInt64 = 0
    var now: UInt64 = 0

    init(_ nic: NICScript = NICScript(), capacityLog2: Int = 3, deadline: UInt64 = 1_000_000) {
        let words = Int(PERSEUS_DIRECT_ENTRY_WORDS) << capacityLog2
        self.nic = nic
        self.capacityLog2 = capacityLog2
        entries = .allocate(capacity: words)
        entries.initialize(repeating: 0, count: words)
        completed = .allocate(capacity: 1)
        completed.initialize(to: 0)
        queue = DirectQueue(
            transport: ScriptedNIC(script: nic), entries: entries, capacityLog2: capacityLog2,
            completed: completed, rankCount: 8, deadlineNanoseconds: deadline)
    }

    deinit {
        entries.deallocate()
        completed.deallocate()
    }

    var counters: ProxyCounters { queue.counters }
    func oldest(now: UInt64) -> StuckOperation? { queue.oldestRequest(now: now) }
    var failure: StuckOperation? { queue.failure }
    var credit: UInt64 { perseus_load_acquire(completed) }

    static func put(_ peer: Int, at offset: Int, _ flags: perseus_direct_flag...)
        -> perseus_direct_request
    {
        perseus_direct_put(
            UInt32(peer), 0, UInt64(offset), 0, UInt64(offset), 32,
            flags.reduce(0) { $0 | $1.rawValue })
    }

    static func signal(
        _ peer: Int, at word: Int, _ words: [UInt64], _ flags: perseus_direct_flag...
    )
        -> perseus_direct_request
    {
        perseus_direct_signal(
            UInt32(peer), 1, UInt64(word * 8), words, UInt32(words.count),
            flags.reduce(0) { $0 | $1.rawValue })
    }

    /// Stores an entry as the kernel does; the words in `order`, as far as it goes.
    func store(
        _ request: perseus_direct_request, at position: UInt64, words order: [Int] = Array(0..<8)
    ) {
        let parity = perseus_ring_parity(position, UInt32(capacityLog2))
        let entry = entries + Int(position & (1 << UInt64(capacityLog2) - 1)) * 8
        withUnsafeBytes(of: request) { bytes in
            let words = bytes.bindMemory(to: UInt64.self)
            for index in order {
                perseus_store_release(
                    entry + index, (index == 1 ? position : words[index]) | parity)
            }
        }
    }

    /// Claims and stores.
    func push(_ requests: perseus_direct_request...) {
        for request in requests {
            store(request, at: claimed)
            claimed += 1
        }
    }

    @discardableResult
    func step() -> ProxyStep {
        now += 100
        return queue.step(now: now)
    }
}

@Suite struct DirectQueueTests {
    @Test func entriesArriveAsTheyWereWritten() {
        let rig = DirectRig()
        rig.push(
            DirectRig.put(2, at: 64),
            DirectRig.signal(
                2, at: 5, [7, 8], PERSEUS_DIRECT_SIGNALED, PERSEUS_DIRECT_FENCED,
                PERSEUS_DIRECT_DOORBELL),
            DirectRig.put(
                3, at: 96, PERSEUS_DIRECT_SIGNALED, PERSEUS_DIRECT_COMBINE, PERSEUS_DIRECT_DOORBELL)
        )
        #expect(rig.step().posted == 3)
        #expect(rig.nic.log() == ["put 2 @64 x32 ~", "signal 2 @5 [7 8] !", "put 3 @96 x32"])
        let counters = rig.counters
        #expect(counters.dispatchPuts == 1 && counters.combinePuts == 1)
        #expect(counters.signals == 1 && counters.signalWords == 2)
        #expect(counters.dispatchFences == 1 && counters.combineFences == 0)
        #expect(counters.doorbells == 2 && counters.bytesSent == 80)
        #expect(rig.nic.posts[0].request.localOffset == 64)
    }

    /// Every word on its own must be there, in whatever order they come.
    @Test(arguments: 0..<8) func anEntryWithoutOneWordIsNotTaken(missing: Int) {
        let rig = DirectRig(capacityLog2: 1)
        for lap in 0..<3 {
            for _ in 0..<2 {
                let request = DirectRig.signal(1, at: lap, [1, 2, 3, 4], PERSEUS_DIRECT_SIGNALED)
                let others = (0..<8).reversed().filter { $0 != missing }
                rig.store(request, at: rig.claimed, words: others)
                #expect(rig.step().posted == 0)
                rig.store(request, at: rig.claimed, words: [missing])
                #expect(rig.step().posted == 1)
                rig.nic.completeAll()
                rig.step()
                rig.claimed += 1
            }
        }
        #expect(rig.credit == 6)
    }

    /// A completion covers earlier requests to its own peer, and room comes back without gaps.
    @Test func creditHasNoGaps() {
        let rig = DirectRig()
        rig.push(
            DirectRig.put(1, at: 0), DirectRig.put(2, at: 16),
            DirectRig.signal(2, at: 0, [1], PERSEUS_DIRECT_SIGNALED),
            DirectRig.signal(1, at: 0, [1], PERSEUS_DIRECT_SIGNALED))
        rig.step()
        rig.nic.complete(2)
        #expect(rig.step().completed == 1)
        #expect(rig.credit == 0, "the put to peer 1 is under way")
        rig.nic.complete(3)
        rig.step()
        #expect(rig.credit == 4)
        #expect(rig.counters.completions == 2)
    }

    @Test func withoutOrderEachCompletionCoversItself() {
        let rig = DirectRig(NICScript(completesInOrder: false))
        for index in 0..<3 { rig.push(DirectRig.put(1, at: index * 16, PERSEUS_DIRECT_SIGNALED)) }
        rig.step()
        rig.nic.complete(2)
        rig.step()
        #expect(rig.credit == 0)
        rig.nic.complete(0)
        rig.step()
        #expect(rig.credit == 1)
        rig.nic.complete(1)
        rig.step()
        #expect(rig.credit == 3)
    }

    /// A full queue pair leaves the entry where it is.
    @Test func aFullQueuePairIsTriedAgain() {
        let rig = DirectRig(NICScript(queueDepth: 2))
        for index in 0..<3 { rig.push(DirectRig.put(1, at: index * 16, PERSEUS_DIRECT_SIGNALED)) }
        #expect(rig.step().posted == 2)
        #expect(rig.step().posted == 0)
        rig.nic.complete(0)
        #expect(rig.step().posted == 1)
        #expect(rig.nic.posts.map { Int($0.request.remoteOffset) } == [0, 16, 32])
    }

    @Test func aRequestThatNeverCompletesIsReported() throws {
        let rig = DirectRig(deadline: 1000)
        rig.push(DirectRig.put(1, at: 0, PERSEUS_DIRECT_SIGNALED))
        rig.push(DirectRig.put(3, at: 32, PERSEUS_DIRECT_SIGNALED))
        rig.step()
        rig.nic.complete(0)
        rig.step()
        #expect(rig.oldest(now: 900)?.position == 1)
        rig.now = 5000
        #expect(rig.step().hasFailed)
        let failure = try #require(rig.failure)
        #expect(failure.destination == 3 && failure.position == 1 && failure.byteCount == 32)
        #expect(failure.status == .success && failure.ageNanoseconds > 1000)
        #expect(!rig.step().hasFailed, "reported once")
    }

    @Test func aFailedRequestIsReported() throws {
        let rig = DirectRig()
        rig.push(DirectRig.put(1, at: 0, PERSEUS_DIRECT_SIGNALED))
        rig.step()
        rig.nic.complete(0, status: .retryExceeded)
        #expect(rig.step().hasFailed)
        let failure = try #require(rig.failure)
        #expect(failure.status == .retryExceeded)
    }

    /// Another thread is the kernel: many laps, words stored in changing orders, room by the credit word alone.
    @Test func aThreadFillsTheQueueOverManyLaps() {
        let count = 2000
        let rig = DirectRig(capacityLog2: 4)
        let producer = Thread {
            for index in 0..<count {
                let position = UInt64(index)
                while position >= rig.credit + 16 { perseus_yield() }
                let first = index % 8
                rig.store(
                    DirectRig.signal(index % 5, at: index, [position + 1], PERSEUS_DIRECT_SIGNALED),
                    at: position, words: Array(first..<8) + Array(0..<first))
            }
        }
        producer.start()
        let deadline = Date().addingTimeInterval(60)
        while rig.credit < UInt64(count) && Date() < deadline {
            let before = rig.nic.posts.count
            rig.step()
            for post in before..<rig.nic.posts.count { rig.nic.complete(post) }
            if rig.nic.posts.count == before { perseus_yield() }
        }
        #expect(rig.credit == UInt64(count))
        let isRight = rig.nic.posts.enumerated().allSatisfy { index, post in
            post.words == [UInt64(index) + 1] && post.peer == index % 5
        }
        #expect(isRight)
    }
}
