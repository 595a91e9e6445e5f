// The fit of the cost model to eight reported numbers, one parameter for each; everything else is a prediction.

import Glibc
import PerseusPrimitives
import PerseusRunners

/// One reported number and the parameter that it decides.
public struct CalibrationTerm: Sendable {
    public let row: String
    public let profile: String
    /// Key of a `ProfileParameter`.
    public let parameter: String
}

/// The values that a fit arrived at.
public struct CalibrationResult: Codable, Equatable, Sendable {
    public var row: String
    public var profile: String
    public var parameter: String
    /// In the parameter's base unit: ns, bytes, GB/s or GFLOP/s.
    public var before: Double
    public var after: Double
    /// `after` as a profile's file has it.
    public var text: String
    public var reported: Double
    public var ours: Double
}

/// Fits the parameters of `terms` so that their rows come out as reported.
public enum Calibration {
    /// At most eight, fixed here; `PaperRow.kind` is `calibrated` for these rows and for no other.
    public static let terms: [CalibrationTerm] = [
        term("signalled-throughput-4KB-8-nodes", PaperSettings.perlmutter, "proxy.put"),
        term(
            "fence-time-4KB-8-nodes", PaperSettings.perlmutter, "nic.completion-per-destination"),
        term("fence-time-1MB-2-nodes", PaperSettings.perlmutter, "nic.refill"),
        term("perseus-throughput-4KB-8-nodes", PaperSettings.perlmutter, "nic.latency"),
        term("layer-coupled", PaperSettings.perlmutter, "nic.refill-size"),
        term("coupled-8-nodes", PaperSettings.perlmutter, "gpu.expert-rate"),
        term("ibrc-best", PaperSettings.infiniBand, "nic.refill"),
        term("ibrc-alpha", PaperSettings.infiniBand, "gpu.layer"),
    ]

    /// Error of the logarithm at which a row counts as hit: what a reported number with two digits says, and what a model
    /// that moves in steps can hit.
    static let tolerance = 0.025

    private static func term(_ row: String, _ profile: String, _ parameter: String)
        -> CalibrationTerm
    {
        CalibrationTerm(row: row, profile: profile, parameter: parameter)
    }

    static func isCalibrated(_ row: String) -> Bool { terms.contains { $0.row == row } }

    /// Fits profile after profile.
    ///
    /// - Parameters:
    ///   - makeLaboratory: a laboratory for changed profiles.
    ///   - report: called after each round with the worst error left.
    public static func fit(
        _ profiles: [Profile], makeLaboratory: @escaping ([Profile]) -> Laboratory,
        report: (String, Int, Double) -> Void
    ) throws -> [CalibrationResult] {
        var results: [CalibrationResult] = []
        for profile in profiles {
            let terms = terms.filter { $0.profile == profile.name }
            guard !terms.isEmpty else { continue }
            results += try fit(
                profile,
                terms: terms.map { term in
                    (PaperRow.all.first { $0.name == term.row }!, term.parameter)
                }, makeLaboratory: makeLaboratory
            ) { round, error in report(profile.name, round, error) }
        }
        return results
    }

    /// Fits one parameter of `profile` for each of the rows.
    static func fit(
        _ profile: Profile, terms: [(row: PaperRow, parameter: String)],
        makeLaboratory: @escaping ([Profile]) -> Laboratory, report: (Int, Double) -> Void
    ) throws -> [CalibrationResult] {
        var fit = ProfileFit(
            profile: profile, rows: terms.map(\.row),
            parameters: terms.map { ProfileParameter.named($0.parameter)! },
            makeLaboratory: makeLaboratory)
        try fit.run(report)
        return fit.results
    }
}

/// Gauss-Newton in the logarithms of parameters and rows; a step that makes things worse is halved.
private struct ProfileFit {
    let profile: Profile
    let makeLaboratory: ([Profile]) -> Laboratory
    private let rows: [PaperRow]
    /// [row]: the parameter that it decides.
    private let parameters: [ProfileParameter]
    private var values: [Double]
    private var ours: [Double] = []

