// `perseus simulate seeds`: random scenarios, one seed each, as many as asked for.

import Foundation
import PerseusCommandLine
import PerseusPrimitives
import PerseusRunners

/// What `simulate seeds` reports.
struct SeedsContext: Codable, Equatable, Sendable {
    var firstSeed: UInt64
    /// How many ran, from the first on.
    var count: Int
}

/// Totals, and one entry per failed seed.
struct SeedsResult: Codable, Equatable, Sendable {
    var passed: Int
    var failed: Int
    var checkedSignals: Int
    var failures: [String]
}

func executeSeeds(_ options: SimulateOptions) throws {
    let threadCount = options.threadCount ?? ProcessInfo.processInfo.activeProcessorCount
    var search = SeedSearch(
        firstSeed: options.firstSeed, count: options.seedCount, threadCount: threadCount)
    search.limitNanoseconds = options.limitSeconds.map { UInt64(min($0, 1e9) * 1e9) }
    search.stopsAtFirstFailure = options.stopsAtFirstFailure
    var progress = ProgressLine()
    let begin = DispatchTime.now().uptimeNanoseconds
    let outcome = try search.run { outcome, failure in
        progress.update("seeds", done: outcome.ranCount, of: options.seedCount)
        guard let failure else { return }
        progress.finish()
        try TextStream.output.write(text(of: failure))
    }
    progress.finish()
    let nanoseconds = DispatchTime.now().uptimeNanoseconds - begin
    if let path = options.jsonPath { try writeJSON(report(outcome, options), to: path) }
    if !options.isQuiet {
        if options.seedCount == 1, outcome.failures.isEmpty {
            try TextStream.output.writeLine(SeedScenario(seed: options.firstSeed).description)
        }
        try TextStream.output.writeLine(
            "\(Quantity.count(outcome.passedCount)) passed, \(outcome.failures.count) failed;"
                + " \(Quantity.count(outcome.checkedSignals)) signals compared with their data")
        // Not beside the result, which is the same on every machine.
        try TextStream.error.writeLine(pace(outcome.ranCount, nanoseconds, threadCount))
    }
    if !outcome.failures.isEmpty {
        throw PerseusError(
            .wrongResult, "\(outcome.failures.count) of \(outcome.ranCount) seeds failed")
    }
}

/// What failed, on what scenario, and how to see it again.
private func text(of failure: SeedSearch.Failure) -> String {
    let scenario = SeedScenario(seed: failure.seed)
    return "seed 0x\(String(failure.seed, radix: 16)): \(failure.problem)\n"
        + "  \(scenario.description)\n\(scenario.replayLine)\n"
}

private func report(
    _ outcome: SeedSearch.Outcome, _ options: SimulateOptions
) -> Report<SeedsContext, SeedsResult> {
    Report(
        command: "simulate seeds",
        context: SeedsContext(firstSeed: options.firstSeed, count: outcome.ranCount),
        results: [
            SeedsResult(
                passed: outcome.passedCount, failed: outcome.failures.count,
                checkedSignals: outcome.checkedSignals,
                failures: outcome.failures.map {
                    "\(SeedScenario.replayLine(seed: $0.seed)): \($0.problem)"
                })
        ])
}

/// `2,000 seeds in 6.10 s on 2 threads: 328 per second`.
private func pace(_ count: Int, _ nanoseconds: UInt64, _ threadCount: Int) -> String {
    let perSecond = Double(count) / (Double(max(nanoseconds, 1)) / 1e9)
    return "\(Quantity.count(count)) \(count == 1 ? "seed" : "seeds")"
        + " in \(Quantity.time(Int(nanoseconds))) on \(threadCount)"
        + " \(threadCount == 1 ? "thread" : "threads"): \(Quantity.count(Int(perSecond))) per second"
}
