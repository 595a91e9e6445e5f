// `bench ring --device cuda`: commands from a GPU to pinned CPU threads.

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusDevice
import PerseusPrimitives

/// What `bench ring --device cuda` may be asked to vary.
public struct DeviceRingOptions: Sendable {
    public var ringCounts = [1, 2, 4, 8]
    /// Producer blocks.
    public var blockCounts = [1, 32, 128, 132]
    /// Warps of a block.
    public var warpCounts = [1, 8]
    /// Runs of every measurement, after one that sets its length.
    public var repetitions = 5
    /// Aim of each throughput run.
    public var runNanoseconds: Double = 40_000_000
    /// Pushes of a round-trip run, fences of a fence run.
    public var iterationCount = 20_000
    /// Blocks that wait while fences are measured.
    public var waiterCount = 124

    public init() {}

    /// Few rows, few commands: proves that everything runs, measures little.
    public mutating func makeQuick() {
        ringCounts = [1, 8]
        blockCounts = [1, 128]
        warpCounts = [8]
        repetitions = min(repetitions, 3)
        runNanoseconds = 5_000_000
        iterationCount = 2_000
    }
}

/// What the rows are held against; see the facts of the machine they were set for (one H200).
private enum Target {
    /// M commands/s from 128 blocks of 8 warps over 8 rings, decode only.
    static let decode = 200.0
    /// M commands/s of one proxy thread that orders and posts.
    static let orderPerThread = 20.0
    /// p50 of push until seen as popped, ns.
    static let roundTrip = 2_600.0
    /// A system fence while 124 blocks wait, ns.
    static let fence = 1_500.0
}

/// Measures throughput over rings, blocks and warps, the round trip of one command, and system
/// fences while other blocks wait.
///
/// - Throws: `.environment` without a usable GPU; `.badInput` for options out of range;
///   `.wrongResult` when commands were lost, doubled or changed; `.deadline` when a wait ran out.
public func runDeviceRingBenchmark(
    _ options: DeviceRingOptions = .init()
) throws -> BenchmarkReport {
    guard options.ringCounts.allSatisfy({ (1...Int(PERSEUS_BENCH_MAX_RINGS)).contains($0) }),
        options.blockCounts.allSatisfy({ (1...1024).contains($0) }),
        options.warpCounts.allSatisfy({ (1...32).contains($0) }), options.repetitions >= 1,
        (200...DeviceRingMemory.maxSampleCount).contains(options.iterationCount),
        (0...DeviceRingMemory.maxWaiterCount).contains(options.waiterCount)
    else {
        throw PerseusError(
            .badInput,
            "bench ring --device cuda needs 1 to \(PERSEUS_BENCH_MAX_RINGS) rings, "
                + "1 to 1024 CTAs, 1 to 32 warps and a repetition")
    }
    let bench = try DeviceRingBench(options)
    var results: [BenchmarkResult] = []
    for shape in bench.shapes { results.append(try bench.throughput(shape)) }
    for fence in [PERSEUS_BENCH_FENCE_NONE, PERSEUS_BENCH_FENCE_WARP] {
        for pollsHost in [false, true] {
            results.append(try bench.roundTrip(fence: fence, pollsHost: pollsHost))
        }
    }
    for waiterCount in Set([0, options.waiterCount]).sorted() {
        results += try bench.fences(waiterCount: waiterCount)
    }
    return BenchmarkReport(
        command: "bench ring --device cuda", results: results, notes: bench.notes,
        valueMeaning: "median of \(options.repetitions) runs, or p50 of all single times")
}

/// One row of the throughput table.
struct DeviceRingShape {
    var consumer = DeviceRingConsumer.decode
    var ringCount: Int
    var blockCount: Int
    var warpCount: Int
    var fence = PERSEUS_BENCH_FENCE_WARP
    /// Nanoseconds between two reads of the relay.
    var relayPause = 0
    /// Each put has a signalBlock of one word behind it.
    var hasSignals = false
    /// Payloads lie in host memory, and the consumer looks at each.
    var checksPayload = false

    var threadCount: Int { blockCount * warpCount * 32 }
    var commandsPerPut: Int { hasSignals ? 2 : 1 }

    /// Blocks that use ring `index`.
    func blockCount(ofRing index: Int) -> Int {
        (blockCount - index + ringCount - 1) / ringCount
    }

