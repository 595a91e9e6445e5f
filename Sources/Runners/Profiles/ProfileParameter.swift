// One parameter of a profile: its key, what it means, what it may be, and where the profile keeps it.

import PerseusProxy
import PerseusSoftNIC
import PerseusTransport

/// A line of a profile's file. `all` is the one table that reading, printing, help and tests go through.
public struct ProfileParameter: Sendable {
    /// The part of the cluster that a parameter belongs to; `[nic]` in a file.
    public enum Section: String, CaseIterable, Sendable {
        case nic
        case proxy
        case gpu
    }

    public let section: Section
    /// Within the section, `completion-per-destination`.
    public let name: String
    public let quantity: ProfileQuantity
    /// One clause for a person.
    public let meaning: String
    private let read: @Sendable (Profile) -> ProfileValue
    private let write: @Sendable (ProfileValue, inout Profile) -> Void

    /// `nic.bandwidth`
    public var key: String { "\(section.rawValue).\(name)" }

    public func value(in profile: Profile) -> ProfileValue { read(profile) }

    /// - Precondition: `value` is one that `quantity` allows.
    public func set(_ value: ProfileValue, in profile: inout Profile) { write(value, &profile) }

    /// The value as a file has it, with its unit.
    public func text(in profile: Profile) -> String { quantity.show(read(profile)) }

    /// The value of a parameter that is a number, in its base unit.
    public func number(in profile: Profile) -> Double {
        guard case .number(let number) = read(profile) else {
            preconditionFailure("ProfileParameter: \(key) is no number")
        }
        return number
    }

    /// Sets a parameter that is a number, to the nearest value that it may have.
    public func setNumber(_ number: Double, in profile: inout Profile) {
        guard case .number(_, let range) = quantity else {
            preconditionFailure("ProfileParameter: \(key) is no number")
        }
        write(.number(max(range.lowerBound, min(range.upperBound, number))), &profile)
    }

    public static func named(_ key: String) -> ProfileParameter? { all.first { $0.key == key } }
}

// MARK: Entries

/// Where the profile keeps a value.
typealias ProfilePath<Value> = WritableKeyPath<Profile, Value> & Sendable

/// A number as it is stored: whole or with a fraction.
protocol ProfileNumber: Sendable {
    init(profileNumber: Double)
    var profileNumber: Double { get }
}

extension Double: ProfileNumber {
    init(profileNumber: Double) { self = profileNumber }
    var profileNumber: Double { self }
}

extension Int: ProfileNumber {
    init(profileNumber: Double) { self.init(profileNumber) }
    var profileNumber: Double { Double(self) }
}

extension UInt64: ProfileNumber {
    init(profileNumber: Double) { self.init(profileNumber) }
    var profileNumber: Double { Double(self) }
}

/// A name as it is stored: the raw value of an enumeration.
protocol ProfileName: RawRepresentable, CaseIterable, Sendable where RawValue == String {}

extension DeliveryMode: ProfileName {}
extension FenceScope: ProfileName {}
extension SignalOrdering: ProfileName {}

extension ProfileParameter {
    /// A duration; ten seconds are more than any part of a layer takes.
    static func time(
        _ section: Section, _ name: String, _ path: ProfilePath<some ProfileNumber>,
        _ meaning: String
    ) -> ProfileParameter {
        number(section, name, .time, path, 0...1e10, meaning)
    }

    static func number<Number: ProfileNumber>(
        _ section: Section, _ name: String, _ dimension: ProfileDimension,
        _ path: ProfilePath<Number>, _ range: ClosedRange<Double>, _ meaning: String
    ) -> ProfileParameter {
        ProfileParameter(
            section: section, name: name, quantity: .number(dimension, range), meaning: meaning
        ) {
            .number($0[keyPath: path].profileNumber)
        } write: { value, profile in
            guard case .number(let number) = value else {
                preconditionFailure("ProfileParameter: \(name) is a number")
            }
            profile[keyPath: path] = Number(profileNumber: number)
        }
    }

    static func onOff(
        _ section: Section, _ name: String, _ path: ProfilePath<Bool>, _ meaning: String
    ) -> ProfileParameter {
        ProfileParameter(section: section, name: name, quantity: .onOff, meaning: meaning) {
            .isOn($0[keyPath: path])
        } write: { value, profile in
            guard case .isOn(let isOn) = value else {
                preconditionFailure("ProfileParameter: \(name) is on or off")
            }
            profile[keyPath: path] = isOn
        }
    }

    /// One of the names of an enumeration, without those in `excluded`.
    static func name<Name: ProfileName>(
        _ section: Section, _ name: String, _ path: ProfilePath<Name>,
        without excluded: [Name] = [],
        _ meaning: String
    ) -> ProfileParameter {
        let left = excluded.map(\.rawValue)
        let names = Name.allCases.map(\.rawValue).filter { !left.contains($0) }
        return ProfileParameter(
            section: section, name: name, quantity: .name(names), meaning: meaning
        ) {
            .name($0[keyPath: path].rawValue)
        } write: { value, profile in
            guard case .name(let text) = value, let known = Name(rawValue: text) else {
                preconditionFailure("ProfileParameter: \(name) is one of \(names)")
            }
            profile[keyPath: path] = known
        }
    }
}
