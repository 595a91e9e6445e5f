// `bench proxy`: the proxy loop from full ring to posted requests, in Swift and in C.

import CPerseusShims
import PerseusCommandRing
import PerseusPrimitives
import PerseusProxy

/// What `bench proxy` may be asked to vary.
public struct ProxyBenchmarkOptions: Sendable {
    /// Destinations, each with a queue pair of its own.
    public var destinationCount = 8
    /// Full rings of 4096 slots per repetition.
    public var fillCount = 64
    /// Interleaved repetitions of every measurement.
    public var repetitions = 16

    public init() {}

    /// Two rings: proves that everything runs, measures little.
    public mutating func makeQuick() { fillCount = 2 }
}

/// The orderings that a proxy treats differently.
private let measuredOrderings: [SignalOrdering] = [
    .inOrder, .fenceFlag, .countedImmediate, .drainPeer, .drainAll,
]

/// Measures every ordering on every mix of commands, Swift beside C.
///
/// - Throws: `.badInput` for options out of range; `.wrongResult` when the two proxies did not do
///   the same: every counter, and the last requests posted.
public func runProxyBenchmark(
    _ options: ProxyBenchmarkOptions = .init()
) throws -> BenchmarkReport {
    guard (1...64).contains(options.destinationCount), options.fillCount >= 1,
        options.repetitions >= 1
    else {
        throw PerseusError(
            .badInput, "bench proxy needs 1 to 64 destinations, a full ring and a repetition")
    }
    var results: [BenchmarkResult] = []
    for ordering in measuredOrderings {
        for mix in ProxyMix.allCases { results.append(try compare(ordering, mix, options)) }
    }
    return BenchmarkReport(
        command: "bench proxy", results: results,
        notes: [
            "ns per command: drain, decode, order, build the work request, post, retire; one thread",
            "both sides post to a NIC that copies the request and completes it at once",
        ])
}

private func compare(
    _ ordering: SignalOrdering, _ mix: ProxyMix, _ options: ProxyBenchmarkOptions
) throws -> BenchmarkResult {
    let swift = SwiftProxy(rankCount: options.destinationCount, ordering: ordering)
    let baseline = BaselineProxy(rankCount: options.destinationCount, ordering: ordering)
    let contenders: [any TimedProxy] = [swift, baseline]
    let statistics = try measureInterleaved(
        contenders.map { proxy in
            var workload = ProxyWorkload(mix, destinationCount: options.destinationCount)
            return BenchmarkContender("") {
                [time(proxy, &workload, fillCount: options.fillCount)]
            }
        }, repetitions: options.repetitions)
    guard differingCounter(swift.counters, baseline.counters) == nil,
        swift.checksum == baseline.checksum
    else {
        let counter = differingCounter(swift.counters, baseline.counters) ?? "posted requests"
        throw PerseusError(
            .wrongResult,
            "bench proxy: Swift and C differ in \(counter), \(ordering.rawValue), \(mix.rawValue)")
    }
    return BenchmarkResult(
        name: "proxy \(ordering.rawValue), \(mix.rawValue)",
        parameters: [
            "ordering": .text(ordering.rawValue), "mix": .text(mix.rawValue),
            "destinations": .integer(options.destinationCount),
        ],
        nanoseconds: statistics[0],
        baseline: BenchmarkBaseline(name: "C", value: statistics[1].thirdFastest),
        checksum: swift.checksum)
}

/// Nanoseconds per command of `fillCount` full rings; filling them is not timed.
private func time(
    _ proxy: any TimedProxy, _ workload: inout ProxyWorkload, fillCount: Int
) -> Double {
    var nanoseconds: UInt64 = 0
    var commandCount = 0
    for _ in 0..<fillCount {
        commandCount += workload.fill(proxy.ring)
        let start = perseus_monotonic_nanoseconds()
        proxy.runUntilIdle()
        nanoseconds += perseus_monotonic_nanoseconds() - start
    }
    return Double(nanoseconds) / Double(commandCount)
}

/// The name of a counter in which two proxies differ; nil when they did the same.
private func differingCounter(_ one: ProxyCounters, _ other: ProxyCounters) -> String? {
    let fields: [(String, KeyPath<ProxyCounters, UInt64>)] = [
        ("commands", \.commands), ("puts", \.dispatchPuts), ("signals", \.signals),
        ("signal words", \.signalWords), ("fences", \.dispatchFences), ("drains", \.drains),
        ("drain time", \.drainNanoseconds), ("doorbells", \.doorbells),
        ("completions", \.completions), ("bytes", \.bytesSent),
        ("parked commands", \.parkedCommands),
    ]
    return fields.first { one[keyPath: $0.1] != other[keyPath: $0.1] }?.0
}
