// What a value of a profile can be, and how it is written: numbers with units, switches, names.

import PerseusPrimitives

/// One value of a profile. Numbers are in the first unit of their dimension.
public enum ProfileValue: Equatable, Sendable {
    case number(Double)
    case isOn(Bool)
    case name(String)
}

/// In JSON a number, `true` or `false`, or a text.
extension ProfileValue: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else if let isOn = try? container.decode(Bool.self) {
            self = .isOn(isOn)
        } else {
            self = .name(try container.decode(String.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .number(let number): try container.encode(number)
        case .isOn(let isOn): try container.encode(isOn)
        case .name(let name): try container.encode(name)
        }
    }
}

/// Why a text is not a value, as a clause behind the parameter's key.
struct ProfileRefusal: Error, Equatable {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// What a number measures.
public enum ProfileDimension: CaseIterable, Sendable {
    case time
    case byteRate
    case arithmeticRate
    case byteCount
    case count

    /// Unit and power of ten, the smallest first, which is the one that the code calculates in.
    var units: [(name: String, exponent: Int)] {
        switch self {
        case .time: [("ns", 0), ("us", 3), ("ms", 6)]
        case .byteRate: [("GB/s", 0)]
        case .arithmeticRate: [("GFLOP/s", 0), ("TFLOP/s", 3)]
        case .byteCount: [("B", 0), ("KB", 3), ("MB", 6)]
        case .count: []
        }
    }

    /// Whether the smallest unit cannot be divided.
    var isWhole: Bool { self == .time || self == .byteCount || self == .count }

    var words: String {
        switch self {
        case .time: "a time"
        case .byteRate: "a rate of bytes"
        case .arithmeticRate: "a rate of arithmetic"
        case .byteCount: "a number of bytes"
        case .count: "a count"
        }
    }
}

/// The values that a parameter may have.
public enum ProfileQuantity: Equatable, Sendable {
    /// The range is in the dimension's first unit.
    case number(ProfileDimension, ClosedRange<Double>)
    case onOff
    case name([String])

    /// The unit of `ProfileValue.number`; nil for a count, a switch and a name.
    public var unit: String? {
        guard case .number(let dimension, _) = self else { return nil }
        return dimension.units.first?.name
    }

    /// The text of `value`: `28 us`, `on`, `in-order`. What `read` makes an equal value of.
    func show(_ value: ProfileValue) -> String {
        switch value {
        case .isOn(let isOn): return isOn ? "on" : "off"
        case .name(let name): return name
        case .number(let number):
            guard case .number(let dimension, _) = self else { return "\(number)" }
            return Self.show(number, dimension)
        }
    }

    /// In the largest unit that leaves no fraction.
    private static func show(_ number: Double, _ dimension: ProfileDimension) -> String {
        for unit in dimension.units.reversed() where number != 0 || unit.exponent == 0 {
            let scale = Double("1e\(unit.exponent)") ?? 1
            if let whole = Int(exactly: number / scale), Double(whole) * scale == number {
                return "\(whole) \(unit.name)"
            }
        }
        let text = Int(exactly: number).map { "\($0)" } ?? "\(number)"
        return dimension.units.first.map { "\(text) \($0.name)" } ?? text
    }

    func read(_ text: String) throws(ProfileRefusal) -> ProfileValue {
        switch self {
        case .number(let dimension, let range): return try read(text, dimension, range)
        case .onOff:
            guard text == "on" || text == "off" else {
                throw ProfileRefusal("must be on or off, not \(text)")
            }
            return .isOn(text == "on")
        case .name(let names):
            guard names.contains(text) else {
                let clause = NameSuggestion.clause(for: text, among: names)
                throw ProfileRefusal("unknown name \(text)\(clause)")
            }
            return .name(text)
        }
    }

    private func read(
        _ text: String, _ dimension: ProfileDimension, _ range: ClosedRange<Double>
    ) throws(ProfileRefusal) -> ProfileValue {
        // No unit has a digit, so the last one ends the number; a space between them is for people.
        let end = text.lastIndex { $0.isASCII && $0.isNumber }.map(text.index(after:))
        let number = text[..<(end ?? text.endIndex)]
        let unit = text[(end ?? text.endIndex)...].drop { $0 == " " || $0 == "\t" }
        guard end != nil, Self.decimal(number, exponent: 0) != nil else {
            throw ProfileRefusal("\(number) is not a number")
        }
        let exponent = try Self.exponent(of: unit, number: number, dimension)
        guard let value = Self.decimal(number, exponent: exponent), range.contains(value) else {
            throw ProfileRefusal(
                "\(text) is out of range: \(Self.show(range.lowerBound, dimension)) to"
                    + " \(Self.show(range.upperBound, dimension))")
        }
        guard !dimension.isWhole || value == value.rounded() else {
            throw ProfileRefusal(
                "\(text) is not a whole number\(self.unit.map { " of \($0)" } ?? "")")
        }
        return .number(value)
    }

    private static func exponent(
        of unit: Substring, number: Substring, _ dimension: ProfileDimension
    ) throws(ProfileRefusal) -> Int {
        let units = dimension.units
        if let known = units.first(where: { $0.name == unit }) { return known.exponent }
        guard !units.isEmpty else {
            if unit.isEmpty { return 0 }
            throw ProfileRefusal("\(dimension.words) has no unit, and \(unit) stands behind it")
        }
        let names = units.map(\.name)
        let last = names[names.count - 1]
        let choice =
            names.count == 1 ? last : names.dropLast().joined(separator: ", ") + " or " + last
        throw ProfileRefusal(
            unit.isEmpty
                ? "\(number) has no unit: \(dimension.words) is given in \(choice)"
                : "\(unit) is not a unit of \(dimension.words); use \(choice)")
    }

    /// `text` · 10^`exponent`, rounded once; nil when `text` is not a decimal number.
    ///
    /// Multiplying 2.17 by 1000 would round twice and miss 2170.
    private static func decimal(_ text: Substring, exponent: Int) -> Double? {
        guard text.allSatisfy({ "0123456789.+-eE".contains($0) }) else { return nil }
        let parts = text.split(omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        guard parts.count <= 2, let own = parts.count == 2 ? Int(parts[1]) : 0 else { return nil }
        guard -400...400 ~= own else { return nil }
        return Double("\(parts[0])e\(own + exponent)")
    }
}
