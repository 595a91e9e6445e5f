// Every number of facts/paper.md ("Cause", "Results to reproduce") and how ours is measured.

import PerseusRunners

extension PaperRow {
    /// All rows, section by section.
    public static let all: [PaperRow] =
        cause + layer + ablation + scaling + endToEnd + skew + infiniBand + allToAll

    private typealias Settings = PaperSettings
    private static let assumed = "tokens assumed"

    // MARK: The cause

    private static let cause: [PaperRow] = [
        PaperRow(
            "signalled-throughput-4KB-8-nodes", .cause, reported: 2, .percent, .predicted,
            setting: "96 x 4 KB, 8 nodes, coupled over put-only"
        ) { $0.throughputShare(nodes: 8, byteCount: 4096, .coupled) },
        PaperRow(
            "fence-time-4KB-2-nodes", .cause, reported: 0.96, .milliseconds, .predicted,
            setting: "96 x 4 KB, 2 nodes, coupled minus put-only"
        ) { $0.fenceTime(nodes: 2, byteCount: 4096) },
        PaperRow(
            "fence-time-4KB-8-nodes", .cause, reported: 6.1, .milliseconds, .predicted,
            setting: "96 x 4 KB, 8 nodes, coupled minus put-only"
        ) { $0.fenceTime(nodes: 8, byteCount: 4096) },
        PaperRow(
            "fence-time-1MB-2-nodes", .cause, reported: 3.5, .milliseconds, .predicted,
            setting: "96 x 1 MB, 2 nodes, coupled minus put-only"
        ) { $0.fenceTime(nodes: 2, byteCount: 1 << 20) },
        PaperRow(
            "fence-time-1MB-8-nodes", .cause, reported: 9.2, .milliseconds, .predicted,
            setting: "96 x 1 MB, 8 nodes, coupled minus put-only"
        ) { $0.fenceTime(nodes: 8, byteCount: 1 << 20) },
        PaperRow(
            "fence-share-4KB", .cause, reported: 98, .percent, .predicted,
            setting: "96 x 4 KB, 8 nodes, share of the signalled time"
        ) { $0.fenceShare(nodes: 8, byteCount: 4096) },
        PaperRow(
            "fence-share-4MB", .cause, reported: 19, .percent, .assumed,
            setting: "96 x 4 MB, share of the signalled time; nodes assumed: 2"
        ) { $0.fenceShare(nodes: 2, byteCount: 4 << 20) },
        PaperRow(
            "perseus-throughput-4KB-8-nodes", .cause, reported: 74, .percent, .predicted,
            setting: "96 x 4 KB, 8 nodes, perseus over put-only"
        ) { $0.throughputShare(nodes: 8, byteCount: 4096, .perseus) },
        PaperRow(
            "perseus-throughput-4MB-8-nodes", .cause, reported: 100, .percent, .predicted,
            setting:
                "96 x 4 MB, 8 nodes, perseus over put-only (reported: equal for large messages)"
        ) { $0.throughputShare(nodes: 8, byteCount: 4 << 20, .perseus) },
    ]

    // MARK: One layer

    private static let layer: [PaperRow] = [
        PaperRow(
            "layer-coupled", .layer, reported: 22.7, .milliseconds, .predicted,
            setting: "qwen3-30b, 8 nodes of 4, 1,024 tokens"
        ) { $0.layer(Settings.perlmutter(nodes: 8, tokens: 1024, .coupled)) },
        PaperRow(
            "layer-decoupled-group-1", .layer, reported: 19.9, .milliseconds, .predicted,
            setting: "the same, decoupled, groups of 1"
        ) {
            $0.layer(
                Settings.perlmutter(nodes: 8, tokens: 1024, .decoupled).with(\.groupSize, 1))
        },
        PaperRow(
            "layer-decoupled-group-28", .layer, reported: 12.3, .milliseconds, .predicted,
            setting: "the same, decoupled, groups of 28 (4 dispatch fences)"
        ) {
            $0.layer(
                Settings.perlmutter(nodes: 8, tokens: 1024, .decoupled).with(\.groupSize, 28))
        },
    ]

    // MARK: Ablation

