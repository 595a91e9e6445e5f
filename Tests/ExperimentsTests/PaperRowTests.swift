// The table of reported numbers: names, points, which rows were fitted to, and what counts in the summary.

import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusRunners
import Testing

@testable import PerseusExperiments

@Suite struct PaperRowTests {
    @Test func namesAreUnique() {
        let names = PaperRow.all.map(\.name)
        #expect(names.count >= 50)
        #expect(Set(names).count == names.count)
        let trends = PaperTrend.all.map(\.name)
        #expect(Set(trends).count == trends.count)
        for section in PaperSection.allCases {
            #expect(PaperRow.all.contains { $0.section == section }, "\(section.rawValue) is empty")
        }
    }

    @Test func rowsCanBeCompared() {
        for row in PaperRow.all {
            #expect(row.reported > 0, "\(row.name): a ratio to it means nothing")
            #expect(!row.setting.isEmpty && row.exception?.isEmpty != true, "\(row.name)")
        }
    }

    /// Every row asks for points of profiles and models that exist, and the fabric honours what it asks.
    @Test func everyPointExists() throws {
        let profiles = [PaperSettings.perlmutter, PaperSettings.infiniBand]
        for profile in profiles { #expect(Profile.named(profile) != nil) }
        for row in PaperRow.all {
            let laboratory = Laboratory(profiles: [], threads: 1)
            _ = row.measure(laboratory)
            #expect(
                laboratory.wantedLayers.count + laboratory.wantedPuts.count > 0,
                "\(row.name) measures nothing")
            for point in laboratory.wantedLayers {
                #expect(profiles.contains(point.profile), "\(row.name)")
                let profile = try #require(Profile.named(point.profile))
                _ = try SchemeSetup(
                    point.scheme, profile: profile, geometry: point.workload().geometry,
                    options: point.settings(profile).options)
            }
            for point in laboratory.wantedPuts {
                #expect(profiles.contains(point.profile), "\(row.name)")
                _ = try PutSignalWorkload(
                    nodes: point.nodes, ranksPerNode: point.ranksPerNode,
                    concurrency: point.concurrency, byteCount: point.byteCount)
            }
        }
    }

    @Test func aFitDecidesOneRowByOneParameter() {
        let terms = Calibration.terms
        #expect((1...8).contains(terms.count))
        #expect(Set(terms.map(\.row)).count == terms.count)
        #expect(Set(terms.map { "\($0.profile) \($0.parameter)" }).count == terms.count)
        for term in terms {
            #expect(PaperRow.all.count { $0.name == term.row } == 1, "\(term.row)")
            #expect(Profile.named(term.profile) != nil, "\(term.profile)")
            guard let parameter = ProfileParameter.named(term.parameter) else {
                Issue.record("\(term.parameter) does not exist")
                continue
            }
            guard case .number = parameter.quantity else {
                Issue.record("\(term.parameter) is no number")
                continue
            }
        }
    }

    @Test func calibratedAreTheRowsOfTheFit() {
        let fitted = Set(Calibration.terms.map(\.row))
        for row in PaperRow.all {
            #expect((row.kind == .calibrated) == fitted.contains(row.name), "\(row.name)")
            #expect(
                row.exception == nil || row.kind != .calibrated,
                "\(row.name): a number that was fitted to is no exception")
        }
    }
}

@Suite struct LineFitTests {
    @Test func aLineIsFound() {
        let fit = LineFit([(0, 1), (1, 3), (2, 5)])
        #expect(fit.intercept == 1 && fit.slope == 2 && fit.rSquared == 1)
    }

    /// Means 2 and 5/3; sums of products 2, 1 and 2/3.
    @Test func theLeastSquaresAreFound() {
        let fit = LineFit([(1, 1), (2, 2), (3, 2)])
        #expect(abs(fit.slope - 0.5) < 1e-12)
        #expect(abs(fit.intercept - 2.0 / 3) < 1e-12)
        #expect(abs(fit.rSquared - 0.75) < 1e-12)
    }

    @Test func pointsAboveEachOtherHaveNoSlope() {
        let fit = LineFit([(1, 1), (1, 3)])
        #expect(fit.slope == 0 && fit.intercept == 2)
    }
}

@Suite struct PaperSummaryTests {
    private func result(
        _ ratio: Double, _ kind: PaperRow.Kind = .predicted, exception: String? = nil
    ) -> PaperResult {
        PaperResult(
            row: "\(ratio)", section: .cause, unit: .ratio, reported: 1, ours: ratio, ratio: ratio,
            kind: kind, setting: "", exception: exception)
    }

    private func summary(_ results: [PaperResult], _ trends: [TrendResult] = []) -> PaperSummary {
        PaperComparison(results: results, trends: trends).summary
    }

    @Test func theMedianIsOfTheErrors() {
        let odd = summary([1.5, 1.25, 0.875].map { result($0) })
        #expect(odd.claimedRows == 3 && odd.medianError == 0.25)
        let even = summary([1.5, 1.25, 0.875, 1].map { result($0) })
        #expect(even.medianError == (0.125 + 0.25) / 2)
        #expect(even.within20Percent == 0.5)
    }

    @Test func eachPromiseCanBeBroken() {
        let good = [1, 1.0625, 0.9375, 1.125].map { result($0) }
        #expect(summary(good).isMet)
        // The median: at most 12 %.
        #expect(!summary([1.125, 0.8125, 1.15625].map { result($0) }).isMet)
        // Three quarters within 20 %.
        #expect(summary(good + [result(1.25)]).isMet)
        #expect(!summary(good + [result(1.25), result(1.5)]).isMet)
        // None beyond twice or half.
        #expect(summary(good + [result(2)]).isMet && summary(good + [result(0.5)]).isMet)
        for ratio in [2.0625, 0.4375] {
            let broken = summary(good + [result(ratio)])
            #expect(broken.beyondTwofold == ["\(ratio)"] && !broken.isMet)
        }
        // Every trend.
        let trends = [
            TrendResult(trend: "a", pass: true), TrendResult(trend: "b", pass: false),
            TrendResult(trend: "c", pass: false, exception: "known"),
        ]
        #expect(summary(good, trends).failedTrends == ["b"])
        #expect(!summary(good, trends).isMet)
        #expect(summary(good, [trends[0], trends[2]]).isMet)
    }

    @Test func exceptionsAndFittedRowsDoNotCount() {
        let rows = [result(1.0625), result(3, exception: "open"), result(1.9, .calibrated)]
        let summary = summary(rows)
        #expect(summary.claimedRows == 1 && summary.medianError == 0.0625 && summary.isMet)
        #expect(PaperComparison(results: rows, trends: []).claimed.map(\.row) == ["1.0625"])
        // What only the summary's setting leaves open is claimed all the same.
        #expect(!self.summary([result(3, .assumed)]).isMet)
    }
}
