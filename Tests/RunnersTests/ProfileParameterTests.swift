// The table of parameters covers every property of a profile, once each, over its whole range.

import PerseusProxy
import PerseusSoftNIC
import Testing

@testable import PerseusRunners

/// Every stored value of a profile with its path, in declaration order.
private func leaves(of value: Any, path: String = "") -> [(path: String, text: String)] {
    let mirror = Mirror(reflecting: value)
    guard mirror.displayStyle == .struct, !mirror.children.isEmpty, !(value is String) else {
        return [(path, "\(value)")]
    }
    return mirror.children.flatMap { child in
        leaves(of: child.value, path: "\(path).\(child.label ?? "?")")
    }
}

@Suite struct ProfileParameterTests {
    /// The two ends of what a parameter may be.
    static func ends(of quantity: ProfileQuantity) -> [ProfileValue] {
        switch quantity {
        case .number(_, let range): [.number(range.lowerBound), .number(range.upperBound)]
        case .onOff: [.isOn(false), .isOn(true)]
        case .name(let names): [.name(names[0]), .name(names[names.count - 1])]
        }
    }

    @Test func everyPropertyHasOneParameter() {
        let profile = Profile.builtIn[0]
        var changed: [String] = []
        for parameter in ProfileParameter.all {
            var other = profile
            let now = parameter.value(in: profile)
            let ends = Self.ends(of: parameter.quantity)
            parameter.set(ends[0] == now ? ends[1] : ends[0], in: &other)
            let paths = zip(leaves(of: profile), leaves(of: other)).filter { $0 != $1 }.map(
                \.0.path)
            #expect(paths.count == 1, "\(parameter.key) changes \(paths)")
            changed += paths
        }
        let all = leaves(of: profile).map(\.path).filter { $0 != ".name" && $0 != ".summary" }
        #expect(all.count > 40)
        #expect(changed.sorted() == all.sorted(), "a property without a parameter, or with two")
    }

    @Test(arguments: ProfileParameter.all)
    func endsOfTheRangeAreStoredShownAndRead(_ parameter: ProfileParameter) throws {
        for end in Self.ends(of: parameter.quantity) {
            var profile = Profile.builtIn[0]
            parameter.set(end, in: &profile)
            #expect(parameter.value(in: profile) == end)
            #expect(try parameter.quantity.read(parameter.text(in: profile)) == end)
        }
    }

    /// A built-in value outside its range could not be read back.
    @Test func keysAreDistinctAndMeaningsFitIntoAComment() {
        let keys = ProfileParameter.all.map(\.key)
        #expect(Set(keys).count == keys.count)
        for parameter in ProfileParameter.all {
            #expect(parameter.name.allSatisfy { $0.isLowercase || $0 == "-" }, "\(parameter.key)")
            #expect(!parameter.meaning.isEmpty && !parameter.meaning.contains { ";#".contains($0) })
            #expect(ProfileParameter.named(parameter.key)?.meaning == parameter.meaning)
        }
        // The printed file has each section once.
        let sections = ProfileParameter.all.map(\.section.rawValue)
        #expect(zip(sections, sections.dropFirst()).count { $0 != $1 } == 2)
    }
}

@Suite struct ProfileQuantityTests {
    private func number(_ text: String, _ dimension: ProfileDimension = .time) -> Double? {
        let value = try? ProfileQuantity.number(dimension, 0...1e10).read(text)
        guard case .number(let number) = value else { return nil }
        return number
    }

    @Test func numbersAreExactInEveryUnit() {
        let times: [(String, Double?)] = [
            ("800 ns", 800), ("2.17 us", 2170), ("1.25 us", 1250), ("0.1 us", 100),
            ("28us", 28_000),
            ("2 ms", 2_000_000), ("1.000001 ms", 1_000_001), ("1e3 ns", 1000), ("1e-3us", 1),
            ("0 ns", 0), ("-0 ns", 0), (".5 us", 500), ("10000 ms", 1e10), ("1\tus", 1000),
        ]
        for (text, expected) in times { #expect(number(text) == expected, "\(text)") }
        #expect(number("84 TFLOP/s", .arithmeticRate) == 84_000)
        #expect(number("0.3 GB/s", .byteRate) == 0.3)
        #expect(number("4.096 KB", .byteCount) == 4096)
        #expect(number("64", .count) == 64)
    }

    @Test func whatIsNotAValueIsRefused() {
        for text in [
            "", "ns", "800", "ten ns", "1,250 ns", "0x10 ns", "inf ns", "nan ns", "1 2 ns",
            "--1 ns",
            "1e999999999999999999999 ns", "1e 3 ns", "800 GB/s", "800 NS", "-1 ns", "0.5 ns",
            "1e300 ns", "10001 ms", "on",
        ] {
            #expect(number(text) == nil, "\(text)")
        }
        #expect(number("64 B", .count) == nil)
        #expect(number("1.5", .count) == nil)
    }

    @Test func valuesAreShownWithoutAFractionWhereThereIsAUnitForIt() {
        func show(_ value: Double, _ dimension: ProfileDimension) -> String {
            ProfileQuantity.number(dimension, 0...1e10).show(.number(value))
        }
        #expect(show(28_000, .time) == "28 us")
        #expect(show(2170, .time) == "2170 ns")
        #expect(show(0, .time) == "0 ns")
        #expect(show(4096, .byteCount) == "4096 B")
        #expect(show(84_000, .arithmeticRate) == "84 TFLOP/s")
        #expect(show(0.3, .byteRate) == "0.3 GB/s")
        #expect(show(64, .count) == "64")
        #expect(ProfileQuantity.onOff.show(.isOn(true)) == "on")
    }
}