    private static func ablation(
        _ name: String, nodes: Int, _ scheme: Scheme, _ low: Double, _ high: Double
    ) -> [PaperRow] {
        let setting =
            "qwen3-30b, \(nodes) nodes of 4, over coupled; \(assumed): 1K to 64K"
        @Sendable func speedups(_ lab: Laboratory) -> [Double] {
            Settings.tokenRange.map {
                lab.speedup(Settings.perlmutter(nodes: nodes, tokens: $0, scheme))
            }
        }
        return [
            PaperRow(
                "\(name)-least", .ablation, reported: low, .ratio, .assumed, setting: setting,
                exception: nodes == 8 && scheme != .decoupled
                    ? "facts/paper-model.md 4.5: at large token counts some time common to all schemes is missing"
                    : nil
            ) { speedups($0).min() ?? 0 },
            PaperRow(
                "\(name)-most", .ablation, reported: high, .ratio, .assumed, setting: setting
            ) { speedups($0).max() ?? 0 },
        ]
    }

    private static let ablation: [PaperRow] =
        ablation("nic-ordered-8-nodes", nodes: 8, .nicOrdered, 1.3, 2.6)
        + ablation("decoupled-8-nodes", nodes: 8, .decoupled, 1.2, 1.6)
        + ablation("perseus-8-nodes", nodes: 8, .perseus, 1.5, 3.5)
        + ablation("decoupled-2-nodes", nodes: 2, .decoupled, 1.2, 1.5)
        + ablation("nic-ordered-2-nodes", nodes: 2, .nicOrdered, 1.1, 1.4)

    // MARK: Weak scaling

    private static func slowdown(
        _ name: String, _ model: String, nodes: Int, _ scheme: Scheme, reported: Double,
        kind: Kind = .assumed, exception: String? = nil
    ) -> PaperRow {
        PaperRow(
            name, .scaling, reported: reported, .ratio, kind,
            setting: "\(model), \(nodes) nodes over 1, \(scheme.rawValue); \(assumed): 1,024",
            exception: exception
        ) {
            $0.slowdown(
                Settings.perlmutter(
                    model, nodes: nodes, tokens: Settings.assumedTokens, scheme))
        }
    }

    /// Least and most slowdown of `coupled` from one doubling of the nodes to the next.
    private static func doubling(
        _ name: String, _ model: String, _ low: Double, _ high: Double, exception: String? = nil
    ) -> [PaperRow] {
        @Sendable func steps(_ lab: Laboratory) -> [Double] {
            zip([2, 4, 8], [4, 8, 16]).map { fewer, more in
                func time(_ nodes: Int) -> Double {
                    lab.layer(
                        Settings.perlmutter(
                            model, nodes: nodes, tokens: Settings.assumedTokens, .coupled))
                }
                return time(more) / time(fewer)
            }
        }
        let setting =
            "\(model), coupled, 2 to 16 nodes, per doubling; \(assumed): 1,024"
        return [
            PaperRow(
                "\(name)-least", .scaling, reported: low, .ratio, .assumed, setting: setting,
                exception: exception
            ) { steps($0).min() ?? 0 },
            PaperRow(
                "\(name)-most", .scaling, reported: high, .ratio, .assumed, setting: setting,
                exception: exception
            ) { steps($0).max() ?? 0 },
        ]
    }

    private static func tensorUse(
        _ name: String, _ model: String, _ scheme: Scheme, reported: Double, exception: String?
    ) -> PaperRow {
        PaperRow(
            name, .scaling, reported: reported, .percent, .assumed,
            setting: "\(model), 4 nodes, \(scheme.rawValue), one node = 100 %; \(assumed): 1,024",
            exception: exception
        ) {
            100
                / $0.slowdown(
                    Settings.perlmutter(
                        model, nodes: 4, tokens: Settings.assumedTokens, scheme))
        }
    }

    private static let tensorException =
        "facts/paper-model.md 4.3: no common token count gives these rows"

    private static let scaling: [PaperRow] =
        [
            slowdown(
                "coupled-8-nodes", "qwen3-30b", nodes: 8, .coupled, reported: 10),
            slowdown("coupled-16-nodes", "qwen3-30b", nodes: 16, .coupled, reported: 19),
            slowdown("perseus-16-nodes", "qwen3-30b", nodes: 16, .perseus, reported: 3.5),
            slowdown("gpt-oss-perseus-16-nodes", "gpt-oss-120b", nodes: 16, .perseus, reported: 1),
        ]
        + doubling("gpt-oss-doubling", "gpt-oss-120b", 1.3, 1.7)
        + doubling(
            "scout-doubling", "llama4-scout", 1.1, 1.3,
            exception:
                "facts/paper-model.md 3: computation hides all of Scout's traffic in the model")
        + [
            tensorUse(
                "tensor-use-gpt-oss-coupled", "gpt-oss-120b", .coupled, reported: 75,
                exception: tensorException),
            tensorUse(
                "tensor-use-gpt-oss-perseus", "gpt-oss-120b", .perseus, reported: 98,
                exception: tensorException),
            tensorUse(
                "tensor-use-qwen3-coupled", "qwen3-30b", .coupled, reported: 31,
                exception: tensorException),
            tensorUse(
                "tensor-use-qwen3-perseus", "qwen3-30b", .perseus, reported: 95,
                exception: tensorException),
        ]

