// What every benchmark reports: results, and what they are compared with.

import PerseusPrimitives

/// A parameter's value as it stands in the report.
public enum BenchmarkParameter: Sendable, Equatable, Codable {
    case integer(Int)
    case real(Double)
    case text(String)
    case flag(Bool)

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Bool.self) {
            self = .flag(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .real(value)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .integer(let value): try container.encode(value)
        case .real(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        case .flag(let value): try container.encode(value)
        }
    }
}

/// What a result is measured against, in the result's unit: measured in the same run, or a figure
/// to reach, which is then named `target`.
public struct BenchmarkBaseline: Sendable, Equatable, Codable {
    public var name: String
    public var value: Double

    public init(name: String, value: Double) {
        self.name = name
        self.value = value
    }
}

/// One measured line of a report.
public struct BenchmarkResult: Sendable, Equatable, Codable {
    public var name: String
    public var parameters: [String: BenchmarkParameter]
    /// Unit of `value`, `median`, `p99` and `baseline`, for example `ns` or `GFLOP/s`.
    public var unit: String
    /// The third-fastest repetition, expressed in `unit`.
    public var value: Double
    public var median: Double
    /// The slow tail: for a rate this is the low end.
    public var p99: Double
    public var repetitions: Int
    public var baseline: BenchmarkBaseline?
    /// `value` against the baseline; above 1 means better than the baseline.
    public var ratio: Double?
    /// Of the computed data, so that the work cannot be optimised away; equal work has equal
    /// checksums.
    public var checksum: String

    /// A result in nanoseconds: smaller is better.
    public init(
        name: String, parameters: [String: BenchmarkParameter] = [:],
        nanoseconds: BenchmarkStatistics,
        baseline: BenchmarkBaseline? = nil, checksum: UInt64
    ) {
        self.init(
            name: name, parameters: parameters, unit: "ns", statistics: nanoseconds,
            baseline: baseline,
            checksum: checksum, convert: { $0 })
        ratio = baseline.map { $0.value / nanoseconds.thirdFastest }
    }

    /// A rate from durations: `amount` units of work per repetition, larger is better.
    ///
    /// - Parameter amount: work per repetition such that amount / nanoseconds is in `unit`
    ///   (floating-point operations give GFLOP/s, bytes give GB/s).
    public init(
        name: String, parameters: [String: BenchmarkParameter] = [:], unit: String, amount: Double,
        nanoseconds: BenchmarkStatistics, baseline: BenchmarkBaseline? = nil, checksum: UInt64
    ) {
        self.init(
            name: name, parameters: parameters, unit: unit, statistics: nanoseconds,
            baseline: baseline,
            checksum: checksum, convert: { amount / $0 })
        ratio = baseline.map { value / $0.value }
    }

    private init(
        name: String, parameters: [String: BenchmarkParameter], unit: String,
        statistics: BenchmarkStatistics, baseline: BenchmarkBaseline?, checksum: UInt64,
        convert: (Double) -> Double
    ) {
        self.name = name
        self.parameters = parameters
        self.unit = unit
        self.value = convert(statistics.thirdFastest)
        self.median = convert(statistics.median)
        self.p99 = convert(statistics.p99)
        self.repetitions = statistics.repetitions
        self.baseline = baseline
        self.ratio = nil
        self.checksum = "0x" + String(checksum, radix: 16)
    }
}

/// What one benchmark measured; the command line adds the machine's context and writes it as JSON.
public struct BenchmarkReport: Sendable {
    public var command: String
    public var results: [BenchmarkResult]
    /// What a reader must know and no field says, for example a baseline that is not installed.
    public var notes: [String]
    /// What the column of values holds; nil for the third-fastest of interleaved repetitions.
    public var valueMeaning: String?
    /// Why results are missing; nil where all are there.
    public var failure: PerseusError?

    public init(
        command: String, results: [BenchmarkResult], notes: [String] = [],
        valueMeaning: String? = nil
    ) {
        self.command = command
        self.results = results
        self.notes = notes
        self.valueMeaning = valueMeaning
    }
}
