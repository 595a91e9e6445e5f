// The CPU's half of `bench ring --device cuda`, with a thread in the place of the GPU.

import CPerseusABI
import CPerseusShims
import Foundation
import PerseusCommandRing
import Testing

@testable import PerseusBenchmarks

/// Pushes what the throughput kernel pushes, sequence after sequence, into rings in turn.
private func pushAll(_ rings: [CommandRing], putCount: UInt64, hasSignals: Bool) {
    for sequence in 0..<putCount {
        let ring = rings[Int(sequence) % rings.count]
        let put = perseus_bench_put(sequence, hasSignals ? 1 : 0)
        let command = Command(first: put.first, second: put.second)
        guard hasSignals else {
            while !ring.tryPush(command) { perseus_yield() }
            continue
        }
        let signal = perseus_bench_signal(sequence)
        let header = Command(first: signal.first, second: signal.second)
        let words = [perseus_bench_signal_word(sequence)]
        words.withUnsafeBufferPointer {
            while !ring.tryPush(command, header, operands: $0) { perseus_yield() }
        }
    }
}

@Suite struct DeviceRingTests {
    private let capacity = 256

    /// Runs consumer threads over rings of this process; `ringCount` divides `putCount`.
    private func drain(
        _ consumer: DeviceRingConsumer, ringCount: Int, threadCount: Int, putCount: UInt64,
        hasSignals: Bool, missing: Int = 0, seconds: UInt64 = 20
    ) -> DrainOutcome {
        let byteCount = CommandRing.byteCount(capacity: capacity)
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: byteCount * ringCount, alignment: 128)
        defer { memory.deallocate() }
        let rings = (0..<ringCount).map {
            CommandRing.initialize(at: memory + $0 * byteCount, capacity: capacity)
        }
        let perRing = Int(putCount) / ringCount * (hasSignals ? 2 : 1)
        let assignments = (0..<threadCount).map { thread in
            let own = stride(from: thread, to: ringCount, by: threadCount).map { rings[$0] }
            return (rings: own, goal: own.count * perRing + missing)
        }
        let threads = DeviceRingThreads(
            consumer, assignments, payload: nil,
            deadline: perseus_monotonic_nanoseconds() + seconds * 1_000_000_000)
        pushAll(rings, putCount: putCount, hasSignals: hasSignals)
        return threads.join()
    }

    @Test(arguments: [false, true])
    func decodedWordsHaveTheExpectedSum(hasSignals: Bool) {
        let outcome = drain(
            .decode, ringCount: 4, threadCount: 2, putCount: 4000, hasSignals: hasSignals)
        #expect(outcome.commandCount == (hasSignals ? 8000 : 4000))
        #expect(outcome.sum == sumOfSlots(4000, hasSignals: hasSignals))
        #expect(outcome.first <= outcome.last)
    }

    @Test(arguments: [false, true])
    func postedRequestsHaveTheExpectedSum(hasSignals: Bool) {
        let outcome = drain(
            .order, ringCount: 4, threadCount: 2, putCount: 4000, hasSignals: hasSignals)
        #expect(outcome.commandCount == (hasSignals ? 8000 : 4000))
        #expect(outcome.sum == sumOfRequests(4000, hasSignals: hasSignals))
    }

    @Test(arguments: [DeviceRingConsumer.decode, .order])
    func aThreadThatWaitsForMoreEndsAtItsDeadline(consumer: DeviceRingConsumer) {
        let outcome = drain(
            consumer, ringCount: 1, threadCount: 1, putCount: 100, hasSignals: false, missing: 1,
            seconds: 1)
        #expect(outcome.commandCount == 100)
    }

    @Test func everyBlockHasOneRing() {
        for ringCount in 1...8 {
            for blockCount in [1, 3, 8, 132] {
                let shape = DeviceRingShape(
                    ringCount: ringCount, blockCount: blockCount, warpCount: 1)
                let counts = (0..<ringCount).map { shape.blockCount(ofRing: $0) }
                let expected = (0..<ringCount).map { ring in
                    (0..<blockCount).count { $0 % ringCount == ring }
                }
                #expect(counts == expected)
            }
        }
    }

    @Test func aFailedWaitIsToldInWords() {
        var record = perseus_error_record()
        record.wait_kind = UInt32(PERSEUS_WAIT_RING_CREDIT.rawValue)
        record.rank = 3
        record.block = 7
        record.index = 2
        record.expected = 0x1000
        record.seen = 0xfff
        record.cycles = 6_000_000_001
        #expect(
            describe(record)
                == "rank 3, block 7, thread 0 waited 6000000001 cycles for room in ring 2: "
                + "expected 0x1000, saw 0xfff")
    }
}
