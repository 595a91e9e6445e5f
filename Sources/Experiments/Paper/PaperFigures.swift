// The paper's experiments as figures: what every one of them shares.

import Glibc
import PerseusRunners

extension Laboratory {
    /// Every figure of `perseus simulate paper --plots`. Points that have run already do not run again.
    ///
    /// - Throws: what a point throws that cannot be run.
    public func paperFigures() throws -> [Figure] {
        try evaluate { PaperFigures(lab: $0).all }
    }
}

/// The figures as formulas over points (see `Laboratory.evaluate`).
///
/// Solid lines and bars are modelled; hollow marks are reported and take their values from `PaperRow`.
struct PaperFigures {
    typealias Settings = PaperSettings

    let lab: Laboratory

    /// In the order of the paper: cause, layer, ablation, scaling, end to end, skew; then what it has not.
    var all: [Figure] {
        [
            throughputBySize, throughputByConcurrency, fenceTime, groupSize,
            ablation(nodes: 2), ablation(nodes: 8), weakScalingOfQwen3, weakScalingOfGPTOSS,
            tensorUse, alphaBeta, zipf(tokens: 1024), zipf(tokens: 8192), beyond,
        ]
    }

    /// A reported number as a mark: where it stands and which row it is.
    struct Mark {
        var x: Double
        var row: PaperRow

        /// - Precondition: `PaperRow.all` has a row of this name.
        init(_ x: Double, _ name: String) {
            self.x = x
            row = PaperFigures.row(name)
        }
    }

    static func row(_ name: String) -> PaperRow {
        guard let row = PaperRow.all.first(where: { $0.name == name }) else {
            preconditionFailure("the table has no row \(name)")
        }
        return row
    }

    /// `22.7 ms`, `10x`, `74 %`.
    static func text(_ row: PaperRow) -> String {
        plainNumber(row.reported) + (row.unit == .ratio ? "" : " ") + row.unit.rawValue
    }

    /// `1.3x to 2.6x`, of the rows `<name>-least` and `<name>-most`.
    static func range(_ name: String) -> String {
        "\(text(row(name + "-least"))) to \(text(row(name + "-most")))"
    }

    // MARK: Series

    /// A curve of one scheme.
    func curve(
        _ scheme: Scheme, over values: [Int], _ measure: (Int) -> Double
    ) -> Figure.Series {
        Figure.Series(
            scheme.rawValue, .line, values.map { .init(Double($0), measure($0)) },
            colorIndex: scheme.colorIndex)
    }

    func reported(_ scheme: Scheme, _ marks: [Mark]) -> Figure.Series {
        Figure.Series(
            "\(scheme.rawValue), reported", .points, marks.map { .init($0.x, $0.row.reported) },
            colorIndex: scheme.colorIndex)
    }

    // MARK: Captions

    /// What a reader must know: that the values are modelled, of what, and which agreement proves nothing.
    ///
    /// - Parameters:
    ///   - setting: model, cluster and tokens, and which of them are assumed.
    ///   - rows: those that are drawn as hollow marks.
    ///   - notes: whole sentences.
    func caption(_ setting: String, reporting rows: [PaperRow] = [], _ notes: String...) -> String {
        var sentences = [
            "MODELLED on the virtual clock by the profile \(Settings.perlmutter): \(setting)."
        ]
        if !rows.isEmpty {
            let fitted = rows.filter { $0.kind == .calibrated }.map(PaperFigures.text)
            sentences.append(
                "Hollow marks are reported"
                    + (fitted.isEmpty
                        ? "; the profile was fitted to none of them."
                        : "; the profile was fitted to \(fitted.joined(separator: " and ")), where agreement"
                            + " proves nothing."))
        }
        return (sentences + notes).joined(separator: " ")
    }

    func caption(_ setting: String, reporting marks: [Mark], _ note: String) -> String {
        caption(setting, reporting: marks.map(\.row), note)
    }
}

extension Scheme {
    /// Place in the palette of figures, the same in all of them.
    var colorIndex: Int {
        switch self {
        case .coupled: 0
        case .perseus: 1
        case .perseusPlus: 2
        case .decoupled: 3
        case .nicOrdered: 4
        case .gpuDirect: 5
        case .collective: 6
        }
    }
}

/// `value` with three significant digits.
func threeDigits(_ value: Double) -> String {
    guard value.isFinite, value != 0 else { return plainNumber(value) }
    let exponent = Int(floor(log10(abs(value)))) - 2
    // Through an integer and one division or product: 131 * 0.001 has more digits than 131 / 1000.
    let power = pow(10, Double(abs(exponent)))
    return plainNumber(
        exponent < 0 ? (value * power).rounded() / power : (value / power).rounded() * power)
}
