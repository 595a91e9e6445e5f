// `perseus simulate calibrate`: fits eight parameters to eight reported numbers, and says what changes.

import Foundation
import PerseusCommandLine
import PerseusExperiments
import PerseusPrimitives
import PerseusRunners

/// What the fit started from.
struct CalibrateContext: Codable, Equatable, Sendable {
    var clock = "virtual (modelled)"
    var profiles: [String]
}

func executeCalibrate(_ options: PaperOptions) throws {
    let threads = options.threadCount
    var text =
        "one parameter for each number; everything else that the paper reports is a prediction\n"
    let results = try Calibration.fit(Profile.builtIn) {
        makeLaboratory(profiles: $0, threads: threads)
    } report: { profile, round, error in
        try? TextStream.error.writeLine(
            "\(profile): round \(round), largest error \(String(format: "%.2f %%", 100 * error))")
    }
    var table = TextTable(["profile", "parameter", "before", "after", "row", "reported", "ours"])
    for result in results {
        let before = Profile.named(result.profile).flatMap { profile in
            ProfileParameter.named(result.parameter).map { $0.text(in: profile) }
        }
        table.addRow([
            result.profile, result.parameter, before ?? "-", result.text, result.row,
            String(format: "%g", result.reported), String(format: "%.4g", result.ours),
        ])
    }
    text += table.render()
    text += "to take the values over, write them into Sources/Runners/Profiles/*.profile\n"
    print(text, terminator: "")
    if let path = options.jsonPath {
        try writeJSON(
            Report(
                command: "simulate calibrate",
                context: CalibrateContext(profiles: Array(Set(results.map(\.profile))).sorted()),
                results: results), to: path)
    }
}
