// `perseus bench put-signal`: what a signal costs, modelled and measured.

import Foundation
import PerseusCommandLine
import PerseusDeviceRuns
import PerseusExperiments
import PerseusPrimitives
import PerseusRunners

func executePutSignal(_ options: PutSignalOptions) throws {
    try PutSignalCommand(options).execute()
}

private struct PutSignalCommand {
    private let options: PutSignalOptions
    private let comparison: PutSignalComparison
    /// The GPU whose blocks push; nil: this machine's processors do.
    private let device: DevicePutSignalComparison?
    private let threads: Int
    private let cores = ProcessInfo.processInfo.activeProcessorCount

    init(_ options: PutSignalOptions) throws {
        self.options = options
        threads = options.threadCount ?? cores
        let profile = try ProfileDocument(namedOrAt: options.profile).profile
        var comparison = PutSignalComparison(
            profile: profile, schemes: options.schemes.compactMap(Scheme.init(rawValue:)))
        comparison.senders = .init(rawValue: options.senders) ?? .one
        comparison.options.proxyThreads = options.proxyThreadCount
        comparison.repetitions = options.isQuick ? 1 : options.repetitionCount
        self.comparison = comparison
        device =
            options.device == "cuda"
            ? try DevicePutSignalComparison(isQuick: options.isQuick) : nil
    }

    func execute() throws {
        var results: [PutSignalResult] = []
        let points = try options.nodeCounts.flatMap { nodes in
            try options.byteCounts.flatMap { bytes in
                try options.concurrencies.map { concurrency in
                    (
                        nodes: nodes,
                        workload: try PutSignalWorkload(
                            nodes: nodes, ranksPerNode: options.ranksPerNode,
                            concurrency: concurrency, byteCount: bytes)
                    )
                }
            }
        }
        for point in points {
            var atPoint: [PutSignalResult] = []
            for clock in clocks {
                atPoint += try runHonoured(point.workload, nodes: point.nodes, clock: clock)
            }
            print(text(of: atPoint, point.workload, nodes: point.nodes), terminator: "")
            results += atPoint
        }
        print(notes, terminator: "")
        if let path = options.jsonPath {
            try writeJSON(
                Report(
                    command: device == nil ? "bench put-signal" : "bench put-signal --device cuda",
                    context: MachineContext(), results: results),
                to: path)
        }
    }

    private var clocks: [RunClock] {
        guard device == nil else { return [.real(threads: 1)] }
        return switch options.clock {
        case "virtual": [.virtual]
        case "real": [.real(threads: threads)]
        default: [.virtual, .real(threads: threads)]
        }
    }

    /// Of all schemes, those that the fabric honours; a scheme that was named alone is refused with the reason.
    private func runHonoured(
        _ workload: PutSignalWorkload, nodes: Int, clock: RunClock
    ) throws -> [PutSignalResult] {
        var comparison = self.comparison
        var refusals: [PerseusError] = []
        comparison.schemes = comparison.schemes.filter { scheme in
            do {
                let setup = try SchemeSetup(
                    scheme, profile: comparison.profile, ranks: workload.ranks, groupWords: 1,
                    options: comparison.options)
                if device != nil { try DevicePutSignal.requireSupported(setup, workload) }
                return true
            } catch {
                if let error = error as? PerseusError { refusals.append(error) }
                return false
            }
        }
        if let refusal = refusals.first, options.schemes.count == 1 || comparison.schemes.isEmpty {
            throw refusal
        }
        if let device { return try device.run(comparison, workload, nodes: nodes) }
        return try comparison.run(workload, nodes: nodes, clock: clock)
    }

    // MARK: Text

    private func text(
        of results: [PutSignalResult], _ workload: PutSignalWorkload, nodes: Int
    ) -> String {
        var text =
            "\(workload.concurrency) x \(Quantity.count(workload.byteCount)) bytes, \(nodes) nodes of"
            + " \(workload.ranksPerNode), \(options.senders == "one" ? "one sender" : "every rank sends"),"
            + " \(comparison.profile.name)\n"
        let isBoth = clocks.count == 2
        var table = TextTable(
            ["scheme", "ordering", "signals", "fences", "drains"]
                + clocks.flatMap { clock in
                    let word = clock == .virtual ? "modelled" : "measured"
                    return [word, "of put-only"]
                } + (isBoth ? ["measured/modelled"] : []))
        let rows = results.count / clocks.count
        for index in 0..<rows {
            let columns = clocks.indices.map { results[$0 * rows + index] }
            table.addRow(
                [
                    columns[0].scheme, columns[0].ordering, Quantity.count(columns[0].signals),
                    Quantity.count(columns[0].fences), Quantity.count(columns[0].drains),
                ]
                    + columns.flatMap {
                        [
                            Quantity.time(Int($0.nanoseconds)),
                            String(format: "%.1f %%", 100 * $0.throughputShare),
                        ]
                    }
                    + (isBoth
                        ? [
                            String(
                                format: "%.2f", columns[1].nanoseconds / columns[0].nanoseconds)
                        ] : []))
        }
        text += table.render()
        if isBoth, busyThreads(workload) > cores {
            text +=
                "note: \(busyThreads(workload)) threads' worth of senders on \(cores) cores: the measured"
                + " times are not comparable with the model\n"
        }
        return text + "\n"
    }

    /// A sender's proxies and its NIC share a thread; receivers have nothing to do but with immediates.
    private func busyThreads(_ workload: PutSignalWorkload) -> Int {
        comparison.senders == .one ? 1 : workload.ranks
    }

    private var notes: String {
        if let device {
            return """
                time: from the first push to the last word that its receiver saw; put-only: to the completion of all
                of put-only: throughput until the sender knew that all had completed
                measured on \(device.deviceName), median of the rounds of \(comparison.repetitions) launches by turns;
                its blocks push and move the bytes, the NIC is emulated, and it and posting take as long as the profile says;
                every transfer's bytes were there with its word

                """
        }
        var lines =
            "time: from the first push to the last byte or word at a peer; of put-only: throughput\n"
        if clocks.contains(.virtual) { lines += "modelled: virtual clock, a profile's costs\n" }
        if clocks.contains(where: { $0 != .virtual }) {
            lines +=
                "measured: median of \(comparison.repetitions) interleaved runs on this machine; the soft NIC and"
                + " posting take as long as the profile says\n"
        }
        return lines
    }
}
