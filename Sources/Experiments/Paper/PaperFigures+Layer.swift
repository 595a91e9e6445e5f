// Figures of one layer on a fixed cluster: groups, ablation, size, skew.

import PerseusRunners

extension PaperFigures {
    var groupSize: Figure {
        let sizes = [1, 2, 4, 8, 16, 28, 56, 112]
        let marks = [Mark(1, "layer-decoupled-group-1"), Mark(28, "layer-decoupled-group-28")]
        let series = [Scheme.decoupled, .perseus].map { scheme in
            curve(scheme, over: sizes) {
                lab.layer(
                    Settings.perlmutter(nodes: 8, tokens: 1024, scheme).with(\.groupSize, $0))
            }
        }
        return Figure(
            stem: "group-size", title: "Layer time by the size of a group",
            x: .init("transfers per dispatch group", .log2), y: .init("time of the layer (ms)"),
            series: series + [reported(.decoupled, marks)],
            caption: caption(
                "qwen3-30b, 8 nodes of 4, 1,024 tokens per rank", reporting: marks,
                "Groups of 1 have 112 dispatch fences per rank, groups of 112 one. The default of the schemes, one"
                    + " group for each destination, has 4 transfers here. Combine is not grouped."))
    }

    func ablation(nodes: Int) -> Figure {
        let tokens = (10...16).map { 1 << $0 }
        var ranges = [
            "decoupled \(Self.range("decoupled-\(nodes)-nodes"))",
            "nic-ordered \(Self.range("nic-ordered-\(nodes)-nodes"))",
        ]
        if nodes == 8 { ranges.append("perseus \(Self.range("perseus-8-nodes"))") }
        return Figure(
            stem: "ablation-\(nodes)-nodes", title: "Speedup over coupled on \(nodes) nodes",
            x: .init("tokens per rank", .log2), y: .init("speedup (times)"),
            series: [Scheme.decoupled, .nicOrdered, .perseus, .perseusPlus].map { scheme in
                curve(scheme, over: tokens) {
                    lab.speedup(Settings.perlmutter(nodes: nodes, tokens: $0, scheme))
                }
            },
            caption: caption(
                "qwen3-30b, \(nodes) nodes of 4, uniform routing; the token range is assumed",
                "Reported without token counts: \(ranges.joined(separator: ", "))."
                    + (nodes == 8
                        ? " At large token counts the model lacks some time that all schemes share: no agreement is"
                            + " claimed for the lower ends of nic-ordered and perseus." : "")))
    }

    func zipf(tokens: Int) -> Figure {
        let exponents = [0, 0.5, 1, 1.5]
        let marks = [
            Mark(0, "zipf-0.0-\(tokens)-tokens"), Mark(1.5, "zipf-1.5-\(tokens)-tokens"),
        ]
        let series = [Scheme.perseus, .perseusPlus].map { scheme in
            Figure.Series(
                scheme.rawValue, .line,
                exponents.map {
                    let point = Settings.perlmutter(nodes: 8, tokens: tokens, scheme)
                    return .init($0, lab.speedup(point.with(\.zipf, $0)))
                }, colorIndex: scheme.colorIndex)
        }
        return Figure(
            stem: "zipf-\(tokens)-tokens",
            title:
                "Speedup over coupled with skewed routing, \(AxisTicks.name(Double(tokens))) tokens per rank",
            x: .init("exponent of the Zipf distribution (0: uniform)"), y: .init("speedup (times)"),
            series: series + [reported(.perseus, marks)],
            caption: caption(
                "qwen3-30b, 8 nodes of 4, \(AxisTicks.name(Double(tokens))) tokens per rank, no capacity limit",
                reporting: marks,
                "No agreement is claimed for exponent 0, whose reported value conflicts with the reported ablation."
            ))
    }

    /// M of one token, all top-k copies, as the table's rows have it.
    private static let bytesPerToken = 2048.0 * 8 * 2

    /// Layer time over bytes sent, and the lines fitted to it.
    var alphaBeta: Figure {
        let coupled = Mark(0, "alpha-coupled")
        let perseus = Mark(0, "alpha-perseus")
        return Figure(
            stem: "alpha-beta", title: "T = a + b M: layer time by the bytes that a rank sends",
            x: .init("M, all copies of a rank's tokens (MB)"), y: .init("time of the layer (ms)"),
            series: alphaBeta(.coupled, coupled) + alphaBeta(.perseus, perseus),
            caption: caption(
                "qwen3-30b, 16 nodes of 4, 1,024 to 16,384 tokens per rank (assumed)",
                reporting: [coupled, perseus], "b is not reported for this fabric."))
    }

    /// The curve of a scheme, the line fitted to it, and the reported a at M = 0.
    private func alphaBeta(_ scheme: Scheme, _ mark: Mark) -> [Figure.Series] {
        let point = Settings.perlmutter(nodes: 16, tokens: 1024, scheme)
        let fit = lab.alphaBeta(point, bytesPerToken: Self.bytesPerToken)
        let measured: [Figure.Point] = Settings.fitTokens.map {
            Figure.Point(
                Double($0) * Self.bytesPerToken / 1e6, lab.layer(point.with(\.tokens, $0)))
        }
        let last = measured.map(\.x).max() ?? 0
        let rSquared = (1e4 * fit.rSquared).rounded(.down) / 1e4
        let ends = [
            Figure.Point(0, fit.intercept), Figure.Point(last, fit.intercept + fit.slope * last),
        ]
        return [
            // Names short enough for two columns in the legend, one for each scheme.
            Figure.Series(
                "\(scheme.rawValue), R2 \(plainNumber(rSquared))", .line, measured,
                colorIndex: scheme.colorIndex),
            Figure.Series(
                "\(scheme.rawValue): \(threeDigits(fit.intercept)) ms + \(threeDigits(1000 * fit.slope)) us/MB",
                .fit, ends, colorIndex: scheme.colorIndex),
            Figure.Series(
                "\(scheme.rawValue), a reported: \(Self.text(mark.row))", .points,
                [Figure.Point(0, mark.row.reported)], colorIndex: scheme.colorIndex),
        ]
    }
}
