// `perseus simulate paper`: every reported number beside ours.

import Foundation
import PerseusCommandLine
import PerseusExperiments
import PerseusPrimitives
import PerseusRunners

/// What the comparison ran on.
struct PaperContext: Codable, Equatable, Sendable {
    var clock = "virtual (modelled)"
    var profiles: [String]
    var summary: PaperSummary
}

/// The comparison as JSON: results and trends.
struct PaperReport: Codable, Equatable, Sendable {
    var schema = 1
    var command = "simulate paper"
    var context: PaperContext
    var results: [PaperResult]
    var trends: [TrendResult]
}

func executePaper(_ options: PaperOptions) throws {
    let laboratory = makeLaboratory(profiles: Profile.builtIn, threads: options.threadCount)
    let comparison = try PaperComparison(laboratory)
    print(text(of: comparison), terminator: "")
    if let path = options.jsonPath {
        try writeJSON(
            PaperReport(
                context: PaperContext(
                    profiles: [PaperSettings.perlmutter, PaperSettings.infiniBand],
                    summary: comparison.summary),
                results: comparison.results, trends: comparison.trends), to: path)
    }
    guard comparison.summary.isMet else {
        throw PerseusError(
            .wrongResult,
            "the prediction is off by more than it promises: \(verdict(comparison.summary))")
    }
}

/// A laboratory that shows its progress on a terminal.
func makeLaboratory(profiles: [Profile], threads: Int?) -> Laboratory {
    let laboratory = Laboratory(
        profiles: profiles, threads: threads ?? ProcessInfo.processInfo.activeProcessorCount)
    let progress = SharedProgress("points")
    laboratory.progress = { done, total in progress.update(done: done, of: total) }
    return laboratory
}

private func text(of comparison: PaperComparison) -> String {
    var text = "reported: numbers of [Perseus]; ours: MODELLED by the profiles, virtual clock\n"
    for section in PaperSection.allCases {
        let rows = comparison.results.filter { $0.section == section }
        guard !rows.isEmpty else { continue }
        var table = TextTable(["row", "reported", "ours", "ratio", "kind", "setting"])
        for row in rows {
            table.addRow([
                row.row, value(row.reported, row.unit), value(row.ours, row.unit),
                String(format: "%.2f", row.ratio),
                row.exception == nil ? row.kind.rawValue : "exception", row.setting,
            ])
        }
        text += "\n\(section.rawValue)\n" + table.render()
    }
    let exceptions = comparison.results.filter { $0.exception != nil }
    text += "\nexceptions (no agreement is claimed)\n"
    text += exceptions.map { "  \($0.row): \($0.exception ?? "")\n" }.joined()
    text += "\ntrends\n"
    text += comparison.trends.map { trend in
        "  \(trend.pass ? "yes" : "NO ")  \(trend.trend)"
            + (trend.exception.map { " (exception: \($0))" } ?? "") + "\n"
    }.joined()
    return text + "\n" + verdict(comparison.summary) + "\n"
}

private func verdict(_ summary: PaperSummary) -> String {
    func percent(_ share: Double) -> String { String(format: "%.1f %%", 100 * share) }
    var text =
        "\(summary.claimedRows) rows not calibrated and no exceptions: median error"
        + " \(percent(summary.medianError)) (at most 12 %),"
        + " \(percent(summary.within20Percent)) within 20 % (at least 75 %)"
    if !summary.beyondTwofold.isEmpty {
        text += "; beyond 2x: " + summary.beyondTwofold.joined(separator: ", ")
    }
    if !summary.failedTrends.isEmpty {
        text += "; wrong trends: " + summary.failedTrends.joined(separator: ", ")
    }
    return text
}

private func value(_ value: Double, _ unit: PaperRow.Unit) -> String {
    let number = String(format: value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : "%.2f", value)
    return unit == .ratio ? number + "x" : "\(number) \(unit.rawValue)"
}
