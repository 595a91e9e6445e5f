// `perseus simulate seeds`: random scenarios, one seed each, as many as asked for.

import Dispatch
import PerseusCommandLine
import PerseusPrimitives
import PerseusRunners

/// What `simulate seeds` reports.
struct SeedsContext: Codable, Equatable, Sendable {
    var firstSeed: UInt64
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
    var progress = ProgressLine()
    var result = SeedsResult(passed: 0, failed: 0, checkedSignals: 0, failures: [])
    let begin = DispatchTime.now().uptimeNanoseconds
    for index in 0..<options.seedCount {
        let scenario = SeedScenario(seed: options.firstSeed &+ UInt64(index))
        progress.update("seeds", done: index, of: options.seedCount)
        let verdict = try scenario.run()
        result.checkedSignals += verdict.checkedSignals
        guard let problem = verdict.problem else {
            result.passed += 1
            if options.seedCount == 1 && !options.isQuiet { print(scenario.description) }
            continue
        }
        result.failed += 1
        progress.finish()
        print("seed 0x\(String(scenario.seed, radix: 16)): \(problem)\n  \(scenario.description)")
        print(scenario.replayLine)
        result.failures.append("\(scenario.replayLine): \(problem)")
        if options.stopsAtFirstFailure { break }
    }
    progress.finish()
    let seconds = Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9
    if let path = options.jsonPath {
        let context = SeedsContext(firstSeed: options.firstSeed, count: options.seedCount)
        try writeJSON(
            Report(command: "simulate seeds", context: context, results: [result]), to: path)
    }
    if !options.isQuiet {
        print(
            "\(result.passed) passed, \(result.failed) failed;"
                + " \(Quantity.count(result.checkedSignals)) signals compared with their data in"
                + " \(Quantity.time(Int(seconds * 1e9)))")
    }
    if result.failed > 0 {
        throw PerseusError(.wrongResult, "\(result.failed) of \(options.seedCount) seeds failed")
    }
}
