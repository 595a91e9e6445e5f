// The figures of the paper as values, without running a point: names, colours, captions, and that they can be drawn.

import Testing

@testable import PerseusExperiments

@Suite struct PaperFiguresTests {
    /// With stand-ins for every point; a mark whose row is not in the table stops here.
    private static let figures = PaperFigures(lab: Laboratory(profiles: [], threads: 1)).all

    @Test(arguments: figures)
    func aFigureCanBeDrawn(figure: Figure) throws { try figure.check() }

    @Test func noFigureOverwritesAnother() {
        #expect(Set(Self.figures.map(\.stem)).count == Self.figures.count)
    }

    @Test(arguments: figures)
    func theCaptionSaysWhatIsModelled(figure: Figure) {
        #expect(figure.caption.hasPrefix("MODELLED on the virtual clock by the profile "))
        let hasMarks = figure.series.contains { $0.style == .points }
        #expect(figure.caption.contains("Hollow marks are reported") == hasMarks)
        // More than four lines below the axis leave too little of the figure.
        #expect(FigureScript.lines(figure.caption, columns: 122).count <= 4)
    }

    @Test(arguments: figures)
    func everyReportedSeriesHasAModelledOneOfItsColour(figure: Figure) {
        let modelled = figure.series.filter { $0.style != .points }.compactMap(\.colorIndex)
        for series in figure.series where series.style == .points {
            #expect(series.colorIndex.map(modelled.contains) == true, "\(series.name)")
        }
    }

    @Test func agreementByConstructionIsSaid() throws {
        let figure = try #require(Self.figures.first { $0.stem == "throughput-by-concurrency" })
        #expect(figure.caption.contains("fitted to 2 % and 74 %, where agreement proves nothing"))
        let other = try #require(Self.figures.first { $0.stem == "group-size" })
        #expect(other.caption.contains("fitted to none of them"))
    }

    @Test func numbersHaveThreeDigits() {
        #expect(threeDigits(22.283) == "22.3")
        #expect(threeDigits(0.13099) == "0.131")
        #expect(threeDigits(131.4) == "131")
        #expect(threeDigits(98765) == "98800")
        #expect(threeDigits(0) == "0")
    }
}
