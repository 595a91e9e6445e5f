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
    /// With --beyond.
    var beyond: [BeyondResult]?
    var throughput: [ThroughputResult]?
}

func executePaper(_ options: PaperOptions) throws {
    // First: what would refuse the figures does so before minutes of work.
    let figureWriter = try options.plotsPath.map { try FigureWriter(directory: $0) }
    let laboratory = makeLaboratory(profiles: Profile.builtIn, threads: options.threadCount)
    let comparison = try PaperComparison(laboratory)
    let beyond = options.goesBeyond ? try PaperBeyond(laboratory) : nil
    print(text(of: comparison) + (beyond.map(text) ?? ""), terminator: "")
    if let path = options.jsonPath {
        try writeJSON(
            PaperReport(
                context: PaperContext(
                    profiles: [PaperSettings.perlmutter, PaperSettings.infiniBand],
                    summary: comparison.summary),
                results: comparison.results, trends: comparison.trends,
                beyond: beyond?.layers, throughput: beyond?.throughput), to: path)
    }
    if let figureWriter { try writeFigures(laboratory, figureWriter) }
    guard comparison.summary.isMet else {
        throw PerseusError(
            .wrongResult,
            "the prediction is off by more than it promises: \(verdict(comparison.summary))")
    }
}

/// Draws every figure from the points that `laboratory` knows and those that it still has to run.
private func writeFigures(_ laboratory: Laboratory, _ writer: FigureWriter) throws {
    var paths: [String] = []
    for figure in try laboratory.paperFigures() { paths += try writer.write(figure) }
    print("\nfigures")
    for path in paths { print("  \(path)") }
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

private func text(of beyond: PaperBeyond) -> String {
    var text =
        "\nbeyond the paper: qwen3-30b, Perlmutter, 1,024 tokens, layer in ms and gain over perseus\n"
    let variants = beyond.layers.prefix { $0.nodes == beyond.layers.first?.nodes }.map(\.variant)
    var table = TextTable(["variant"] + PaperBeyond.nodes.map { "\($0) nodes" })
    for variant in variants {
        table.addRow(
            [variant]
                + PaperBeyond.nodes.map { nodes in
                    beyond.layers.first { $0.nodes == nodes && $0.variant == variant }.map {
                        String(format: "%.2f (%.2fx)", $0.milliseconds, $0.speedupOverPerseus)
                    } ?? "-"
                })
    }
    text += table.render()
    text += "\nput with signal over put-only, 96 x 4 KB, 8 nodes\n"
    var shares = TextTable(["variant", "ours", "reported"])
    for share in beyond.throughput {
        shares.addRow([
            share.variant, String(format: "%.1f %%", share.percentOfPutOnly),
            share.reported.map { String(format: "%.0f %%", $0) } ?? "-",
        ])
    }
    return text + shares.render()
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