    var name: String {
        let unusual =
            (hasSignals ? ", put-signal pairs" : "")
            + (checksPayload ? ", payload checked" : "")
            + (fence == PERSEUS_BENCH_FENCE_NONE ? ", no fence" : "")
            + (fence == PERSEUS_BENCH_FENCE_LEADER ? ", one lane fences" : "")
            + (relayPause > 0 ? ", relay pauses \(relayPause) ns" : "")
        return "\(ringCount) rings, \(blockCount) x \(warpCount) warps, \(consumer.rawValue)"
            + unusual
    }
}

/// The device and the measurements of one report.
private final class DeviceRingBench {
    let options: DeviceRingOptions
    private let memory: DeviceRingMemory
    private let throughputKernel: DeviceFunction
    private let roundTripKernel: DeviceFunction
    private let fenceKernel: DeviceFunction
    private let coreCount = Int(perseus_core_count())

    /// A kernel ends after its own limit; the host waits longer, so that the kernel's reason is
    /// what a person reads.
    private static let cycleLimit: UInt64 = 6_000_000_000
    private static let patienceNanoseconds: UInt64 = 20_000_000_000

    init(_ options: DeviceRingOptions) throws(PerseusError) {
        self.options = options
        let device = try CUDADevice.open()
        let module = try device.load(DeviceProgram(source: "bench_ring.cu"))
        throughputKernel = try module.function("perseus_bench_ring_throughput")
        roundTripKernel = try module.function("perseus_bench_ring_round_trip")
        fenceKernel = try module.function("perseus_bench_ring_fence")
        memory = try DeviceRingMemory(device, cycleLimit: Self.cycleLimit)
        guard options.waiterCount + 2 <= device.multiprocessorCount else {
            throw PerseusError(
                .badInput,
                "bench ring --device cuda: \(options.waiterCount) waiting CTAs, the relay and the "
                    + "measuring one need a multiprocessor each, and \(device.name) has "
                    + "\(device.multiprocessorCount)")
        }
    }

    var notes: [String] {
        [
            "GPU: \(memory.device.name); \(coreCount) cores, the launching thread on none of its "
                + "own, consumer i on core i + 1",
            "rings of \(DeviceRingMemory.capacity) slots; one command for each lane and turn, one "
                + "claim and one fence for each warp and turn; block 0 relays credit",
            "targets: \(Int(Target.decode)) M/s decode only from 128 x 8 warps over 8 rings; "
                + "\(Int(Target.orderPerThread)) M/s per proxy thread; round trip p50 "
                + "\(Int(Target.roundTrip)) ns; fence \(Int(Target.fence)) ns with waiters",
            "every count and checksum was right, and no payload was late",
        ]
    }

    /// The grid with both consumers, then variants of its busiest point.
    var shapes: [DeviceRingShape] {
        var shapes: [DeviceRingShape] = []
        for consumer in [DeviceRingConsumer.decode, .order] {
            for ringCount in options.ringCounts {
                for blockCount in options.blockCounts {
                    for warpCount in options.warpCounts {
                        shapes.append(
                            DeviceRingShape(
                                consumer: consumer, ringCount: ringCount, blockCount: blockCount,
                                warpCount: warpCount))
                    }
                }
            }
        }
        let ringCount = options.ringCounts.max() ?? 8
        let warpCount = options.warpCounts.max() ?? 8
        let blockCount = options.blockCounts.contains(128) ? 128 : options.blockCounts.max() ?? 1
        func variant(_ change: (inout DeviceRingShape) -> Void) {
            var shape = DeviceRingShape(
                ringCount: ringCount, blockCount: blockCount, warpCount: warpCount)
            change(&shape)
            shapes.append(shape)
        }
        variant { $0.fence = PERSEUS_BENCH_FENCE_NONE }
        variant { $0.fence = PERSEUS_BENCH_FENCE_LEADER }
        variant { $0.relayPause = 1000 }
        variant { $0.hasSignals = true }
        variant {
            $0.hasSignals = true
            $0.consumer = .order
        }
        variant { $0.checksPayload = true }
        variant {
            $0.checksPayload = true
            $0.fence = PERSEUS_BENCH_FENCE_LEADER
        }
        return shapes
    }

    // MARK: Throughput

