// The gnuplot script of a figure: everything that decides how it looks.

import Glibc

/// Text of the script; equal figures give equal scripts.
struct FigureScript {
    /// Pixels of both formats.
    static let width = 900
    static let height = 560
    /// Columns of the caption at its font.
    private static let captionColumns = 122
    /// Of Okabe and Ito, told apart with every common colour blindness; without their yellow, which is too pale for a
    /// line on white.
    private static let palette = [
        "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#882255",
    ]
    /// gnuplot's filled marks; each hollow one is the number before.
    private static let marks = [7, 5, 9, 13, 11, 15]

    private let figure: Figure
    private let xTicks: AxisTicks
    private let yTicks: AxisTicks
    private let captionLines: [String]

    init(_ figure: Figure) {
        self.figure = figure
        let points = figure.series.flatMap(\.points)
        xTicks = AxisTicks(points.map(\.x), figure.x.scale, startsAtZero: false)
        yTicks = AxisTicks(points.map(\.y), figure.y.scale, startsAtZero: true)
        captionLines = FigureScript.lines(figure.caption, columns: FigureScript.captionColumns)
    }

    /// The script behind its `set terminal` line, which depends on the format.
    var text: String {
        let plots = figure.series.indices.flatMap(plots)
        return
            (frame + xAxis + yAxis + caption + figure.series.indices.flatMap(data)
            + ["plot " + plots.joined(separator: ", \\\n    ")])
            .joined(separator: "\n") + "\n"
    }

    private var frame: [String] {
        [
            "set encoding utf8",
            // gnuplot's own title would stand between the legend and the plot.
            "set size 1,0.94",
            "set label 1 \(literal(figure.title)) at screen 0.5, screen 0.965"
                + " center font ',15' textcolor '#202020'",
            "set border 3 linecolor '#606060'",
            "set tics nomirror out scale 0.6,0.3 textcolor '#303030'",
            "set grid ytics\(figure.categories == nil ? " xtics" : "")"
                + " back linetype 1 linecolor '#E4E4E4' linewidth 1",
            // Above the plot, where no data can be.
            "set key tmargin center horizontal Left reverse samplen 2.5 spacing 1.25 width 3",
            "set rmargin 4",
            "set bmargin \(bottomLineCount)",
        ] + (hasSlantedNames ? ["set lmargin \(max(11, longestCategory * 3 / 4))"] : [])
    }

    private var bottomLineCount: Int {
        4 + captionLines.count + (hasSlantedNames ? longestCategory / 5 + 1 : 0)
    }

    // MARK: Axes

    private var longestCategory: Int { figure.categories?.map(\.count).max() ?? 0 }

    /// Whether the names of the categories would run into each other side by side.
    private var hasSlantedNames: Bool {
        (longestCategory + 2) * (figure.categories?.count ?? 0) > 100
    }

    private var xAxis: [String] {
        let label = "set xlabel \(literal(figure.x.label)) textcolor '#202020'"
        guard let categories = figure.categories else {
            let range = paddedXRange
            return [label] + axis("x", figure.x.scale, xTicks, range.lower, range.upper)
        }
        let names = categories.enumerated().map { index, name in
            // A percent sign in the name of a tick starts a format, where texts elsewhere are taken as they are.
            "\(literal(name.replacing("%", with: "%%"))) \(index)"
        }
        return [
            label,
            "set xrange [-0.6:\(position(Double(categories.count) - 0.4))]",
            "set xtics \(hasSlantedNames ? "rotate by 30 right " : "")scale 0 (\(names.joined(separator: ", ")))",
        ]
    }

    /// From the first point to the last, and a 25th of that on both sides: marks on the edge would be cut.
    private var paddedXRange: (lower: Double, upper: Double) {
        let values = figure.series.flatMap { $0.points.map(\.x) }
        guard let least = values.min(), let most = values.max(), least < most else {
            return (xTicks.lower, xTicks.upper)
        }
        if figure.x.scale == .linear {
            return (least - (most - least) * 0.04, most + (most - least) * 0.04)
        }
        let ratio = pow(most / least, 0.04)
        return (least / ratio, most * ratio)
    }

    private var yAxis: [String] {
        ["set ylabel \(literal(figure.y.label)) textcolor '#202020'"]
            + axis("y", figure.y.scale, yTicks, yTicks.lower, yTicks.upper)
    }

    private func axis(
        _ name: String, _ scale: Figure.Scale, _ ticks: AxisTicks, _ lower: Double, _ upper: Double
    ) -> [String] {
        let named = ticks.named.map { "'\($0.label)' \(plainNumber($0.value))" }
        let unnamed = ticks.unnamed.map { "'' \(plainNumber($0)) 1" }
        let base: [String] =
            switch scale {
            case .linear: []
            case .log2: ["set logscale \(name) 2"]
            case .log10: ["set logscale \(name) 10"]
            }
        return base + [
            "set \(name)range [\(position(lower)):\(position(upper))]",
            "set \(name)tics (\((named + unnamed).joined(separator: ", ")))",
        ]
    }

