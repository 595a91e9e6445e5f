// One reported number of the paper, and the experiment that answers it.

/// A reported number beside its modelled counterpart.
public struct PaperRow: Sendable {
    /// How far a comparison can be trusted.
    public enum Kind: String, Codable, Sendable {
        /// The cost model's parameters were fitted to it.
        case calibrated
        /// Not fitted, and its setting is given in the paper's summary.
        case predicted
        /// Not fitted; the paper's summary leaves part of the setting open, and ours is stated.
        case assumed
    }

    public enum Unit: String, Codable, Sendable {
        case milliseconds = "ms"
        case ratio = "x"
        case percent = "%"
    }

    /// Stable name, as in reports and tests.
    public let name: String
    public let section: PaperSection
    public let reported: Double
    public let unit: Unit
    private let settingKind: Kind
    /// What was run: nodes, tokens, scheme, and what of it is our choice.
    public let setting: String
    /// Why no agreement is claimed; nil for a row that counts.
    public let exception: String?
    let measure: @Sendable (Laboratory) -> Double

    public var kind: Kind { Calibration.isCalibrated(name) ? .calibrated : settingKind }

    init(
        _ name: String, _ section: PaperSection, reported: Double, _ unit: Unit, _ kind: Kind,
        setting: String, exception: String? = nil,
        measure: @escaping @Sendable (Laboratory) -> Double
    ) {
        self.name = name
        self.section = section
        self.reported = reported
        self.unit = unit
        settingKind = kind
        self.setting = setting
        self.exception = exception
        self.measure = measure
    }
}

/// Parts of the comparison, in the order of the report.
public enum PaperSection: String, CaseIterable, Codable, Sendable {
    case cause = "put with signal, Perlmutter"
    case layer = "layer, Perlmutter"
    case ablation = "ablation, Perlmutter"
    case scaling = "weak scaling, Perlmutter"
    case endToEnd = "end to end"
    case skew = "Zipf-skewed routing, Perlmutter"
    case infiniBand = "H100 and ConnectX-7"
    case allToAll = "all-to-all of another library"
}

/// The effect of a change that the paper reports, as a yes or no.
public struct PaperTrend: Sendable {
    public let name: String
    /// Why no agreement is claimed; nil for a trend that counts.
    public let exception: String?
    let holds: @Sendable (Laboratory) -> Bool

    init(
        _ name: String, exception: String? = nil, holds: @escaping @Sendable (Laboratory) -> Bool
    ) {
        self.name = name
        self.exception = exception
        self.holds = holds
    }
}
