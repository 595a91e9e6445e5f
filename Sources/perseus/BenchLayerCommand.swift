// `perseus bench layer`: every scheme on a GPU, at many points.

import Foundation
import PerseusBenchmarks
import PerseusCommandLine
import PerseusPrimitives
import PerseusRunners

func executeBenchLayer(_ options: LayerBenchOptions) throws {
    var layer = DeviceLayerOptions(
        profiles: try options.profiles.map { try ProfileDocument(namedOrAt: $0).profile })
    layer.repetitions = options.repetitionCount
    if options.isQuick { layer.makeQuick() }
    if options.modelsAreGiven || !options.isQuick { layer.models = options.models }
    layer.tokenCounts = options.tokenCounts ?? layer.tokenCounts
    layer.rankCounts = options.rankCounts
    layer.ranksPerNode = options.ranksPerNode
    layer.schemes = options.schemes.compactMap(Scheme.init(rawValue:))
    layer.seed = options.seed
    let report = try withProgress { try runDeviceLayerBenchmark(layer, progress: $0) }
    print(text(of: report), terminator: "")
    if let path = options.jsonPath {
        try writeJSON(
            Report(
                command: "bench layer --device cuda", context: MachineContext(),
                results: report.rows, notes: report.notes), to: path)
    }
    if let failure = report.failure { throw failure }
}

/// A line for each scheme and point, then the notes.
private func text(of report: DeviceLayerReport) -> String {
    var table = TextTable([
        "model", "S", "ranks", "profile", "scheme", "layer", "min", "max", "ratio", "paper", "use",
    ])
    for row in report.rows {
        let times = row.layerNanoseconds
        table.addRow(
            [
                row.model, Quantity.count(row.tokens), Quantity.count(row.ranks), row.profile,
                row.scheme,
            ]
                + [times.median, times.minimum, times.maximum].map {
                    Quantity.time(Int($0.rounded()))
                } + [
                    row.ratioToCoupled.map(Quantity.ratio) ?? "-", row.paperRatio?.text ?? "-",
                    row.tensorCoreUse.map { String(format: "%.1f %%", 100 * $0) } ?? "-",
                ])
    }
    return table.render() + report.notes.map { "\($0)\n" }.joined()
}