    func throughput(_ shape: DeviceRingShape) throws(PerseusError) -> BenchmarkResult {
        let probe = 64
        let trial = try run(shape, putsPerThread: probe)
        // Enough for the aim, within the payload's memory and 2^27 sequence numbers.
        let limit = (shape.checksPayload ? 1 << 22 : 1 << 27) / shape.threadCount
        let scaled = Double(probe) * options.runNanoseconds / max(1, trial)
        let puts = max(1, min(limit, Int(min(scaled, 1e9))))
        var samples: [Double] = []
        for _ in 0..<options.repetitions {
            samples.append(try run(shape, putsPerThread: puts))
        }
        return result(shape, putsPerThread: puts, BenchmarkStatistics(samples: samples))
    }

    private func result(
        _ shape: DeviceRingShape, putsPerThread: Int, _ statistics: BenchmarkStatistics
    ) -> BenchmarkResult {
        let commandCount = shape.threadCount * putsPerThread * shape.commandsPerPut
        let threads = consumerThreadCount(shape)
        let isTarget =
            shape.ringCount == 8 && shape.blockCount == 128 && shape.warpCount == 8
            && !shape.checksPayload
        let target: Double? =
            shape.consumer == .order
            ? Target.orderPerThread * Double(threads) : isTarget ? Target.decode : nil
        // M/s: commands per microsecond.
        let rate = { (nanoseconds: Double) in Double(commandCount) * 1000 / nanoseconds }
        var result = BenchmarkResult(
            name: shape.name,
            parameters: [
                "device": .text(memory.device.name), "rings": .integer(shape.ringCount),
                "ctas": .integer(shape.blockCount), "warps": .integer(shape.warpCount),
                "consumer": .text(shape.consumer.rawValue), "consumer_threads": .integer(threads),
                "fence": .integer(Int(shape.fence.rawValue)),
                "relay_pause": .integer(shape.relayPause), "signals": .flag(shape.hasSignals),
                "payload_checked": .flag(shape.checksPayload), "commands": .integer(commandCount),
                "commands_per_second": .real(rate(statistics.median) * 1e6),
                "minimum": .real(rate(statistics.p99)), "maximum": .real(rate(statistics.minimum)),
            ],
            unit: "M/s", amount: Double(commandCount) * 1000, nanoseconds: statistics,
            baseline: target.map { BenchmarkBaseline(name: "target", value: $0) },
            checksum: expectedSum(shape, putsPerThread: putsPerThread))
        result.value = rate(statistics.median)
        result.ratio = target.map { result.value / $0 }
        return result
    }

    private func consumerThreadCount(_ shape: DeviceRingShape) -> Int {
        min(shape.ringCount, max(1, coreCount - 1))
    }

    /// One launch; returns nanoseconds from the first command that came out to the last.
    private func run(_ shape: DeviceRingShape, putsPerThread: Int) throws(PerseusError) -> Double {
        try memory.reset()
        let deadline = perseus_monotonic_nanoseconds() + Self.patienceNanoseconds
        let putCount = shape.threadCount * putsPerThread
        // Fresh pages are zero: no payload is there before the kernel wrote it.
        let payload = shape.checksPayload ? try memory.device.allocateMapped(putCount * 16) : nil
        var arguments = perseus_bench_throughput_args()
        withUnsafeMutableBytes(of: &arguments.rings) { bytes in
            let rings = bytes.bindMemory(to: perseus_device_ring.self)
            for index in 0..<shape.ringCount { rings[index] = memory.view(of: index) }
        }
        arguments.finished_blocks = memory.finished
        arguments.payload = payload?.address ?? 0
        arguments.ring_count = UInt32(shape.ringCount)
        arguments.producer_blocks = UInt32(shape.blockCount)
        arguments.puts_per_thread = UInt32(putsPerThread)
        arguments.fence = UInt32(shape.fence.rawValue)
        arguments.relay_pause = UInt32(shape.relayPause)
        arguments.has_signals = shape.hasSignals ? 1 : 0
        let threads = DeviceRingThreads(
            shape.consumer, assignments(shape, putsPerThread: putsPerThread),
            payload: UnsafePointer(payload?.pointer.assumingMemoryBound(to: UInt64.self)),
            deadline: deadline)
        try launch(
            throughputKernel, grid: shape.blockCount + 1, block: shape.warpCount * 32, arguments,
            threads, deadline: deadline)
        return try check(shape, putsPerThread: putsPerThread, threads.join())
    }

