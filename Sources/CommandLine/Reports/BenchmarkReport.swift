// What `perseus bench` reports: a contender beside its baseline, measured in the same process.

/// The report of `perseus bench`.
public typealias BenchmarkReport = Report<MachineContext, BenchmarkResult>

/// One contender at one parameter point.
public struct BenchmarkResult: Codable, Equatable, Sendable {
    /// What the contender is compared with.
    public struct Baseline: Codable, Equatable, Sendable {
        public var name: String
        /// In the unit of the result.
        public var value: Double

        public init(name: String, value: Double) {
            self.name = name
            self.value = value
        }
    }

    public var name: String
    public var parameters: [String: ReportValue]
    /// Unit of `value`, `median`, `p99` and the baseline, such as `ns`.
    public var unit: String
    /// The third-fastest repetition: near the floor, and not one lucky run.
    public var value: Double
    public var median: Double
    public var p99: Double
    public var repetitions: Int
    @Nullable public var baseline: Baseline?
    /// How many times better than the baseline; below 1 is a loss.
    @Nullable public var ratio: Double?
    /// Depends on all work done, so that no compiler can leave some out.
    public var checksum: UInt64

    public init(
        name: String, parameters: [String: ReportValue] = [:], unit: String, value: Double,
        median: Double, p99: Double, repetitions: Int, checksum: UInt64
    ) {
        self.name = name
        self.parameters = parameters
        self.unit = unit
        self.value = value
        self.median = median
        self.p99 = p99
        self.repetitions = repetitions
        self.checksum = checksum
        _baseline = Nullable(wrappedValue: nil)
        _ratio = Nullable(wrappedValue: nil)
    }
}
