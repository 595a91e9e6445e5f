// `perseus simulate explain`: where one layer's time goes, and what would change it.

import Foundation
import PerseusCommandLine
import PerseusExperiments
import PerseusPrimitives
import PerseusProxy
import PerseusRunners

/// The layer that was explained.
private struct ExplainContext: Codable, Equatable, Sendable {
    var clock = "virtual (modelled)"
    var profile: String
    var model: String
    var nodes: Int
    var ranksPerNode: Int
    var tokens: Int
    var scheme: String
    var ordering: String
    var layerNanoseconds: UInt64
    var computeNanoseconds: UInt64
    var refused: [String]
}

/// A part of the critical path, or a change.
private struct ExplainResult: Codable, Equatable, Sendable {
    var part: String?
    var nanoseconds: UInt64?
    var share: Double?
    var whatIf: WhatIf?
}

func executeExplain(_ options: ExplainOptions) throws {
    let profile = try ProfileDocument(namedOrAt: options.profile).profile
    guard let scheme = Scheme(rawValue: options.scheme) else {
        throw PerseusError(.badInput, "unknown scheme \(options.scheme)")
    }
    var point = LayerPoint(
        profile: profile.name, model: options.model, nodes: options.nodeCount,
        ranksPerNode: options.ranksPerNode, tokens: options.tokenCount, scheme: scheme)
    point.ordering = options.ordering.flatMap(SignalOrdering.init(rawValue:))
    point.groupSize = options.groupSize
    point.combineGroupSize = options.combineGroupSize
    point.proxyThreads = options.proxyThreadCount
    point.zipf = options.zipf
    point.seed = options.seed
    let explanation = try Explanation(point, profile: profile) {
        makeLaboratory(profiles: $0, threads: options.threadCount)
    }
    print(text(of: explanation, profile), terminator: "")
    if let path = options.jsonPath { try writeJSON(report(explanation, profile), to: path) }
}

private func report(
    _ explanation: Explanation, _ profile: Profile
) -> Report<ExplainContext, ExplainResult> {
    let point = explanation.point
    let total = Double(max(1, explanation.path.total))
    return Report(
        command: "simulate explain",
        context: ExplainContext(
            profile: profile.name, model: point.model, nodes: point.nodes,
            ranksPerNode: point.ranksPerNode, tokens: point.tokens, scheme: point.scheme.rawValue,
            ordering: explanation.ordering.rawValue,
            layerNanoseconds: explanation.layerNanoseconds,
            computeNanoseconds: explanation.computeNanoseconds, refused: explanation.refused),
        results: explanation.path.parts.map {
            ExplainResult(
                part: $0.name, nanoseconds: $0.nanoseconds, share: Double($0.nanoseconds) / total)
        } + explanation.changes.map { ExplainResult(whatIf: $0) })
}

private let meanings = [
    "compute": "multiplying and combining",
    "pack": "routing, packing, pushing; barriers of a host-driven library",
    "ring": "from a push to the proxy that sees it",
    "proxy": "posting to the NIC",
    "drain": "waiting for completions, or behind a fence flag, because a signal demands it",
    "wire": "transmitting the data that was waited for",
    "refill": "restarting an idle NIC",
    "signal": "the signal on its way, until it is observed",
    "queueing": "in the NIC's send queue behind other requests, or for room in a ring",
]

private func text(of explanation: Explanation, _ profile: Profile) -> String {
    let point = explanation.point
    var text =
        "\(point.model), \(point.nodes) nodes of \(point.ranksPerNode), \(Quantity.count(point.tokens)) tokens per"
        + " rank, \(profile.name), \(point.scheme.rawValue) (\(explanation.ordering.rawValue))\n"
        + "layer \(Quantity.time(Int(explanation.layerNanoseconds))) MODELLED, of it the busiest rank computes"
        + " \(Quantity.time(Int(explanation.computeNanoseconds)))\n\n"
    text +=
        "the critical path: the chain of waits that decided when the layer ended, \(Quantity.count(explanation.path.stepCount)) steps\n"
    let total = Double(max(1, explanation.path.total))
    var path = TextTable(["part", "time", "share", "what it is"])
    for part in explanation.path.parts where part.nanoseconds > 0 {
        path.addRow([
            part.name, Quantity.time(Int(part.nanoseconds)),
            String(format: "%.1f %%", 100 * Double(part.nanoseconds) / total),
            meanings[part.name] ?? "",
        ])
    }
    text += path.render()
    for kind in [WhatIf.Kind.choice, .cluster] {
        let changes = explanation.changes.filter { $0.kind == kind }
        guard !changes.isEmpty else { continue }
        text += kind == .choice ? "\nwhat you could choose\n" : "\nwhat single costs are worth\n"
        var table = TextTable(["change", "layer", "saves", "speedup"])
        for change in changes {
            table.addRow([
                change.change, Quantity.time(Int(change.layerNanoseconds)),
                (change.savedNanoseconds < 0 ? "-" : "")
                    + Quantity.time(abs(change.savedNanoseconds)),
                Quantity.ratio(change.speedup),
            ])
        }
        text += table.render()
    }
    if !explanation.refused.isEmpty {
        text += "\nnot possible here\n"
        text += explanation.refused.map {
            "  " + wrapped($0, width: 98).replacing("\n", with: "\n  ") + "\n"
        }.joined()
    }
    return text
}