    private var caption: [String] {
        captionLines.enumerated().map { index, line in
            let pixel = 14 + 17 * (captionLines.count - 1 - index)
            let place = Double(pixel) / Double(FigureScript.height)
            return
                "set label \(index + 2) \(literal(line)) at screen 0.5, screen \(position(place))"
                + " center font ',10' textcolor '#606060'"
        }
    }

    // MARK: Series

    /// A block `$seriesN` with a line for each point, moved to its place inside a category.
    private func data(_ index: Int) -> [String] {
        let shift = shiftInCategory(index)
        let lines = figure.series[index].points.map { point in
            let x = shift == 0 ? plainNumber(point.x) : position(point.x + shift)
            return "\(x) \(plainNumber(point.y))"
        }
        return ["$series\(index + 1) << END"] + lines + ["END"]
    }

    private func plots(_ index: Int) -> [String] {
        let series = figure.series[index]
        let slot = slot(index)
        let color = "linecolor rgb '\(FigureScript.palette[slot % FigureScript.palette.count])'"
        let filled = FigureScript.marks[slot % FigureScript.marks.count]
        let block = "$series\(index + 1) using 1:2"
        let title = "title \(literal(series.name))"
        // A line of hundreds of marks is a band.
        let interval = "pointinterval \((series.points.count + 19) / 20)"
        switch series.style {
        case .line:
            return [
                "\(block) with linespoints \(color) linewidth 2 pointtype \(filled) pointsize 1.1"
                    + " \(interval) \(title)"
            ]
        case .dashed:
            return [
                "\(block) with linespoints \(color) linewidth 1.8 dashtype (10,6)"
                    + " pointtype \(filled - 1) pointsize 1.4 \(interval) \(title)"
            ]
        case .fit:
            return ["\(block) with lines \(color) linewidth 1.6 dashtype (3,4) \(title)"]
        case .points:
            // White below and, on a bar of the same colour, a dark outline.
            let outline = barIndex(slot) == nil ? color : "linecolor rgb '#101010'"
            return [
                "\(block) with points linecolor rgb '#FFFFFF' pointtype \(filled) pointsize 1.9 notitle",
                "\(block) with points \(outline) linewidth 2 pointtype \(filled - 1) pointsize 1.6"
                    + " \(title)",
            ]
        case .bars:
            return [
                "$series\(index + 1) using 1:2:(\(position(barWidth))) with boxes \(color)"
                    + " fillstyle solid 0.9 noborder \(title)"
            ]
        }
    }

    /// Place in the palette.
    private func slot(_ index: Int) -> Int { figure.series[index].colorIndex ?? index }

    private var barSeries: [Int] {
        figure.series.indices.filter { figure.series[$0].style == .bars }
    }

    /// Which of the bars, from the left, has the colour `slot`; nil: none.
    private func barIndex(_ slot: Int) -> Int? {
        barSeries.firstIndex { self.slot($0) == slot }
    }

    /// Of a category's width, four fifths are bars.
    private var barWidth: Double { 0.8 / Double(max(barSeries.count, 1)) }

    private func shiftInCategory(_ index: Int) -> Double {
        guard figure.categories != nil, !barSeries.isEmpty else { return 0 }
        let own = figure.series[index].style == .bars ? barSeries.firstIndex(of: index) : nil
        guard let place = own ?? barIndex(slot(index)) else { return 0 }
        return (Double(place) + 0.5) * barWidth - 0.4
    }

    // MARK: Text

    /// A place in the picture: single precision is finer than its pixels, and shorter to read.
    private func position(_ value: Double) -> String {
        let short = Float(value)
        guard short.isNormal else { return plainNumber(value) }
        let text = "\(short)"
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    /// `text` between single quotes, where gnuplot replaces nothing; terminals are set to `noenhanced`.
    private func literal(_ text: String) -> String { FigureScript.literal(text) }

    static func literal(_ text: String) -> String {
        let printable = String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
        return "'\(printable.replacing("'", with: "''"))'"
    }

    /// Breaks `text` at its line feeds, and at spaces where a line has more than `columns`.
    static func lines(_ text: String, columns: Int) -> [String] {
        text.split(separator: "\n").flatMap { paragraph in
            var lines: [String] = []
            for word in paragraph.split(separator: " ") {
                if let last = lines.last, last.count + 1 + word.count <= columns {
                    lines[lines.count - 1] = "\(last) \(word)"
                } else {
                    lines.append(String(word))
                }
            }
            return lines
        }
    }
}
