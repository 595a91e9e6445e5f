// Beyond the paper: what each part of perseus-plus buys over the paper's system, from 2 to 256 nodes.

import PerseusProxy
import PerseusRunners

/// One variant on one number of nodes.
public struct BeyondResult: Codable, Equatable, Sendable {
    public var nodes: Int
    public var model: String
    public var variant: String
    public var milliseconds: Double
    /// The time of `perseus` on the same nodes over this one's.
    public var speedupOverPerseus: Double
}

/// Signalled over put-only throughput, 96 transfers of 4 KB on 8 nodes.
public struct ThroughputResult: Codable, Equatable, Sendable {
    public var variant: String
    public var percentOfPutOnly: Double
    /// nil: the paper has no value for it.
    public var reported: Double?
}

/// The comparison of `perseus-plus` with `perseus`.
public struct PaperBeyond: Sendable {
    public var layers: [BeyondResult]
    public var throughput: [ThroughputResult]

    /// Nodes of 4 ranks; 256 nodes are 1,024 ranks, more than Qwen3 has experts.
    public static let nodes = [2, 8, 32, 128, 256]

    /// What is compared, from the vanilla proxy to everything together.
    private static let variants: [(name: String, edit: @Sendable (LayerPoint) -> LayerPoint)] = [
        ("coupled", { $0.with(\.scheme, .coupled) }),
        ("perseus", { $0 }),
        ("perseus, combine grouped by 4", { $0.with(\.combineGroupSize, 4) }),
        (
            "a queue pair per lane, coalesced signals, still fenced",
            { $0.with(\.scheme, .perseusPlus).with(\.ordering, .fenceFlag) }
        ),
        ("perseus-plus: no fence", { $0.with(\.scheme, .perseusPlus) }),
        (
            "perseus-plus, 4 proxy threads",
            { $0.with(\.scheme, .perseusPlus).with(\.proxyThreads, 4) }
        ),
    ]

    public init(_ laboratory: Laboratory) throws {
        (layers, throughput) = try laboratory.evaluate { lab in
            let layers = Self.nodes.flatMap { nodes in
                let base = PaperSettings.perlmutter(
                    nodes: nodes, tokens: PaperSettings.assumedTokens, .perseus)
                let perseus = lab.layer(base)
                return Self.variants.map { variant in
                    let time = lab.layer(variant.edit(base))
                    return BeyondResult(
                        nodes: nodes, model: base.model, variant: variant.name,
                        milliseconds: time, speedupOverPerseus: perseus / time)
                }
            }
            return (layers, Self.throughput(lab))
        }
    }

    private static func throughput(_ lab: Laboratory) -> [ThroughputResult] {
        func share(
            _ name: String, _ scheme: Scheme, threads: Int = 1, reported: Double? = nil
        ) -> ThroughputResult {
            var point = PaperSettings.puts(nodes: 8, byteCount: 4096, scheme)
            point.proxyThreads = threads
            return ThroughputResult(
                variant: name,
                percentOfPutOnly: 100
                    * lab.put(PaperSettings.puts(nodes: 8, byteCount: 4096, nil)) / lab.put(point),
                reported: reported)
        }
        return [
            share("coupled", .coupled, reported: 2), share("perseus", .perseus, reported: 74),
            share("perseus-plus", .perseusPlus),
            share("perseus-plus, 4 proxy threads", .perseusPlus, threads: 4),
        ]
    }
}
