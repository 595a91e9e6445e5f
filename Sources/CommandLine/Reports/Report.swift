// The JSON that every command writes with --json, and the rules that keep its bytes equal.

import Foundation
import PerseusPrimitives

/// `{"schema":1,"command":…,"context":{…},"results":[…]}`.
public struct Report<
    Context: Codable & Equatable & Sendable, Result: Codable & Equatable & Sendable
>: Codable, Equatable, Sendable {
    /// Rises when a field changes its meaning; readers ignore fields that they do not know.
    public var schema = 1
    public var command: String
    public var context: Context
    /// One object per scheme or parameter point.
    public var results: [Result]
    /// What a reader must know and no field says; left out when there is nothing.
    public var notes: [String]?

    public init(command: String, context: Context, results: [Result], notes: [String]? = nil) {
        self.command = command
        self.context = context
        self.results = results
        self.notes = notes
    }
}

/// An optional that is written as `null` when it is nil, where Swift would leave the key out.
@propertyWrapper
public struct Nullable<Wrapped: Codable & Equatable & Sendable>: Codable, Equatable, Sendable {
    public var wrappedValue: Wrapped?

    public init(wrappedValue: Wrapped?) { self.wrappedValue = wrappedValue }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        wrappedValue = container.decodeNil() ? nil : try container.decode(Wrapped.self)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue {
            try container.encode(wrappedValue)
        } else {
            try container.encodeNil()
        }
    }
}

/// The bytes of `report`: sorted keys, indented, one newline at the end.
///
/// Equal reports give equal bytes. JSON has no infinities: they become the texts `inf`, `-inf`,
/// `nan`.
public func jsonBytes(_ report: some Encodable) throws(PerseusError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
        positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    do {
        return [UInt8](try encoder.encode(report)) + [UInt8(ascii: "\n")]
    } catch {
        throw PerseusError(.badInput, "cannot write the report as JSON: \(error)")
    }
}

/// Writes `report` to `path` as a whole or not at all; `-` is the standard output.
public func writeJSON(_ report: some Encodable, to path: String) throws(PerseusError) {
    try AtomicFile.write(jsonBytes(report), to: path)
}
