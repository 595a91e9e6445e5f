// A figure as a value: what is drawn, over which axes, and what a reader must know beside it.

/// Everything that a `FigureWriter` draws.
///
/// With `categories` the figure has bars: `x` of a point is then the index of its category, and several series of
/// bars stand side by side in each category. A series of another style in such a figure is drawn over the bar that
/// has its `colorIndex`, and over the middle of the category where there is none.
public struct Figure: Codable, Equatable, Sendable {
    /// Name of the files without their ending: letters, digits, `-`, `_` and `.`, and no `.` in front.
    public var stem: String
    public var title: String
    public var x: Axis
    public var y: Axis
    /// Names below the bars, from left to right; nil for a figure over numbers.
    public var categories: [String]?
    /// In the order of the legend.
    public var series: [Series]
    /// Printed below the figure: `modelled`, where the reported values come from. May be empty.
    public var caption: String

    public init(
        stem: String, title: String, x: Axis, y: Axis, categories: [String]? = nil,
        series: [Series], caption: String
    ) {
        self.stem = stem
        self.title = title
        self.x = x
        self.y = y
        self.categories = categories
        self.series = series
        self.caption = caption
    }

    public enum Scale: String, Codable, Sendable, CaseIterable {
        /// From 0 where nothing is negative, so that lengths can be compared.
        case linear
        /// Powers of two: 512, 1K, 2K with K = 1,024.
        case log2
        /// Powers of ten.
        case log10
    }

    public struct Axis: Codable, Equatable, Sendable {
        /// With its unit: `time of the layer (ms)`.
        public var label: String
        public var scale: Scale

        public init(_ label: String, _ scale: Scale = .linear) {
            self.label = label
            self.scale = scale
        }
    }

    public enum Style: String, Codable, Sendable, CaseIterable {
        /// A line with filled marks: what we computed.
        case line
        /// Hollow marks alone: what somebody else reported.
        case points
        /// A dashed line with hollow marks: the same, where it is a curve.
        case dashed
        /// A dotted line without marks: what was fitted to a series, under the same colour.
        case fit
        /// Only with `categories`.
        case bars
    }

    public struct Point: Codable, Equatable, Sendable {
        public var x: Double
        public var y: Double

        public init(_ x: Double, _ y: Double) {
            self.x = x
            self.y = y
        }
    }

    public struct Series: Codable, Equatable, Sendable {
        public var name: String
        public var style: Style
        public var points: [Point]
        /// Place in the palette, which is also the form of the marks; nil: the series' place in the figure. A reported
        /// series takes the index of the series that it is compared with, and a scheme the same one in every figure.
        public var colorIndex: Int?

        public init(_ name: String, _ style: Style, _ points: [Point], colorIndex: Int? = nil) {
            self.name = name
            self.style = style
            self.points = points
            self.colorIndex = colorIndex
        }

        /// One value for each category; nil leaves a gap.
        public init(_ name: String, _ style: Style, values: [Double?], colorIndex: Int? = nil) {
            let points = values.enumerated().compactMap { index, value in
                value.map { Point(Double(index), $0) }
            }
            self.init(name, style, points, colorIndex: colorIndex)
        }
    }
}