    /// Rings of each consumer thread, and the commands that will come through them.
    private func assignments(
        _ shape: DeviceRingShape, putsPerThread: Int
    ) -> [(rings: [CommandRing], goal: Int)] {
        let threadCount = consumerThreadCount(shape)
        let perBlock = shape.warpCount * 32 * putsPerThread * shape.commandsPerPut
        return (0..<threadCount).map { thread in
            let own = stride(from: thread, to: shape.ringCount, by: threadCount)
            let blocks = own.reduce(0) { $0 + shape.blockCount(ofRing: $1) }
            return (own.map { memory.rings[$0] }, blocks * perBlock)
        }
    }

    /// Launches, waits, and ends the threads early when the kernel failed.
    private func launch<Arguments: BitwiseCopyable>(
        _ kernel: DeviceFunction, grid: Int, block: Int, _ arguments: Arguments,
        _ threads: DeviceRingThreads?, deadline: UInt64
    ) throws(PerseusError) {
        var list = LaunchArguments()
        list.append(arguments)
        do {
            try kernel.launch(grid: grid, block: block, stream: memory.stream, arguments: list)
            try memory.finishLaunch(kernel.name, deadline: deadline)
        } catch {
            threads?.stop()
            _ = threads?.join()
            throw error
        }
    }

    private func check(
        _ shape: DeviceRingShape, putsPerThread: Int, _ outcome: DrainOutcome
    ) throws(PerseusError) -> Double {
        let putCount = shape.threadCount * putsPerThread
        guard outcome.commandCount == putCount * shape.commandsPerPut else {
            throw PerseusError(
                .wrongResult,
                "bench ring: \(outcome.commandCount) of \(putCount * shape.commandsPerPut) commands "
                    + "came out of \(shape.name)")
        }
        let expected = expectedSum(shape, putsPerThread: putsPerThread)
        guard outcome.sum == expected else {
            throw PerseusError(
                .wrongResult,
                "bench ring: checksum 0x\(String(outcome.sum, radix: 16)), not "
                    + "0x\(String(expected, radix: 16)), of \(shape.name)")
        }
        guard outcome.missingPayloadCount == 0 else {
            throw PerseusError(
                .wrongResult,
                "bench ring: \(outcome.missingPayloadCount) commands came before their payload in "
                    + shape.name)
        }
        return Double(outcome.last - outcome.first)
    }

    /// The sum that the consumers must find; the last ones are kept, repetitions share them.
    private func expectedSum(_ shape: DeviceRingShape, putsPerThread: Int) -> UInt64 {
        let count = UInt64(shape.threadCount * putsPerThread)
        let key = SumKey(count: count, hasSignals: shape.hasSignals, consumer: shape.consumer)
        if let known = knownSum, known.key == key { return known.sum }
        let sum =
            shape.consumer == .decode
            ? sumOfSlots(count, hasSignals: shape.hasSignals)
            : sumOfRequests(count, hasSignals: shape.hasSignals)
        knownSum = (key, sum)
        return sum
    }

    private struct SumKey: Equatable {
        var count: UInt64
        var hasSignals: Bool
        var consumer: DeviceRingConsumer
    }
    private var knownSum: (key: SumKey, sum: UInt64)?

    // MARK: Latency

    /// One thread pushes and waits until its command was popped.
    func roundTrip(
        fence: perseus_bench_fence, pollsHost: Bool
    ) throws(PerseusError) -> BenchmarkResult {
        let count = options.iterationCount
        var all: [Double] = []
        // The first run warms up.
        for repetition in 0...options.repetitions {
            try memory.reset()
            let deadline = perseus_monotonic_nanoseconds() + Self.patienceNanoseconds
            var arguments = perseus_bench_round_trip_args()
            arguments.ring = memory.view(of: 0)
            arguments.finished_blocks = memory.finished
            arguments.cycles = memory.samples(0)
            arguments.clock = memory.clock
            arguments.iterations = UInt32(count)
            arguments.fence = UInt32(fence.rawValue)
            arguments.polls_host = pollsHost ? 1 : 0
            let threads = DeviceRingThreads(
                .decode, [([memory.rings[0]], count)], payload: nil, deadline: deadline)
            try launch(roundTripKernel, grid: 2, block: 32, arguments, threads, deadline: deadline)
            let outcome = threads.join()
            guard outcome.commandCount == count,
                outcome.sum == sumOfSlots(UInt64(count), hasSignals: false)
            else {
                throw PerseusError(
                    .wrongResult, "bench ring: the round trip lost or changed commands")
            }
            if repetition > 0 { all += try memory.nanoseconds(0, count: count) }
        }
        return latency(
            "round trip, " + (pollsHost ? "alone at the host's word" : "credit by relay")
                + (fence == PERSEUS_BENCH_FENCE_NONE ? ", no fence" : ", fence"),
            parameters: [
                "fence": .integer(Int(fence.rawValue)), "polls_host": .flag(pollsHost),
                "rings": .integer(1), "ctas": .integer(1), "consumer": .text("decode only"),
            ], samples: all, target: Target.roundTrip)
    }