    // MARK: End to end

    private static func bestCase(
        _ name: String, _ model: String, reported: Double
    ) -> PaperRow {
        PaperRow(
            name, .endToEnd, reported: reported, .ratio, .assumed,
            setting: "\(model), 16 nodes, perseus over coupled, best of 256 to 16K tokens (assumed)"
        ) { lab in
            Settings.bestCaseTokens.map {
                lab.speedup(Settings.perlmutter(model, nodes: 16, tokens: $0, .perseus))
            }.max() ?? 0
        }
    }

    private static func alpha(_ name: String, _ scheme: Scheme, reported: Double) -> PaperRow {
        PaperRow(
            name, .endToEnd, reported: reported, .milliseconds, .assumed,
            setting:
                "qwen3-30b, 16 nodes, \(scheme.rawValue): a of T = a + b M; \(assumed): 1K to 16K"
        ) {
            $0.alphaBeta(
                Settings.perlmutter(nodes: 16, tokens: 1024, scheme), bytesPerToken: 2048 * 8 * 2
            ).intercept
        }
    }

    private static let endToEnd: [PaperRow] = [
        bestCase("best-qwen3", "qwen3-30b", reported: 10.3),
        bestCase("best-gpt-oss", "gpt-oss-120b", reported: 2.8),
        bestCase("best-deepseek-v3", "deepseek-v3", reported: 2.2),
        alpha("alpha-coupled", .coupled, reported: 22.28),
        alpha("alpha-perseus", .perseus, reported: 2.21),
    ]

    // MARK: Skewed routing

    private static func zipf(_ tokens: Int, _ exponent: Double, reported: Double) -> PaperRow {
        PaperRow(
            "zipf-\(exponent)-\(tokens)-tokens", .skew, reported: reported, .ratio, .predicted,
            setting:
                "qwen3-30b, 8 nodes, \(tokens) tokens, perseus over coupled, exponent \(exponent)",
            exception: exponent == 0
                ? "facts/paper-model.md 4.1: conflicts with the ablation's 3.5x at the same setting"
                : nil
        ) {
            $0.speedup(
                Settings.perlmutter(nodes: 8, tokens: tokens, .perseus).with(\.zipf, exponent))
        }
    }

    private static let skew: [PaperRow] = [
        zipf(1024, 0, reported: 2.7), zipf(1024, 1.5, reported: 2.0),
        zipf(8192, 0, reported: 1.5), zipf(8192, 1.5, reported: 2.1),
    ]

    // MARK: InfiniBand

    private static func infiniBandFit(_ lab: Laboratory, _ scheme: Scheme) -> LineFit {
        lab.alphaBeta(
            Settings.infiniBand(nodes: 4, tokens: 1024, scheme), bytesPerToken: 2048 * 8 * 2)
    }

    private static let directException =
        "facts/paper-model.md 3: the model has no cost of GPU-side posting that would make IBGDA slower"

    private static let infiniBand: [PaperRow] = [
        PaperRow(
            "ibrc-best", .infiniBand, reported: 2.47, .ratio, .predicted,
            setting: "qwen3-30b, 4 nodes of 8, 64K tokens, perseus over coupled, 4 queue pairs"
        ) { $0.speedup(Settings.infiniBand(nodes: 4, tokens: 65536, .perseus)) },
        PaperRow(
            "ibrc-alpha", .infiniBand, reported: 2.24, .milliseconds, .assumed,
            setting:
                "qwen3-30b, 4 nodes, a of perseus (reported 1 to 5 ms: its geometric middle); \(assumed): 1K to 16K"
        ) { infiniBandFit($0, .perseus).intercept },
        PaperRow(
            "ibrc-beta-fall", .infiniBand, reported: 60, .percent, .assumed,
            setting: "qwen3-30b, 4 nodes, fall of b, perseus against coupled; \(assumed): 1K to 16K"
        ) { 100 * (1 - infiniBandFit($0, .perseus).slope / infiniBandFit($0, .coupled).slope) },
        PaperRow(
            "perseus-over-ibgda", .infiniBand, reported: 1.2, .ratio, .assumed,
            setting:
                "qwen3-30b, 4 nodes, best of 1K to 64K tokens (assumed), over coupled gpu-direct",
            exception: directException
        ) { lab in
            Settings.tokenRange.map {
                lab.speedup(
                    Settings.infiniBand(nodes: 4, tokens: $0, .perseus), over: .gpuDirect)
            }.max() ?? 0
        },
        decouplingOnDirect("ibgda-decoupling-most", reported: 1.25) { $0.max() ?? 0 },
        decouplingOnDirect("ibgda-decoupling-mean", reported: 1.06) {
            $0.reduce(0, +) / Double($0.count)
        },
    ]

