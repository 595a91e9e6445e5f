// Scripts and tables, byte for byte; PERSEUS_UPDATE_GOLDEN=1 rewrites the golden files.

import Foundation
import PerseusPrimitives
import Testing

@testable import PerseusExperiments

@Suite struct FigureScriptTests {
    private func expectGolden(_ text: String, _ name: String) throws {
        let golden = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Golden").appending(path: name)
        if ProcessInfo.processInfo.environment["PERSEUS_UPDATE_GOLDEN"] == "1" {
            try Data(text.utf8).write(to: golden)
        }
        let expected = try String(contentsOf: golden, encoding: .utf8)
        #expect(
            text == expected,
            "PERSEUS_UPDATE_GOLDEN=1 swift test --filter FigureScriptTests rewrites it")
    }

    @Test(arguments: [SampleFigures.scaling, SampleFigures.speedups, SampleFigures.awkward])
    func aScriptEqualsItsGoldenFile(figure: Figure) throws {
        try expectGolden(FigureScript(figure).text, "\(figure.stem).gnuplot")
        try expectGolden(figure.table, "\(figure.stem).csv")
    }

    @Test func aLiteralHoldsAnyText() {
        #expect(
            FigureScript.literal("it's \"q\" `d` %d {x}_y\\n") == "'it''s \"q\" `d` %d {x}_y\\n'")
        // A line feed inside would end the command: gnuplot would run the rest.
        #expect(FigureScript.literal("a\nset output 'x'\r\u{0}\u{85}") == "'a set output ''x''   '")
    }

    @Test func captionsAreBrokenAtSpaces() {
        #expect(FigureScript.lines("a bc def\ng", columns: 4) == ["a bc", "def", "g"])
        #expect(FigureScript.lines("abcdef g", columns: 4) == ["abcdef", "g"])
        #expect(FigureScript.lines("", columns: 4) == [])
    }

    @Test func fieldsOfTheTableAreQuoted() {
        var figure = SampleFigures.speedups
        figure.x.label = "model, \"size\""
        figure.categories = ["a,b", "c\nd", "e"]
        #expect(
            figure.table.hasPrefix(
                "series,\"model, \"\"size\"\"\",speedup (times)\n"
                    + "perseus,\"a,b\",2.54\nperseus,\"c\nd\",2.2\nperseus,e,3.1\n"))
    }

    @Test func aFigureSurvivesJSON() throws {
        for figure in SampleFigures.all {
            let bytes = try JSONEncoder().encode(figure)
            #expect(try JSONDecoder().decode(Figure.self, from: bytes) == figure)
        }
    }
}

@Suite struct AxisTicksTests {
    private func names(_ values: [Double], _ scale: Figure.Scale, zero: Bool = true) -> [String] {
        AxisTicks(values, scale, startsAtZero: zero).named.map(\.label)
    }

    @Test func linearAxesHaveRoundSteps() {
        #expect(names([0.3, 0.9], .linear) == ["0", "0.2", "0.4", "0.6", "0.8", "1"])
        #expect(names([8.5, 3], .linear) == ["0", "2", "4", "6", "8", "10"])
        #expect(
            names([10_500, 9_000], .linear, zero: false) == [
                "8,500", "9,000", "9,500", "10,000", "10,500", "11,000",
            ])
        #expect(
            names([-0.2, 0.3], .linear) == [
                "-0.3", "-0.2", "-0.1", "0", "0.1", "0.2", "0.3", "0.4",
            ])
        #expect(names([0], .linear) == ["0", "0.2", "0.4", "0.6", "0.8", "1", "1.2"])
        #expect(names([0, 4e7], .linear).last == "5e7")
        #expect(names([5e9], .linear).last == "6e9")
    }

    @Test func powersOfTwoHaveBinaryNames() {
        #expect(names([8, 64], .log2) == ["8", "16", "32", "64"])
        #expect(names([300, 5000], .log2) == ["256", "512", "1K", "2K", "4K", "8K"])
        #expect(names([1], .log2) == ["1", "2"])
        #expect(names([0.25, 1], .log2) == ["0.25", "0.5", "1"])
        #expect(
            names([1, Double(1 << 30)], .log2) == [
                "1", "8", "64", "512", "4K", "32K", "256K", "2M", "16M", "128M", "1G",
            ])
    }

    @Test func powersOfTenAreNamedAsFarAsThereIsRoom() {
        #expect(names([1.7, 55], .log10) == ["1", "2", "5", "10", "20", "50", "100"])
        #expect(names([2.2, 220], .log10) == ["2", "5", "10", "20", "50", "100", "200", "500"])
        #expect(names([0.02, 3000], .log10) == ["0.1", "1", "10", "100", "1,000"])
        #expect(names([3], .log10) == ["2", "5"])
        #expect(AxisTicks([1.7, 55], .log10, startsAtZero: true).unnamed.prefix(3) == [3, 4, 6])
    }

    /// Whatever the values are: inside the range, few names, and rising.
    @Test(arguments: Figure.Scale.allCases, 1...100)
    func everyValueLiesOnItsAxis(scale: Figure.Scale, seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let values = (0...random.next(below: 5)).map { _ in
            exp2(random.nextUnit() * 60 - 30) * (scale == .linear && random.chance(0.3) ? -1 : 1)
        }
        let axis = AxisTicks(values, scale, startsAtZero: random.chance(0.5))
        #expect(values.allSatisfy { axis.lower <= $0 && $0 <= axis.upper }, "seed \(seed)")
        #expect(1...13 ~= axis.named.count, "seed \(seed): \(axis)")
        for (one, next) in zip(axis.named, axis.named.dropFirst()) {
            #expect(one.value < next.value && one.label != next.label, "seed \(seed)")
        }
    }
}
