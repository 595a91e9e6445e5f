// One line of a sweep: the coordinates of a point, then what it took or why it took nothing.

import Foundation
import PerseusMegakernel
import PerseusPrimitives
import PerseusProxy
import PerseusRunners

/// What became of a point.
public enum SweepOutcome: Sendable, Equatable {
    case measured(nanoseconds: UInt64)
    /// The fabric cannot honour the scheme; why.
    case refused(String)
    /// The layer did not end in time; why.
    case failed(String)
}

/// A line as text without its newline, and what it says.
///
/// Fields have the names and units of `RunReport`; `steps` are events of the simulator.
struct SweepLine: Sendable, Equatable {
    static let schema = 1

    let text: String
    let outcome: SweepOutcome

    /// - Parameter fingerprint: of the point's profile.
    init(_ point: LayerPoint, fingerprint: String, _ measure: LayerMeasure) {
        let counters = measure.counters
        var fields = JSONFields(coordinates: point, fingerprint)
        fields.add("clock", "virtual")
        fields.add("ordering", measure.ordering.rawValue)
        fields.add("layerNanoseconds", measure.nanoseconds)
        fields.add("computeNanoseconds", measure.computeNanoseconds)
        fields.add(
            "exposedCommunicationNanoseconds",
            measure.nanoseconds - min(measure.nanoseconds, measure.computeNanoseconds))
        fields.add("commands", counters.commands)
        fields.add("puts", counters.dispatchPuts + counters.combinePuts)
        fields.add("signals", counters.signals)
        fields.add("fences", counters.dispatchFences + counters.combineFences)
        fields.add("drains", counters.drains)
        fields.add("doorbells", counters.doorbells)
        fields.add("bytesSent", counters.bytesSent)
        fields.add("drainNanoseconds", counters.drainNanoseconds)
        fields.add("steps", measure.stepCount)
        text = fields.text + "}"
        outcome = .measured(nanoseconds: measure.nanoseconds)
    }

    init(_ point: LayerPoint, fingerprint: String, refused reason: String) {
        var fields = JSONFields(coordinates: point, fingerprint)
        fields.add("refused", reason)
        text = fields.text + "}"
        outcome = .refused(reason)
    }

    init(_ point: LayerPoint, fingerprint: String, failed reason: String) {
        var fields = JSONFields(coordinates: point, fingerprint)
        fields.add("failure", reason)
        text = fields.text + "}"
        outcome = .failed(reason)
    }

    /// How the line of `point` begins: everything that is known before it has run.
    static func beginning(_ point: LayerPoint, fingerprint: String) -> String {
        JSONFields(coordinates: point, fingerprint).text
    }
}

/// What a line of a file says, read back.
struct SweepRecord: Sendable, Equatable {
    let point: LayerPoint
    let fingerprint: String
    let outcome: SweepOutcome

    /// nil: no line of a sweep.
    init?(_ line: some DataProtocol) {
        guard let fields = try? JSONDecoder().decode(Fields.self, from: Data(line)),
            fields.schema == SweepLine.schema, let scheme = Scheme(rawValue: fields.scheme)
        else { return nil }
        var point = LayerPoint(
            profile: fields.profile, model: fields.model, nodes: fields.nodes,
            ranksPerNode: fields.ranksPerNode, tokens: fields.tokensPerRank, scheme: scheme)
        if let name = fields.forcedOrdering {
            guard let ordering = SignalOrdering(rawValue: name) else { return nil }
            point.ordering = ordering
        }
        point.groupSize = fields.groupSize
        point.proxyThreads = fields.proxyThreads
        point.zipf = fields.zipfExponent
        point.seed = fields.seed
        switch (fields.layerNanoseconds, fields.refused, fields.failure) {
        case (let time?, nil, nil): outcome = .measured(nanoseconds: time)
        case (nil, let reason?, nil): outcome = .refused(reason)
        case (nil, nil, let reason?): outcome = .failed(reason)
        default: return nil
        }
        self.point = point
        fingerprint = fields.profileFingerprint
    }

    private struct Fields: Decodable {
        let schema: Int
        let profile: String
        let profileFingerprint: String
        let model: String
        let nodes: Int
        let ranksPerNode: Int
        let tokensPerRank: Int
        let scheme: String
        let forcedOrdering: String?
        let groupSize: Int?
        let proxyThreads: Int
        let zipfExponent: Double
        let seed: UInt64
        let layerNanoseconds: UInt64?
        let refused: String?
        let failure: String?
    }
}

/// A JSON object whose fields stand in the order in which they were added; without its closing brace.
private struct JSONFields {
    private(set) var text = "{"

    init(coordinates point: LayerPoint, _ fingerprint: String) {
        add("schema", SweepLine.schema)
        add("profile", point.profile)
        add("profileFingerprint", fingerprint)
        add("model", point.model)
        add("nodes", point.nodes)
        add("ranksPerNode", point.ranksPerNode)
        add("tokensPerRank", point.tokens)
        add("scheme", point.scheme.rawValue)
        if let ordering = point.ordering {
            add("forcedOrdering", ordering.rawValue)
        } else {
            addNull("forcedOrdering")
        }
        if let size = point.groupSize { add("groupSize", size) } else { addNull("groupSize") }
        add("proxyThreads", point.proxyThreads)
        addRaw("zipfExponent", "\(point.zipf)")
        add("seed", point.seed)
    }

    mutating func add(_ key: String, _ value: String) { addRaw(key, Self.quoted(value)) }

    mutating func add(_ key: String, _ value: some BinaryInteger) { addRaw(key, "\(value)") }

    private mutating func addNull(_ key: String) { addRaw(key, "null") }

    private mutating func addRaw(_ key: String, _ value: String) {
        text += "\(text.utf8.count > 1 ? "," : "")\"\(key)\":\(value)"
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\n": quoted += "\\n"
            case "\u{0}"..<" ": quoted += "\\u" + String(format: "%04x", scalar.value)
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
