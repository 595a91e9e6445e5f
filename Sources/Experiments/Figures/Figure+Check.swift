// What cannot be drawn is refused by name, before a program with worse words meets it.

import PerseusPrimitives

extension Figure {
    /// - Throws: `badInput` that names the figure and the series.
    func check() throws(PerseusError) {
        let isFileName = stem.utf8.allSatisfy {
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0
                || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || "-_.".utf8.contains($0)
        }
        guard isFileName, !stem.isEmpty, !stem.hasPrefix(".") else {
            throw PerseusError(
                .badInput,
                "figure \"\(stem)\": a stem has letters, digits, -, _ and . and does not start with ."
            )
        }
        guard !series.isEmpty else { throw problem("has no series") }
        if let categories, categories.isEmpty { throw problem("has no categories") }
        for one in series { try check(one) }
    }

    private func check(_ series: Series) throws(PerseusError) {
        let name = "series \"\(series.name)\""
        guard !series.points.isEmpty else { throw problem("\(name) has no points") }
        if series.style == .bars && categories == nil {
            throw problem("\(name): bars need categories")
        }
        if let index = series.colorIndex, index < 0 {
            throw problem("\(name): colour \(index) is negative")
        }
        for point in series.points {
            guard point.x.isFinite, point.y.isFinite else {
                throw problem("\(name) has a point that is no number: \(point.x), \(point.y)")
            }
            guard y.scale == .linear || point.y > 0 else {
                throw problem("\(name): a logarithmic axis cannot show y = \(point.y)")
            }
            if let categories {
                guard point.x >= 0, point.x < Double(categories.count), point.x == point.x.rounded()
                else { throw problem("\(name): x = \(point.x) is no index of a category") }
            } else {
                guard x.scale == .linear || point.x > 0 else {
                    throw problem("\(name): a logarithmic axis cannot show x = \(point.x)")
                }
            }
        }
    }

    private func problem(_ text: String) -> PerseusError {
        PerseusError(.badInput, "figure \(stem): \(text)")
    }
}
