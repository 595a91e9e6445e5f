// How the text after an option becomes a value: integers, sizes, seeds, names, lists, paths.

import Glibc
import PerseusPrimitives

/// Why a value was refused, as the rest of a sentence after `--option value:`.
struct ValueRefusal: Error, Equatable {
    let reason: String

    init(_ reason: String) { self.reason = reason }
}

/// Reads and shows one kind of value.
struct ValueFormat<Value: Sendable>: Sendable {
    /// What stands for the value in help texts, such as `N` or `FILE`.
    let placeholder: String
    let read: @Sendable (String) throws(ValueRefusal) -> Value
    /// The inverse of `read`: text that reads back as an equal value.
    let show: @Sendable (Value) -> String
}

extension ValueFormat where Value == Int {
    /// A whole number in `range`.
    static func integer(_ placeholder: String = "N", in range: ClosedRange<Int>) -> ValueFormat {
        ValueFormat(placeholder: placeholder) { text throws(ValueRefusal) in
            try readInteger(text, in: range)
        } show: {
            String($0)
        }
    }

    /// A number of bytes: `64`, `4K`, `1M`, `2GiB`; every suffix is a power of 1024.
    static func size(_ placeholder: String = "SIZE") -> ValueFormat {
        ValueFormat(placeholder: placeholder) { text throws(ValueRefusal) in
            try readSize(text)
        } show: {
            String($0)
        }
    }
}

extension ValueFormat where Value == UInt64 {
    /// Sixty-four bits, decimal or `0x` hexadecimal.
    static var seed: ValueFormat {
        ValueFormat(placeholder: "N") { text throws(ValueRefusal) in
            let isHexadecimal = text.hasPrefix("0x") || text.hasPrefix("0X")
            let digits = isHexadecimal ? String(text.dropFirst(2)) : text
            let bits = UInt64(digits, radix: isHexadecimal ? 16 : 10)
            guard let bits, !digits.hasPrefix("+") else {
                throw ValueRefusal("a seed is a decimal or 0x hexadecimal number below 2^64")
            }
            return bits
        } show: {
            String($0)
        }
    }
}

extension ValueFormat where Value == Double {
    /// A finite number that is at least, or more than, `bound`.
    static func number(_ placeholder: String, _ bound: NumberBound) -> ValueFormat {
        ValueFormat(placeholder: placeholder) { text throws(ValueRefusal) in
            guard let value = Double(text), value.isFinite, bound.allows(value) else {
                throw ValueRefusal("must be a number, \(bound.words)")
            }
            return value
        } show: {
            "\($0)"
        }
    }
}

/// The lower bound of a `number` format.
enum NumberBound {
    case atLeastZero
    case aboveZero

    func allows(_ value: Double) -> Bool {
        switch self {
        case .atLeastZero: value >= 0
        case .aboveZero: value > 0
        }
    }

    var words: String {
        switch self {
        case .atLeastZero: "0 or more"
        case .aboveZero: "more than 0"
        }
    }
}

extension ValueFormat where Value == String {
    /// Any text that is not empty; what it means is decided by the code that uses it.
    static func text(_ placeholder: String) -> ValueFormat {
        ValueFormat(placeholder: placeholder) { text throws(ValueRefusal) in
            text
        } show: {
            $0
        }
    }

    /// The path of a file.
    static var file: ValueFormat { text("FILE") }

    /// The path of a directory.
    static var directory: ValueFormat { text("DIR") }

    /// One of `names`; `noun` is what a person calls them, such as `scheme`.
    static func name(_ placeholder: String = "NAME", noun: String, of names: [String])
        -> ValueFormat
    {
        ValueFormat(placeholder: placeholder) { text throws(ValueRefusal) in
            try readName(text, noun: noun, of: names)
        } show: {
            $0
        }
    }
}

extension ValueFormat where Value == String {
    /// A built-in profile, or the path of a profile's file: what is no known name and has a slash or a dot, or exists.
    static var profile: ValueFormat {
        ValueFormat(placeholder: "NAME|FILE") { text throws(ValueRefusal) in
            let isPath = text.contains { $0 == "/" || $0 == "." } || access(text, F_OK) == 0
            if isPath && !KnownNames.profiles.contains(text) { return text }
            do throws(ValueRefusal) {
                return try readName(text, noun: "profile", of: KnownNames.profiles)
            } catch {
                throw ValueRefusal("\(error.reason) (or the path of a file)")
            }
        } show: {
            $0
        }
    }
}

