// What a finished sweep says to a person: the schemes side by side, and what could not run.

import PerseusCommandLine
import PerseusExperiments
import PerseusProxy
import PerseusRunners

/// The end of a sweep as text.
struct SweepSummary {
    let grid: SweepGrid
    /// Of every point.
    let outcomes: [SweepOutcome]

    /// More rows are for a program.
    private static let rowLimit = 40

    func text(path: String, keptCount: Int) -> String {
        tableText + reasons(refusals, "refused") + reasons(failures, "failed")
            + wrapped(conclusion(path: path, keptCount: keptCount)) + "\n"
    }

    // MARK: Table

    /// A cell's row and the columns that name it.
    private struct Column {
        let title: String
        let value: (LayerPoint) -> String
    }

    /// What names a row: the four that always do, and every other axis with a choice.
    private var keys: [Column] {
        var keys = [
            Column(title: "profile") { $0.profile }, Column(title: "model") { $0.model },
            Column(title: "nodes") { "\($0.nodes)" },
        ]
        func add(_ title: String, _ count: Int, _ value: @escaping (LayerPoint) -> String) {
            if count > 1 { keys.append(Column(title: title, value: value)) }
        }
        add("per node", grid.ranksPerNode.count) { "\($0.ranksPerNode)" }
        keys.append(Column(title: "tokens") { "\($0.tokens)" })
        add("ordering", grid.orderings.count) { $0.ordering?.rawValue ?? "own" }
        add("group", grid.groupSizes.count) { $0.groupSize.map(String.init) ?? "own" }
        add("proxies", grid.proxyThreads.count) { "\($0.proxyThreads)" }
        add("zipf", grid.zipfExponents.count) { "\($0.zipf)" }
        return keys
    }

    /// The cells of one row by scheme, in the order of the grid.
    private struct Row {
        let key: [String]
        var cells: [SweepOutcome] = []
    }

    private var tableText: String {
        let schemes = grid.schemes
        let rowCount = grid.count / schemes.count
        guard rowCount <= Self.rowLimit else { return "" }
        let keys = keys
        var rows: [Row] = []
        var places: [[String]: Int] = [:]
        for (index, outcome) in outcomes.enumerated() {
            let key = keys.map { $0.value(grid[index]) }
            let place = places[key] ?? rows.count
            if place == rows.count { rows.append(Row(key: key)) }
            places[key] = place
            rows[place].cells.append(outcome)
        }
        var table = TextTable(keys.map(\.title) + schemes.map(\.rawValue))
        for row in rows { table.addRow(row.key + cells(row.cells)) }
        return table.render() + legend
    }

    /// Times, and where `coupled` has one, how many times shorter the others' are.
    private func cells(_ outcomes: [SweepOutcome]) -> [String] {
        let coupled = grid.schemes.firstIndex(of: .coupled)
        var base: UInt64?
        if let coupled, case .measured(let time) = outcomes[coupled] { base = time }
        return outcomes.enumerated().map { index, outcome in
            switch outcome {
            case .measured(let time):
                if let base, index != coupled {
                    Quantity.ratio(Double(base) / Double(max(time, 1)))
                } else {
                    Quantity.time(Int(time))
                }
            case .refused: "refused"
            case .failed: "failed"
            }
        }
    }

    private var legend: String {
        let ratios = grid.schemes.contains(.coupled) ? "; 2.00x: half the time of coupled" : ""
        return "times of one layer, MODELLED (virtual clock)\(ratios)\n"
    }

    // MARK: Reasons

    private var refusals: [String] {
        outcomes.compactMap { if case .refused(let reason) = $0 { reason } else { nil } }
    }

    private var failures: [String] {
        outcomes.compactMap { if case .failed(let reason) = $0 { reason } else { nil } }
    }

    private static let reasonLimit = 5

    /// Each reason once, in the order of the grid, with the number of its points.
    private func reasons(_ reasons: [String], _ verb: String) -> String {
        var distinct: [String] = []
        var counts: [String: Int] = [:]
        for reason in reasons {
            if counts[reason] == nil { distinct.append(reason) }
            counts[reason, default: 0] += 1
        }
        let lines = distinct.prefix(Self.reasonLimit).map { reason in
            wrapped("\(verb): \(reason) (\(Quantity.count(counts[reason] ?? 0)) points)")
        }
        let rest = distinct.count - lines.count
        return (lines + (rest > 0 ? ["\(verb): \(rest) more reasons"] : [])).map { $0 + "\n" }
            .joined()
    }

    private func conclusion(path: String, keptCount: Int) -> String {
        var text =
            "\(path): \(Quantity.count(grid.count)) points,"
            + " \(Quantity.count(refusals.count)) refused, \(Quantity.count(failures.count)) failed"
        if keptCount > 0 { text += "; \(Quantity.count(keptCount)) were there before" }
        return text
    }
}
