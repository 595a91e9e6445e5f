// `perseus litmus`: a verdict for each ordering on a fabric.

import PerseusCommandLine
import PerseusExperiments
import PerseusPrimitives
import PerseusProxy
import PerseusRunners

/// What `perseus litmus` was asked for.
private struct LitmusContext: Codable, Equatable, Sendable {
    var trials: Int
    var seed: UInt64
}

func executeLitmus(_ options: LitmusOptions) throws {
    var results: [LitmusResult] = []
    var progress = ProgressLine()
    for name in options.fabrics {
        var plan = LitmusPlan(try fabric(name, options))
        plan.orderings = LitmusPlan.testable.filter { options.orderings.contains($0.rawValue) }
        plan.triesUnproven = options.triesUnproven
        plan.trials = options.trialCount
        plan.seed = options.seed
        plan.deadline = UInt64(options.deadlineMilliseconds) * 1_000_000
        var count = 0
        results += try plan.run { ordering in
            progress.update("\(name) \(ordering.rawValue)", done: count, of: plan.orderings.count)
            count += 1
        }
    }
    progress.finish()
    if let path = options.jsonPath {
        try writeJSON(
            Report(
                command: "litmus",
                context: LitmusContext(trials: options.trialCount, seed: options.seed),
                results: results), to: path)
    }
    try (options.jsonPath == "-" ? TextStream.error : .output).write(text(results, options))
    if let broken = results.first(where: \.isBrokenPromise) {
        throw PerseusError(
            .wrongResult,
            "\(broken.fabric), \(broken.ordering): \(broken.violations) of \(broken.trials) signals came"
                + " before their data, against \(broken.guarantee ?? "")",
            hint: "replay with --seed \(options.seed)")
    }
}

private func fabric(_ name: String, _ options: LitmusOptions) throws -> LitmusFabric {
    guard name != "softnic" else {
        return .softNIC(try ProfileDocument(namedOrAt: options.profile).profile)
    }
    return .libfabric(String(name.dropFirst("libfabric:".count)))
}

private func text(_ results: [LitmusResult], _ options: LitmusOptions) -> String {
    guard !results.isEmpty else {
        return "none of these orderings is promised there; --unproven tries them all the same\n"
    }
    var table = TextTable(["fabric", "ordering", "verdict", "violations", "promise"])
    for result in results {
        table.addRow([
            result.fabric, result.ordering, sentence(result), Quantity.count(result.violations),
            result.guarantee ?? "-",
        ])
    }
    return table.render()
        + "\n\(Quantity.count(options.trialCount)) groups of puts each, both directions, both ranks in this process;"
        + " every byte was compared when its signal was seen\n"
}

private func sentence(_ result: LitmusResult) -> String {
    result.verdict == .notContradicted
        ? "not contradicted in \(Quantity.count(result.trials)) trials" : result.verdict.rawValue
}
