// Figures of one layer on growing clusters: weak scaling, tensor-core use, and every scheme beyond 16 nodes.

import PerseusMoE
import PerseusProxy
import PerseusRunners

extension PaperFigures {
    private static let scaledSchemes: [Scheme] = [.coupled, .perseus, .perseusPlus]
    private static let tokens = Settings.assumedTokens
    private static let setting = "\(AxisTicks.name(Double(tokens))) tokens per rank (assumed)"

    private static let baseNote =
        "1 is coupled on one node, which takes as long as perseus; perseus-plus starts lower because its tiles hold"
        + " rows of two sources."

    /// The time of `point` over that of `coupled` on one node: one base, so that schemes can be compared.
    private func slowdownOverCoupled(_ point: LayerPoint) -> Double {
        lab.layer(point) / lab.layer(point.with(\.nodes, 1).with(\.scheme, .coupled))
    }

    var weakScalingOfQwen3: Figure {
        let coupled = [Mark(8, "coupled-8-nodes"), Mark(16, "coupled-16-nodes")]
        let perseus = [Mark(16, "perseus-16-nodes")]
        return weakScaling(
            "qwen3-30b", [reported(.coupled, coupled), reported(.perseus, perseus)],
            caption: caption(
                "qwen3-30b, nodes of 4, \(Self.setting)", reporting: coupled + perseus,
                Self.baseNote))
    }

    var weakScalingOfGPTOSS: Figure {
        weakScaling(
            "gpt-oss-120b", [],
            caption: caption(
                "gpt-oss-120b, nodes of 4, \(Self.setting)",
                Self.baseNote,
                "Reported: coupled grows by \(Self.range("gpt-oss-doubling")) per doubling, perseus is nearly flat."
            ))
    }

    private func weakScaling(
        _ model: String, _ reported: [Figure.Series], caption: String
    ) -> Figure {
        Figure(
            stem: "weak-scaling-\(model)", title: "Weak scaling of one layer, \(model)",
            x: .init("nodes of 4 ranks", .log2),
            y: .init("time over coupled on one node (times)"),
            series: Self.scaledSchemes.map { scheme in
                curve(scheme, over: [1, 2, 4, 8, 16]) {
                    slowdownOverCoupled(
                        Settings.perlmutter(model, nodes: $0, tokens: Self.tokens, scheme))
                }
            } + reported, caption: caption)
    }

    var tensorUse: Figure {
        let models = MoEModel.presets.map(\.name)
        let bars = Self.scaledSchemes.map { scheme in
            Figure.Series(
                scheme.rawValue, .bars,
                values: models.map {
                    100
                        / slowdownOverCoupled(
                            Settings.perlmutter($0, nodes: 4, tokens: Self.tokens, scheme))
                }, colorIndex: scheme.colorIndex)
        }
        let marks = [Scheme.coupled, .perseus].map { scheme in
            (
                scheme: scheme,
                marks: ["qwen3", "gpt-oss"].enumerated().map { index, name in
                    Mark(Double(index), "tensor-use-\(name)-\(scheme.rawValue)")
                }
            )
        }
        return Figure(
            stem: "tensor-use", title: "Tensor-core use on 4 nodes",
            x: .init("model"), y: .init("use (% of coupled on one node)"),
            categories: models,
            series: bars + marks.map { reported($0.scheme, $0.marks) },
            caption: caption(
                "4 nodes of 4, \(Self.setting); the time of coupled on one node over the time on four",
                reporting: marks.flatMap(\.marks),
                "No agreement is claimed: no common token count gives the reported values. perseus-plus exceeds 100 % because"
                    + " its tiles hold rows of two sources."))
    }

    /// What the schemes that the paper does not have would buy, and where.
    var beyond: Figure {
        let nodes = [2, 4, 8, 16, 32, 64]
        let plus = Settings.perlmutter(nodes: 16, tokens: Self.tokens, .perseusPlus)
        let ordering = lab.measure(plus).ordering.rawValue
        let gain = threeDigits(lab.speedup(plus, over: .perseus))
        return Figure(
            stem: "beyond", title: "Beyond the paper: every scheme on up to 64 nodes",
            x: .init("nodes of 4 ranks", .log2), y: .init("time of the layer (ms)", .log10),
            series: Scheme.allCases.map { scheme in
                curve(scheme, over: nodes) {
                    lab.layer(Settings.perlmutter(nodes: $0, tokens: Self.tokens, scheme))
                }
            },
            caption: caption(
                "qwen3-30b, \(Self.setting)",
                "Nothing here is reported, and costs were fitted on 2 and 8 nodes. From 32 nodes on a rank has one expert"
                    + " or none and groups have one transfer: decoupled is coupled, and perseus is nic-ordered.",
                "perseus-plus orders by \(ordering), given on request; on 16 nodes it is \(gain) times as fast as"
                    + " perseus. gpu-direct is drawn as if this fabric had GPU-initiated transfers."
            ))
    }
}
