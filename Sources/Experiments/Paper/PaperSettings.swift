// Settings that every row shares. Where the paper's summary leaves tokens or nodes open, the choice is made here, once,
// for all rows of a kind, and never for a single row.

import Glibc
import PerseusProxy
import PerseusRunners

public enum PaperSettings {
    public static let perlmutter = "perlmutter-slingshot11"
    public static let infiniBand = "h100-connectx7"

    /// Tokens per rank wherever the summary does not say: the count of its one fully described layer.
    static let assumedTokens = 1024
    /// Tokens per rank over which a range or a best case is taken.
    static let tokenRange = [1024, 4096, 16384, 65536]
    /// The same with the smallest count that the paper names, for best cases.
    static let bestCaseTokens = [256, 1024, 4096, 16384]
    /// Tokens per rank of the alpha-beta fits.
    static let fitTokens = [1024, 2048, 4096, 8192, 16384]

    /// Four A100 per node on Slingshot-11.
    static func perlmutter(
        _ model: String = "qwen3-30b", nodes: Int, tokens: Int, _ scheme: Scheme
    ) -> LayerPoint {
        LayerPoint(
            profile: perlmutter, model: model, nodes: nodes, ranksPerNode: 4, tokens: tokens,
            scheme: scheme)
    }

    /// Eight H100 per node on ConnectX-7.
    static func infiniBand(
        _ model: String = "qwen3-30b", nodes: Int, tokens: Int, _ scheme: Scheme
    ) -> LayerPoint {
        LayerPoint(
            profile: infiniBand, model: model, nodes: nodes, ranksPerNode: 8, tokens: tokens,
            scheme: scheme)
    }

    /// The microbenchmark on Perlmutter; nil: puts only.
    static func puts(
        nodes: Int, byteCount: Int, concurrency: Int = 96, _ scheme: Scheme?
    ) -> PutSignalPoint {
        PutSignalPoint(
            profile: perlmutter, nodes: nodes, ranksPerNode: 4, concurrency: concurrency,
            byteCount: byteCount, scheme: scheme)
    }
}

extension Laboratory {
    /// How many times faster `scheme` is than `coupled`, at the same point.
    func speedup(_ point: LayerPoint, over other: Scheme = .coupled) -> Double {
        layer(point.with(\.scheme, other)) / layer(point)
    }

    /// Total fence time of a microbenchmark: with signals minus puts only, milliseconds.
    func fenceTime(nodes: Int, byteCount: Int) -> Double {
        put(PaperSettings.puts(nodes: nodes, byteCount: byteCount, .coupled))
            - put(PaperSettings.puts(nodes: nodes, byteCount: byteCount, nil))
    }

    /// Its share of the signalled time, percent.
    func fenceShare(nodes: Int, byteCount: Int) -> Double {
        100 * fenceTime(nodes: nodes, byteCount: byteCount)
            / put(PaperSettings.puts(nodes: nodes, byteCount: byteCount, .coupled))
    }

    /// Signalled throughput over put-only throughput, percent.
    func throughputShare(nodes: Int, byteCount: Int, _ scheme: Scheme) -> Double {
        100 * put(PaperSettings.puts(nodes: nodes, byteCount: byteCount, nil))
            / put(PaperSettings.puts(nodes: nodes, byteCount: byteCount, scheme))
    }

    /// Layer time over the time on one node with the same tokens per rank.
    func slowdown(_ point: LayerPoint) -> Double {
        layer(point) / layer(point.with(\.nodes, 1))
    }

    /// Layer time T = a + b M over the bytes M that a rank sends: a in ms, b in ms per MB, and R2.
    func alphaBeta(_ point: LayerPoint, bytesPerToken: Double) -> LineFit {
        LineFit(
            PaperSettings.fitTokens.map {
                (Double($0) * bytesPerToken / 1e6, layer(point.with(\.tokens, $0)))
            })
    }
}

/// A least-squares line through points.
public struct LineFit: Sendable {
    public var intercept: Double
    public var slope: Double
    public var rSquared: Double

    public init(_ points: [(x: Double, y: Double)]) {
        let count = Double(points.count)
        let meanX = points.reduce(0) { $0 + $1.x } / count
        let meanY = points.reduce(0) { $0 + $1.y } / count
        let xx = points.reduce(0) { $0 + ($1.x - meanX) * ($1.x - meanX) }
        let xy = points.reduce(0) { $0 + ($1.x - meanX) * ($1.y - meanY) }
        let yy = points.reduce(0) { $0 + ($1.y - meanY) * ($1.y - meanY) }
        slope = xx > 0 ? xy / xx : 0
        intercept = meanY - slope * meanX
        rSquared = xx > 0 && yy > 0 ? xy * xy / (xx * yy) : 1
    }
}
