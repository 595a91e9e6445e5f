// Figures of the cause: concurrent transfers from one rank, with signals and without.

import PerseusRunners

extension PaperFigures {
    private static let proxySchemes: [Scheme] = [
        .coupled, .decoupled, .nicOrdered, .perseus, .perseusPlus,
    ]
    private static let shareLabel = "signalled over put-only throughput (%)"
    private static let shareNote =
        "Put-only has the one queue of the vanilla proxy, perseus-plus one for each destination."

    var throughputBySize: Figure {
        let sizes = (12...22).map { 1 << $0 }
        let coupled = [Mark(4096, "signalled-throughput-4KB-8-nodes")]
        let perseus = [
            Mark(4096, "perseus-throughput-4KB-8-nodes"),
            Mark(4_194_304, "perseus-throughput-4MB-8-nodes"),
        ]
        return Figure(
            stem: "throughput-by-size",
            title: "Signalled over put-only throughput, by message size",
            x: .init("message size (bytes)", .log2), y: .init(Self.shareLabel),
            series: Self.proxySchemes.map { scheme in
                curve(scheme, over: sizes) {
                    lab.throughputShare(nodes: 8, byteCount: $0, scheme)
                }
            } + [reported(.coupled, coupled), reported(.perseus, perseus)],
            caption: caption(
                "96 transfers of one rank, 8 nodes of 4",
                reporting: coupled + perseus,
                "For large messages the paper only says that perseus equals put-only. "
                    + Self.shareNote))
    }

    var throughputByConcurrency: Figure {
        let counts = [1, 2, 4, 8, 16, 32, 64, 96, 128]
        let coupled = [Mark(96, "signalled-throughput-4KB-8-nodes")]
        let perseus = [Mark(96, "perseus-throughput-4KB-8-nodes")]
        func share(_ count: Int, _ scheme: Scheme) -> Double {
            func time(_ scheme: Scheme?) -> Double {
                lab.put(Settings.puts(nodes: 8, byteCount: 4096, concurrency: count, scheme))
            }
            return 100 * time(nil) / time(scheme)
        }
        return Figure(
            stem: "throughput-by-concurrency",
            title: "Signalled over put-only throughput, by concurrency",
            x: .init("transfers at the same time", .log2), y: .init(Self.shareLabel),
            series: Self.proxySchemes.map { scheme in
                curve(scheme, over: counts) { share($0, scheme) }
            } + [reported(.coupled, coupled), reported(.perseus, perseus)],
            caption: caption(
                "transfers of 4 KB from one rank, 8 nodes of 4",
                reporting: coupled + perseus,
                "Up to 28 transfers each have a destination of their own, so groups have one transfer: decoupled is"
                    + " coupled, and perseus is nic-ordered. " + Self.shareNote))
    }

    var fenceTime: Figure {
        let nodes = [2, 4, 8, 16]
        let small = [Mark(2, "fence-time-4KB-2-nodes"), Mark(8, "fence-time-4KB-8-nodes")]
        let large = [Mark(2, "fence-time-1MB-2-nodes"), Mark(8, "fence-time-1MB-8-nodes")]
        // Two sizes of one scheme, in colours of none that goes through a proxy.
        func series(_ name: String, _ byteCount: Int, _ marks: [Mark], _ color: Int)
            -> [Figure.Series]
        {
            [
                Figure.Series(
                    name, .line,
                    nodes.map {
                        .init(Double($0), lab.fenceTime(nodes: $0, byteCount: byteCount))
                    }, colorIndex: color),
                Figure.Series(
                    "\(name), reported", .points, marks.map { .init($0.x, $0.row.reported) },
                    colorIndex: color),
            ]
        }
        return Figure(
            stem: "fence-time", title: "Total fence time of 96 transfers",
            x: .init("nodes of 4 ranks", .log2), y: .init("coupled minus put-only (ms)"),
            series: series("4 KB", 4096, small, 6) + series("1 MB", 1 << 20, large, 7),
            caption: caption(
                "96 transfers of one rank, coupled", reporting: small + large,
                "16 nodes are not reported."))
    }
}