    /// System fence and release store of one thread while `waiterCount` blocks wait.
    func fences(waiterCount: Int) throws(PerseusError) -> [BenchmarkResult] {
        let count = options.iterationCount
        var samples: [[Double]] = [[], []]
        for repetition in 0...options.repetitions {
            try memory.reset()
            let deadline = perseus_monotonic_nanoseconds() + Self.patienceNanoseconds
            var arguments = perseus_bench_fence_args()
            arguments.ring = memory.view(of: 0)
            arguments.finished_blocks = memory.finished
            arguments.waiting_blocks = memory.waiting
            arguments.signals = memory.signals
            arguments.waited_credit = memory.waitedCredit
            arguments.target = memory.target
            arguments.fence_cycles = memory.samples(0)
            arguments.release_cycles = memory.samples(1)
            arguments.clock = memory.clock
            arguments.iterations = UInt32(count)
            arguments.waiter_blocks = UInt32(waiterCount)
            try launch(
                fenceKernel, grid: waiterCount + 2, block: 32, arguments, nil, deadline: deadline)
            guard repetition > 0 else { continue }
            for array in 0...1 { samples[array] += try memory.nanoseconds(array, count: count) }
        }
        let parameters: [String: BenchmarkParameter] = ["waiters": .integer(waiterCount)]
        return [
            latency(
                "system fence, \(waiterCount) CTAs wait", parameters: parameters,
                samples: samples[0], target: Target.fence),
            latency(
                "release store, \(waiterCount) CTAs wait", parameters: parameters,
                samples: samples[1], target: Target.fence),
        ]
    }

    /// A row whose value is the p50.
    private func latency(
        _ name: String, parameters: [String: BenchmarkParameter], samples: [Double],
        target: Double
    ) -> BenchmarkResult {
        let statistics = BenchmarkStatistics(samples: samples)
        var all = parameters
        all["device"] = .text(memory.device.name)
        all["minimum"] = .real(statistics.minimum)
        all["maximum"] = .real(samples.max() ?? 0)
        var result = BenchmarkResult(
            name: name, parameters: all, nanoseconds: statistics,
            baseline: BenchmarkBaseline(name: "target", value: target),
            checksum: UInt64(samples.count))
        result.value = statistics.median
        result.ratio = target / statistics.median
        return result
    }
}

// MARK: - Expected sums

/// Of the words of all slots, parity clear.
func sumOfSlots(_ putCount: UInt64, hasSignals: Bool) -> UInt64 {
    var sum: UInt64 = 0
    var sequence: UInt64 = 0
    while sequence < putCount {
        let put = perseus_bench_put(sequence, hasSignals ? 1 : 0)
        sum &+= put.first &+ put.second
        if hasSignals {
            let signal = perseus_bench_signal(sequence)
            sum &+= signal.first &+ signal.second &+ perseus_bench_signal_word(sequence)
        }
        sequence &+= 1
    }
    return sum
}

/// Of the offsets of all puts and the words of all signals, as `SummingTransport` sums them.
func sumOfRequests(_ putCount: UInt64, hasSignals: Bool) -> UInt64 {
    let unitShift = UInt64(PERSEUS_PUT_UNIT_SHIFT)
    var sum: UInt64 = 0
    var sequence: UInt64 = 0
    while sequence < putCount {
        let put = perseus_bench_put(sequence, hasSignals ? 1 : 0)
        sum &+= perseus_command_local_offset(put.first) << unitShift
        sum &+= perseus_command_remote_offset(put.second) << unitShift
        if hasSignals { sum &+= perseus_bench_signal_word(sequence) }
        sequence &+= 1
    }
    return sum
}