    private static let mostRounds = 8
    private static let mostHalvings = 3
    /// Step of a difference quotient, in the logarithm: wider than the steps that a discrete model takes.
    private static let probe = 0.08
    /// Most that one round changes a parameter, in the logarithm.
    private static let longestStep = 0.4

    init(
        profile: Profile, rows: [PaperRow], parameters: [ProfileParameter],
        makeLaboratory: @escaping ([Profile]) -> Laboratory
    ) {
        self.profile = profile
        self.rows = rows
        self.parameters = parameters
        self.makeLaboratory = makeLaboratory
        values = parameters.map { $0.number(in: profile) }
    }

    mutating func run(_ report: (Int, Double) -> Void) throws {
        ours = try measure(values)
        for round in 0..<Self.mostRounds {
            let errors = residuals(ours)
            report(round, errors.map(abs).max() ?? 0)
            if isGoodEnough(errors) { return }
            var columns: [[Double]] = []
            for index in values.indices {
                var probed = values
                probed[index] *= exp(Self.probe)
                columns.append(
                    zip(residuals(try measure(probed)), errors).map { ($0 - $1) / Self.probe })
            }
            let steps = solve(columns: columns, right: errors.map { -$0 }).map {
                max(-Self.longestStep, min(Self.longestStep, $0))
            }
            guard try improve(by: steps, from: errors) else { return }
        }
    }

    /// Takes the step, or a half, a quarter, an eighth of it; false when none of them is better.
    private mutating func improve(by steps: [Double], from errors: [Double]) throws -> Bool {
        var share = 1.0
        for _ in 0...Self.mostHalvings {
            let tried = zip(values, steps).map { Self.rounded($0 * exp(share * $1)) }
            let measured = try measure(tried)
            if squares(residuals(measured)) < squares(errors) {
                values = tried
                ours = measured
                return true
            }
            share /= 2
        }
        return false
    }

    private func isGoodEnough(_ errors: [Double]) -> Bool {
        errors.allSatisfy { abs($0) < Calibration.tolerance }
    }

    private func squares(_ errors: [Double]) -> Double { errors.reduce(0) { $0 + $1 * $1 } }

    /// Three digits: more would claim what the reported numbers do not say.
    private static func rounded(_ value: Double) -> Double {
        let scale = pow(10, 2 - floor(log10(value)))
        return (value * scale).rounded() / scale
    }

    private func measure(_ values: [Double]) throws -> [Double] {
        var changed = profile
        for (parameter, value) in zip(parameters, values) {
            parameter.setNumber(value, in: &changed)
        }
        return try makeLaboratory([changed]).evaluate { lab in rows.map { $0.measure(lab) } }
    }

    private func residuals(_ ours: [Double]) -> [Double] {
        zip(ours, rows).map { log(max($0, 1e-9) / $1.reported) }
    }

    var results: [CalibrationResult] {
        var fitted = profile
        for (parameter, value) in zip(parameters, values) {
            parameter.setNumber(value, in: &fitted)
        }
        return rows.indices.map { index in
            CalibrationResult(
                row: rows[index].name, profile: profile.name, parameter: parameters[index].key,
                before: parameters[index].number(in: profile), after: values[index],
                text: parameters[index].text(in: fitted), reported: rows[index].reported,
                ours: ours[index])
        }
    }

    /// Gaussian elimination with pivoting; a column without effect gets no step.
    private func solve(columns: [[Double]], right: [Double]) -> [Double] {
        let count = right.count
        var matrix = (0..<count).map { row in columns.map { $0[row] } + [right[row]] }
        for pivot in 0..<count {
            let best = (pivot..<count).max { abs(matrix[$0][pivot]) < abs(matrix[$1][pivot]) }!
            matrix.swapAt(pivot, best)
            guard abs(matrix[pivot][pivot]) > 1e-6 else { continue }
            for row in 0..<count where row != pivot {
                let factor = matrix[row][pivot] / matrix[pivot][pivot]
                for column in pivot...count {
                    matrix[row][column] -= factor * matrix[pivot][column]
                }
            }
        }
        return (0..<count).map {
            abs(matrix[$0][$0]) > 1e-6 ? matrix[$0][count] / matrix[$0][$0] : 0
        }
    }
}
