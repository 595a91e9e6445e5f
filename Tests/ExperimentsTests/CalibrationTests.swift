// A fit finds a parameter again that was changed: the value is known, because the row was measured with it.

import PerseusPrimitives
import PerseusRunners
import PerseusSoftNIC
import Testing

@testable import PerseusExperiments

@Suite struct CalibrationTests {
    /// A made-up number: what `measure` gives on the built-in profile.
    private func row(
        _ measure: @escaping @Sendable (Laboratory) -> Double
    ) throws -> PaperRow {
        let reported = try Laboratory(profiles: Profile.builtIn, threads: 1).evaluate(measure)
        return PaperRow(
            "made-up", .cause, reported: reported, .milliseconds, .predicted, setting: "a test",
            measure: measure)
    }

    private func makeLaboratory(_ profiles: [Profile]) -> Laboratory {
        Laboratory(profiles: profiles, threads: 1)
    }

    @Test(arguments: [0.5, 2.5])
    func aChangedTailComesBack(_ factor: Double) throws {
        let fence = try row { $0.put(smallPuts(.coupled)) - $0.put(smallPuts(nil)) }
        let right = Profile.named(PaperSettings.perlmutter)!
        let tail = Double(right.fabric.completionPerDestinationNanoseconds)
        var detuned = right
        detuned.fabric.completionPerDestinationNanoseconds = UInt64(tail * factor)
        var errors: [Double] = []
        let result = try #require(
            Calibration.fit(
                detuned, terms: [(fence, "nic.completion-per-destination")],
                makeLaboratory: makeLaboratory
            ) { errors.append($1) }.first)
        #expect(abs(result.before / (tail * factor) - 1) < 0.001)
        #expect(
            abs(result.after / tail - 1) < 0.02, "\(result.after) for \(tail), errors \(errors)")
        #expect(abs(result.ours / fence.reported - 1) < Calibration.tolerance)
        #expect(errors.first! > 0.05 && errors.last! < Calibration.tolerance)
        #expect(result.row == "made-up" && result.parameter == "nic.completion-per-destination")
        #expect(result.text.hasSuffix(" ns") && !result.text.hasPrefix("\(Int(tail * factor)) "))
    }

    /// Two rows and two parameters that both of them depend on.
    @Test func twoParametersComeBackTogether() throws {
        let alone = try row { $0.put(smallPuts(nil)) }
        let signalled = try row { $0.put(smallPuts(.perseus)) }
        let right = Profile.named(PaperSettings.perlmutter)!
        var detuned = right
        detuned.fabric.latencyNanoseconds *= 2
        detuned.posting.putNanoseconds /= 2
        let results = try Calibration.fit(
            detuned, terms: [(alone, "proxy.put"), (signalled, "nic.latency")],
            makeLaboratory: makeLaboratory
        ) { _, _ in }
        #expect(abs(results[0].ours / alone.reported - 1) < Calibration.tolerance)
        #expect(abs(results[1].ours / signalled.reported - 1) < Calibration.tolerance)
    }

    @Test func aRightProfileIsLeftAlone() throws {
        let fence = try row { $0.put(smallPuts(.coupled)) }
        let right = Profile.named(PaperSettings.perlmutter)!
        let result = try Calibration.fit(
            right, terms: [(fence, "nic.refill")], makeLaboratory: makeLaboratory
        ) { _, error in #expect(error < 1e-9) }
        #expect(result[0].after == result[0].before)
    }
}