    private static func decouplingOnDirect(
        _ name: String, reported: Double, _ summary: @escaping @Sendable ([Double]) -> Double
    ) -> PaperRow {
        PaperRow(
            name, .infiniBand, reported: reported, .ratio, .assumed,
            setting:
                "qwen3-30b, 2 nodes, gpu-direct in groups of 8 over coupled; \(assumed): 1K to 64K",
            exception: directException
        ) { lab in
            summary(
                Settings.tokenRange.map { tokens in
                    let coupled = Settings.infiniBand(nodes: 2, tokens: tokens, .gpuDirect)
                    return lab.layer(coupled) / lab.layer(coupled.with(\.groupSize, 8))
                })
        }
    }

    // MARK: Another library's all-to-all

    private static let allToAll: [PaperRow] = [
        PaperRow(
            "all-to-all-fixed-coupled", .allToAll, reported: 68.8, .milliseconds, .assumed,
            setting: "4 nodes of 4, 96 x 4 KB, coupled; message counts and sizes assumed",
            exception:
                "facts/paper-model.md 4.6: needs about five drains a message; which software does that is open"
        ) { $0.put(Settings.puts(nodes: 4, byteCount: 4096, .coupled)) },
        PaperRow(
            "all-to-all-gain", .allToAll, reported: 79, .ratio, .assumed,
            setting:
                "4 nodes of 4, 96 x 4 KB, perseus over coupled; message counts and sizes assumed",
            exception: "as all-to-all-fixed-coupled"
        ) {
            $0.put(Settings.puts(nodes: 4, byteCount: 4096, .coupled))
                / $0.put(Settings.puts(nodes: 4, byteCount: 4096, .perseus))
        },
        PaperRow(
            "all-to-all-fixed-perseus", .allToAll, reported: 0.7, .milliseconds, .assumed,
            setting: "4 nodes of 4, 96 x 4 KB, perseus; message counts and sizes assumed",
            exception: "as all-to-all-fixed-coupled"
        ) { $0.put(Settings.puts(nodes: 4, byteCount: 4096, .perseus)) },
        PaperRow(
            "all-to-all-mean-gain", .allToAll, reported: 59.6, .ratio, .assumed,
            setting:
                "4 nodes of 4, 96 x 4 KB to 4 MB, mean of perseus over coupled; counts and sizes assumed",
            exception: "as all-to-all-fixed-coupled"
        ) { lab in
            let gains = [4096, 65536, 1 << 20, 4 << 20].map { bytes in
                lab.put(Settings.puts(nodes: 4, byteCount: bytes, .coupled))
                    / lab.put(Settings.puts(nodes: 4, byteCount: bytes, .perseus))
            }
            return gains.reduce(0, +) / Double(gains.count)
        },
        PaperRow(
            "all-to-all-coupled-over-collective", .allToAll, reported: 18.7, .ratio, .assumed,
            setting:
                "qwen3-30b, 4 nodes of 4, 1,024 tokens, coupled over collective (reported: over NCCL)",
            exception: "as all-to-all-fixed-coupled"
        ) {
            let coupled = Settings.perlmutter(nodes: 4, tokens: 1024, .coupled)
            return $0.layer(coupled) / $0.layer(coupled.with(\.scheme, .collective))
        },
        PaperRow(
            "all-to-all-collective-over-perseus", .allToAll, reported: 11, .ratio, .assumed,
            setting:
                "qwen3-30b, 4 nodes of 4, 1,024 tokens, collective over perseus (reported: NCCL)",
            exception: "as all-to-all-fixed-coupled"
        ) {
            let perseus = Settings.perlmutter(nodes: 4, tokens: 1024, .perseus)
            return $0.layer(perseus.with(\.scheme, .collective)) / $0.layer(perseus)
        },
    ]
}