extension ValueFormat where Value == [String] {
    /// Distinct names, separated by commas; `all` alone stands for every one.
    static func names(noun: String, of names: [String]) -> ValueFormat {
        ValueFormat(placeholder: "NAME[,NAME...]|all") { text throws(ValueRefusal) in
            if text == "all" { return names }
            var chosen: [String] = []
            for part in commaParts(text) {
                guard part != "all" else { throw ValueRefusal("all cannot be mixed with names") }
                let name = try readName(part, noun: noun, of: names)
                guard !chosen.contains(name) else { throw ValueRefusal("\(name) stands twice") }
                chosen.append(name)
            }
            return chosen
        } show: {
            $0 == names ? "all" : $0.joined(separator: ",")
        }
    }

    /// Paths of files, separated by commas.
    static var files: ValueFormat {
        ValueFormat(placeholder: "FILE[,FILE...]") { text throws(ValueRefusal) in
            let paths = commaParts(text)
            guard !paths.contains("") else { throw ValueRefusal("one of the paths is empty") }
            return paths
        } show: {
            $0.joined(separator: ",")
        }
    }
}

extension ValueFormat where Value == [Int] {
    /// One whole number, or several separated by commas, each in `range`.
    static func integers(_ placeholder: String, in range: ClosedRange<Int>) -> ValueFormat {
        ValueFormat(placeholder: placeholder) { text throws(ValueRefusal) in
            var values: [Int] = []
            for part in commaParts(text) { values.append(try readInteger(part, in: range)) }
            return values
        } show: {
            $0.map(String.init).joined(separator: ",")
        }
    }
}

extension ValueFormat {
    /// Distinct values of `element`, separated by commas.
    static func distinct<Element: Hashable>(_ element: ValueFormat<Element>) -> ValueFormat
    where Value == [Element] {
        let one = element.placeholder
        return ValueFormat(placeholder: "\(one)[,\(one)...]") { text throws(ValueRefusal) in
            var values: [Element] = []
            var seen: Set<Element> = []
            for part in commaParts(text) {
                let value = try element.read(part)
                guard seen.insert(value).inserted else {
                    throw ValueRefusal("\(part) stands twice")
                }
                values.append(value)
            }
            return values
        } show: {
            $0.map(element.show).joined(separator: ",")
        }
    }
}

private func commaParts(_ text: String) -> [String] {
    text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
}

private func readInteger(_ text: String, in range: ClosedRange<Int>) throws(ValueRefusal) -> Int {
    let isNumber = !text.isEmpty && text.drop { $0 == "-" }.allSatisfy { "0"..."9" ~= $0 }
    guard isNumber else {
        throw ValueRefusal(
            text.isEmpty ? "a number is missing" : "\(text) is not a whole number")
    }
    // A number with too many digits for `Int` is out of every range that we declare.
    guard let value = Int(text), range.contains(value) else {
        throw ValueRefusal(
            range.upperBound == Int.max
                ? "must be \(range.lowerBound) or more"
                : "must be \(range.lowerBound) to \(range.upperBound)")
    }
    return value
}

private func readName(
    _ text: String, noun: String, of names: [String]
) throws(ValueRefusal) -> String {
    if names.contains(text) { return text }
    let clause = NameSuggestion.clause(for: text, among: names)
    throw ValueRefusal("unknown \(noun)\(text.isEmpty ? "" : " \(text)")\(clause)")
}

private func readSize(_ text: String) throws(ValueRefusal) -> Int {
    let digits = text.prefix { "0"..."9" ~= $0 }
    let shift: Int? =
        switch text.dropFirst(digits.count).lowercased() {
        case "": 0
        case "k", "kib": 10
        case "m", "mib": 20
        case "g", "gib": 30
        case "t", "tib": 40
        default: nil
        }
    guard let shift, !digits.isEmpty else {
        throw ValueRefusal("a size is a number of bytes such as 4096, 64K, 1M or 2GiB")
    }
    let bytes = (Int(digits) ?? Int.max).multipliedReportingOverflow(by: 1 << shift)
    guard !bytes.overflow, 1..<Int.max ~= bytes.partialValue else {
        throw ValueRefusal("must be at least 1 byte and less than 8388608T")
    }
    return bytes.partialValue
}
