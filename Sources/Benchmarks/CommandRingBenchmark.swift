// `bench ring`: the command ring in Swift against the same protocol in C, in the same run.

import CBenchmarkBaselines
import CPerseusShims
import Foundation
import PerseusCommandRing
import PerseusPrimitives

/// What `bench ring` may be asked to vary.
public struct CommandRingOptions: Sendable {
    /// Slots; a power of two, at least 64.
    public var capacity = 4096
    /// Commands per repetition and producer.
    public var commandCount = 1 << 20
    /// Interleaved repetitions of every measurement.
    public var repetitions = 16
    /// Producer threads of the last measurement.
    public var producerCount = 3

    public init() {}

    /// Few commands: proves that everything runs, measures little.
    public mutating func makeQuick() { commandCount = 1 << 14 }
}

/// Measures one thread pushing and draining, a stream between two threads, pairs of a put and its
/// eight signal words, and several producers; each against C.
///
/// - Throws: `.badInput` for options out of range; `.wrongResult` when Swift and C disagree.
public func runCommandRingBenchmark(
    _ options: CommandRingOptions = .init()
) throws -> BenchmarkReport {
    let capacity = options.capacity
    guard (64...1 << 20).contains(capacity), capacity & (capacity - 1) == 0,
        options.commandCount >= 1024, options.repetitions >= 1, (1...64) ~= options.producerCount
    else {
        throw PerseusError(
            .badInput,
            "bench ring needs a power of two of 64 or more slots, 1024 commands, "
                + "a repetition and 1 to 64 producers")
    }
    let bench = RingBench(options)
    let results = try [
        bench.cycle(), bench.stream("stream", producers: 1, isPair: false),
        bench.stream("put and 8 signals", producers: 1, isPair: true),
        bench.stream("producers", producers: options.producerCount, isPair: false),
    ]
    let note =
        "ns per command (per pair for put and 8 signals); consumer and producers "
        + (bench.isPinned ? "pinned to different cores" : "not pinned: fewer than two cores")
    return BenchmarkReport(command: "bench ring", results: results, notes: [note])
}

/// The memory and the two implementations of one run.
private final class RingBench {
    let options: CommandRingOptions
    let isPinned = perseus_core_count() >= 2
    private let base: UnsafeMutableRawPointer

    init(_ options: CommandRingOptions) {
        self.options = options
        base = .allocate(
            byteCount: CommandRing.byteCount(capacity: options.capacity), alignment: 128)
    }

    deinit { base.deallocate() }

    func cycle() throws -> BenchmarkResult {
        let count = options.commandCount & ~31
        return try compare(
            "push and drain", producers: 1, count: count,
            swift: { ring in PerseusBenchmarks.cycle(ring, count: count) },
            baseline: { base in perseus_baseline_ring_cycle(base, UInt64(count)) })
    }

    /// Producers on threads of their own, the consumer on this one.
    func stream(_ name: String, producers: Int, isPair: Bool) throws -> BenchmarkResult {
        let each = options.commandCount / producers
        let drained = each * producers * (isPair ? 2 : 1)
        return try compare(
            name, producers: producers, count: each * producers,
            swift: { ring in
                self.onThreads(producers) { producer in
                    if isPair {
                        pushPairs(ring, producer: producer, count: each)
                    } else {
                        pushPuts(ring, producer: producer, count: each)
                    }
                } consume: {
                    drain(ring, count: drained)
                }
            },
            baseline: { base in
                let address = UInt(bitPattern: base)
                return self.onThreads(producers) { producer in
                    let ring = UnsafeMutableRawPointer(bitPattern: address)
                    if isPair {
                        perseus_baseline_ring_push_pairs(ring, UInt64(producer), UInt64(each))
                    } else {
                        perseus_baseline_ring_push_puts(ring, UInt64(producer), UInt64(each))
                    }
                } consume: {
                    perseus_baseline_ring_drain(base, UInt64(drained))
                }
            })
    }

    /// Runs both over a fresh ring each time, and checks that they moved the same words.
    private func compare(
        _ name: String, producers: Int, count: Int,
        swift: @escaping (CommandRing) -> UInt64,
        baseline: @escaping (UnsafeMutableRawPointer) -> UInt64
    ) throws -> BenchmarkResult {
        var sums: [UInt64] = [0, 0]
        let perCommand = { (nanoseconds: UInt64) in [Double(nanoseconds) / Double(count)] }
        let statistics = try measureInterleaved(
            [
                BenchmarkContender("Swift") {
                    let ring = CommandRing.initialize(
                        at: self.base, capacity: self.options.capacity)
                    let start = perseus_monotonic_nanoseconds()
                    sums[0] = swift(ring)
                    return perCommand(perseus_monotonic_nanoseconds() - start)
                },
                BenchmarkContender("C") {
                    _ = CommandRing.initialize(at: self.base, capacity: self.options.capacity)
                    let start = perseus_monotonic_nanoseconds()
                    sums[1] = baseline(self.base)
                    return perCommand(perseus_monotonic_nanoseconds() - start)
                },
            ], repetitions: options.repetitions)
        guard sums[0] == sums[1] else {
            throw PerseusError(
                .wrongResult, "bench ring: Swift and C drained different words in \(name)")
        }
        return BenchmarkResult(
            name: "ring \(name)",
            parameters: [
                "capacity": .integer(options.capacity), "producers": .integer(producers),
                "commands": .integer(count),
            ],
            nanoseconds: statistics[0],
            baseline: BenchmarkBaseline(name: "C", value: statistics[1].thirdFastest),
            checksum: sums[0])
    }

    /// Starts the producers, consumes on this thread, and joins them.
    private func onThreads(
        _ count: Int, produce: @escaping @Sendable (Int) -> Void, consume: () -> UInt64
    ) -> UInt64 {
        let affinity = perseus_get_thread_affinity()
        let cores = (0..<2).map { perseus_usable_core(Int32($0)) }
        if isPinned { perseus_pin_thread(cores[0]) }
        let group = DispatchGroup()
        for producer in 0..<count {
            group.enter()
            let isPinned = isPinned
            Thread.detachNewThread {
                if isPinned { perseus_pin_thread(cores[1]) }
                produce(producer)
                group.leave()
            }
        }
        let sum = consume()
        group.wait()
        if isPinned { perseus_set_thread_affinity(affinity) }
        return sum
    }
}
