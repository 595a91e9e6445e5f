// Figures of the forms that experiments draw, small enough to read.

import PerseusExperiments

enum SampleFigures {
    /// Two curves over powers of two, and what somebody else reported about them.
    static let scaling = Figure(
        stem: "scaling", title: "Weak scaling of one layer",
        x: .init("ranks", .log2), y: .init("time of the layer (ms)", .log10),
        series: [
            .init(
                "coupled", .line, [.init(8, 5.06), .init(16, 11.5), .init(32, 22.2), .init(64, 48)]),
            .init(
                "perseus", .line, [.init(8, 1.99), .init(16, 3.6), .init(32, 6.43), .init(64, 12)]),
            .init(
                "coupled, reported", .points, [.init(8, 4.4), .init(32, 25), .init(64, 55)],
                colorIndex: 0),
            .init(
                "perseus, reported", .dashed, [.init(8, 1.7), .init(32, 5.2), .init(64, 9.5)],
                colorIndex: 1),
        ],
        caption:
            "Lines are modelled by perlmutter-slingshot11 (not calibrated); hollow marks are reported."
    )

    /// Bars of two schemes in three categories, one value missing, one reported.
    static let speedups = Figure(
        stem: "speedups", title: "Speedup over coupled", x: .init("model"),
        y: .init("speedup (times)"),
        categories: ["qwen3-30b", "gpt-oss-120b", "deepseek-v3"],
        series: [
            .init("perseus", .bars, values: [2.54, 2.2, 3.1]),
            .init("perseus-plus", .bars, values: [3.67, nil, 8.5]),
            .init("perseus, reported", .points, values: [2.1, nil, 3.5], colorIndex: 0),
        ],
        caption: "modelled")

    /// Everything that gnuplot could take for a command, and a curve of more points than marks fit.
    static let awkward = Figure(
        stem: "awkward", title: "It's 100% {odd}: a_b^c \"q\" `date` \\n $x @y é",
        x: .init("50%_{x} 'y'"), y: .init("<&> %g, `date`"),
        categories: ["a_b 10%", "{c} 'd'", "%f \\n"],
        series: [
            .init("p_q 5% {r}", .bars, values: [1, 2, 3]),
            .init("it's \"s\" `t` @u", .line, values: [3, 2.5, 1]),
        ],
        caption: "caption_{x} 100% %d 'it' `date`\n\"second\" line")

    /// One series of every colour, over a linear axis with large numbers.
    static let palette = Figure(
        stem: "palette", title: "All colours and marks", x: .init("message size (bytes)", .log2),
        y: .init("messages per second"),
        series: (0..<8).map { index in
            .init(
                "scheme number \(index)", index == 7 ? .dashed : .line,
                (0...10).map { step in
                    let size = Double(64 << (step * 2))
                    return .init(size, 2_500_000 / (1 + Double(index) * 0.4 + size / 500_000))
                })
        },
        caption:
            "A longer caption says where the numbers come from: modelled on the virtual clock with the"
            + " profile perlmutter-slingshot11, seed 1, 64 tokens per rank; the paper's values are read off its"
            + " figure 9 with a ruler and are good to about 5 %.")

    static let manyBars = Figure(
        stem: "many-bars", title: "Stalled time of the proxy", x: .init("model and ranks"),
        y: .init("stalled (% of the layer)"),
        categories: ["qwen3-30b", "gpt-oss-120b", "deepseek-v3", "llama4-scout", "mixtral-8x7b"]
            .flatMap {
                ["\($0), 8 ranks", "\($0), 32 ranks"]
            },
        series: (0..<5).map { index in
            .init(
                ["coupled", "decoupled", "nic-ordered", "perseus", "perseus-plus"][index], .bars,
                values: (0..<10).map { Double(97 - index * 19 + $0) / (index == 4 ? 3 : 1) })
        }, caption: "modelled")

    static let dense = Figure(
        stem: "dense", title: "One message in flight", x: .init("time (us)"), y: .init("occupancy"),
        series: [
            .init(
                "occupancy", .line,
                (0..<300).map { .init(Double($0) * 0.731, Double(($0 * 37) % 101) / 100 - 0.2) })
        ], caption: "")

    static let all = [scaling, speedups, awkward, palette, manyBars, dense]
}
