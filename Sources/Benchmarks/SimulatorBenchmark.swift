// `bench simulator`: how many events per second the simulator's queue takes, in Swift and in C.

import CPerseusShims
import PerseusPrimitives

/// What `bench simulator` may be asked to vary.
public struct SimulatorBenchmarkOptions: Sendable {
    /// Events that wait: of one NIC, of a layer on some tens of ranks, and more than fit into a core's cache.
    public var pendingCounts = [64, 4096, 1 << 18]
    /// Events handled per repetition.
    public var eventCount = 1 << 18
    /// Interleaved repetitions of every measurement.
    public var repetitions = 16

    public init() {}

    /// Few events: proves that everything runs, measures little.
    public mutating func makeQuick() { eventCount = 1 << 13 }
}

/// Measures the hold model, in which every event that is handled makes another one, with both payloads of the
/// simulator at every number of pending events.
///
/// - Throws: `.badInput` for options out of range; `.wrongResult` when Swift and C hand out different events, or the
///   same in another order.
public func runSimulatorBenchmark(
    _ options: SimulatorBenchmarkOptions = .init()
) throws -> BenchmarkReport {
    guard options.pendingCounts.allSatisfy({ 1...1 << 24 ~= $0 }), options.eventCount >= 1,
        options.repetitions >= 1
    else {
        throw PerseusError(
            .badInput, "bench simulator needs 1 to 2^24 pending events, an event and a repetition")
    }
    var results: [BenchmarkResult] = []
    for pending in options.pendingCounts {
        results.append(try compare(UInt32.self, "runner", pending, options))
        results.append(try compare(NICPayload.self, "nic", pending, options))
    }
    return BenchmarkReport(
        command: "bench simulator", results: results,
        notes: [
            "an event: the earliest leaves the queue and its successor enters it, 0 to 65,535 ns later",
            "runner: 16 bytes an event, nic: 24; both sides are the same 4-ary heap",
        ])
}

private func compare<Payload: EventPayload>(
    _: Payload.Type, _ name: String, _ pending: Int, _ options: SimulatorBenchmarkOptions
) throws -> BenchmarkResult {
    let seed: UInt64 = 0x9E37_79B9_7F4A_7C15
    let queues: [any TimedEvents] = [
        SwiftEvents<Payload>(pending: pending, seed: seed),
        BaselineEvents(Payload.baseline, pending: pending, seed: seed),
    ]
    // Of every round: the queues go on from round to round, so all of them must agree.
    var sums: [[UInt64]] = [[], []]
    let statistics = try measureInterleaved(
        queues.indices.map { index in
            BenchmarkContender("") {
                let start = perseus_monotonic_nanoseconds()
                sums[index].append(queues[index].hold(options.eventCount))
                return [Double(perseus_monotonic_nanoseconds() - start)]
            }
        }, repetitions: options.repetitions)
    guard sums[0] == sums[1], let checksum = sums[0].last else {
        throw PerseusError(
            .wrongResult, "bench simulator: Swift and C differ with \(pending) events, \(name)")
    }
    // Events per nanosecond are thousands of millions per second.
    let amount = Double(options.eventCount) * 1000
    return BenchmarkResult(
        name: "events \(name), \(pending) pending",
        parameters: [
            "payload": .text(name), "pending": .integer(pending),
            "events": .integer(options.eventCount),
        ],
        unit: "M events/s", amount: amount, nanoseconds: statistics[0],
        baseline: BenchmarkBaseline(name: "C", value: amount / statistics[1].thirdFastest),
        checksum: checksum)
}
