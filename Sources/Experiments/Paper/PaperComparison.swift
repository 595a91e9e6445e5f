// The whole comparison: every row measured, every trend decided, and how good the prediction is.

import PerseusRunners

/// A row with our value.
public struct PaperResult: Codable, Equatable, Sendable {
    public var row: String
    public var section: PaperSection
    public var unit: PaperRow.Unit
    public var reported: Double
    public var ours: Double
    /// ours / reported
    public var ratio: Double
    public var kind: PaperRow.Kind
    public var setting: String
    public var exception: String?

    /// Distance from the reported value, as a share of it.
    public var error: Double { abs(ratio - 1) }
}

/// A trend with our answer.
public struct TrendResult: Codable, Equatable, Sendable {
    public var trend: String
    public var pass: Bool
    public var exception: String?
}

/// All rows and trends on one set of profiles.
public struct PaperComparison: Sendable {
    public var results: [PaperResult]
    public var trends: [TrendResult]

    public init(_ laboratory: Laboratory) throws {
        (results, trends) = try laboratory.evaluate { lab in
            (
                PaperRow.all.map { row in
                    let ours = row.measure(lab)
                    return PaperResult(
                        row: row.name, section: row.section, unit: row.unit,
                        reported: row.reported, ours: ours, ratio: ours / row.reported,
                        kind: row.kind, setting: row.setting, exception: row.exception)
                },
                PaperTrend.all.map {
                    TrendResult(trend: $0.name, pass: $0.holds(lab), exception: $0.exception)
                }
            )
        }
    }

    /// Results that are there already.
    init(results: [PaperResult], trends: [TrendResult]) {
        self.results = results
        self.trends = trends
    }

    /// Rows that agreement is claimed for and that nothing was fitted to.
    public var claimed: [PaperResult] {
        results.filter { $0.exception == nil && $0.kind != .calibrated }
    }

    /// Error statistics of the claimed rows.
    public var summary: PaperSummary { PaperSummary(claimed, trends) }
}

/// How good the prediction is.
public struct PaperSummary: Codable, Equatable, Sendable {
    public var claimedRows: Int
    public var medianError: Double
    /// Share of the claimed rows within 20 %.
    public var within20Percent: Double
    /// Claimed rows more than twice or less than half the reported value.
    public var beyondTwofold: [String]
    public var failedTrends: [String]

    /// What the prediction promises: median at most 12 %, three quarters within 20 %, none beyond twofold, every trend.
    public var isMet: Bool {
        medianError <= 0.12 && within20Percent >= 0.75 && beyondTwofold.isEmpty
            && failedTrends.isEmpty
    }

    init(_ rows: [PaperResult], _ trends: [TrendResult]) {
        let errors = rows.map(\.error).sorted()
        let middle = errors.count / 2
        claimedRows = rows.count
        medianError =
            errors.isEmpty
            ? 0
            : errors.count % 2 == 1 ? errors[middle] : (errors[middle - 1] + errors[middle]) / 2
        within20Percent =
            errors.isEmpty ? 1 : Double(errors.count { $0 <= 0.2 }) / Double(errors.count)
        beyondTwofold = rows.filter { $0.ratio > 2 || $0.ratio < 0.5 }.map(\.row)
        failedTrends = trends.filter { !$0.pass && $0.exception == nil }.map(\.trend)
    }
}
