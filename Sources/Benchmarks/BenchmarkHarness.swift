// What every benchmark shares: order statistics and interleaved repetitions.

import CPerseusShims
import PerseusPrimitives

/// Order statistics of one contender's samples; all in the unit of the samples, smaller is better.
public struct BenchmarkStatistics: Sendable, Equatable {
    public let minimum: Double
    /// Resists both a lucky sample and a busy machine; the headline value of every result.
    public let thirdFastest: Double
    public let median: Double
    /// Nearest rank; with fewer than 100 samples this is the slowest one.
    public let p99: Double
    public let repetitions: Int

    /// - Precondition: `samples` is not empty.
    public init(samples: [Double]) {
        precondition(!samples.isEmpty, "BenchmarkStatistics: no samples")
        let sorted = samples.sorted()
        let middle = sorted.count / 2
        minimum = sorted[0]
        thirdFastest = sorted[min(2, sorted.count - 1)]
        median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        p99 = sorted[(sorted.count * 99 + 99) / 100 - 1]
        repetitions = sorted.count
    }
}

/// One of several bodies measured against each other in the same run.
public struct BenchmarkContender {
    public let name: String
    /// Runs one repetition and returns its samples, usually one duration in nanoseconds.
    public let measure: () throws -> [Double]

    /// A body that reports its own samples (latencies per operation, or a duration without its
    /// set-up).
    public init(_ name: String, samples measure: @escaping () throws -> [Double]) {
        self.name = name
        self.measure = measure
    }

    /// A body whose whole duration is the sample, in nanoseconds.
    public init(_ name: String, timing body: @escaping () throws -> Void) {
        self.init(name) {
            let start = perseus_monotonic_nanoseconds()
            try body()
            return [Double(perseus_monotonic_nanoseconds() - start)]
        }
    }
}

/// Runs every contender once per round, in an order drawn anew from `seed` each round, so that
/// drift of the machine (frequency, neighbours) falls on all of them alike. One unrecorded warm-up
/// round goes first.
///
/// - Returns: statistics in the order of `contenders`.
/// - Precondition: `repetitions` is at least 1; reports that are published use 8 or more.
public func measureInterleaved(
    _ contenders: [BenchmarkContender], repetitions: Int, seed: UInt64 = 1
) throws -> [BenchmarkStatistics] {
    precondition(repetitions >= 1, "measureInterleaved: repetitions must be positive")
    var random = SeededRandom(seed: seed)
    var samples = [[Double]](repeating: [], count: contenders.count)
    var order = Array(contenders.indices)
    for round in 0...repetitions {
        for last in stride(from: order.count - 1, to: 0, by: -1) {
            order.swapAt(last, random.next(below: last + 1))
        }
        for index in order {
            let measured = try contenders[index].measure()
            if round > 0 { samples[index] += measured }
        }
    }
    return samples.map { BenchmarkStatistics(samples: $0) }
}
