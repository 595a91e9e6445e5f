// What `perseus run` says to a person.

import PerseusCommandLine
import PerseusExpertKernels
import PerseusMegakernel
import PerseusMoE
import PerseusProxy
import PerseusRunners

/// `--ordering` as a type; the command line has checked the name.
func orderingNamed(_ name: String) -> SignalOrdering? { SignalOrdering(rawValue: name) }

/// The text around a run, at most 100 columns wide where the numbers allow.
struct RunText {
    private let options: RunOptions
    private let setup: LayerSetup
    private let profile: Profile
    private let stream: TextStream
    private var notes: [String] = []

    init(_ options: RunOptions, _ setup: LayerSetup, _ profile: Profile, to stream: TextStream) {
        self.options = options
        self.setup = setup
        self.profile = profile
        self.stream = stream
    }

    mutating func note(_ text: String) { notes.append(text) }

    // MARK: Before

    func writeIntroduction() throws {
        let geometry = setup.workload.geometry
        let model = geometry.model
        let spread =
            geometry.ranksPerNode > 1 ? "\(geometry.ranksPerNode) per node" : "one per node"
        let isProcesses = options.launch == "processes"
        let local = isProcesses ? "\(spread), each a process" : spread
        try stream.writeLine(
            "\(model.name): hidden \(model.hidden), intermediate \(model.intermediate),"
                + " \(model.expertCount) experts, top-\(model.topK)"
                + (model.sharedIntermediate > 0 ? ", shared expert" : "") + ", seed \(options.seed)"
        )
        try stream.writeLine(
            "\(counted(geometry.rankCount, "rank")), \(local);"
                + " \(counted(setup.tokenCount, "token")); \(counted(geometry.roundCount, "round"))"
        )
        try stream.writeLine(wrapped("fabric \(profile.name): \(profile.summary)"))
        if let compute = setup.workload.compute {
            let time = Quantity.time(Int(setup.weightNanoseconds))
            try stream.writeLine(
                "weights\(isProcesses ? " of rank 0" : "") \(Quantity.bytes(compute.experts.byteCount)) packed for"
                    + " \(compute.experts.variant.rawValue) in \(time)")
        }
        try stream.writeLine(wrapped(clockSentence))
        try stream.writeLine()
        try warnOfNaN()
    }

    /// `1 rank`, `2,048 ranks`.
    private func counted(_ count: Int, _ noun: String) -> String {
        "\(Quantity.count(count)) \(noun)\(count == 1 ? "" : "s")"
    }

    /// On the standard error: who reads only the report should know.
    private func warnOfNaN() throws {
        let tokens = setup.tokensWithNaN
        guard !tokens.isEmpty else { return }
        let shown = tokens.prefix(8).map(String.init).joined(separator: ", ")
        let rest = tokens.count > 8 ? " and \(Quantity.count(tokens.count - 8)) more" : ""
        try TextStream.error.writeLine(
            "perseus run: warning: NaN in hidden_states of token\(tokens.count == 1 ? "" : "s")"
                + " \(shown)\(rest): the output of these tokens is NaN, the others are not touched")
    }

    private var clockSentence: String {
        if let device = setup.device { return device.sentence }
        let arithmetic =
            setup.workload.compute == nil
            ? "compute is modelled too: no bytes move" : "bytes and arithmetic are real"
        return options.clock == "virtual"
            ? "time is MODELLED (virtual clock); \(arithmetic)"
            : "time is MEASURED on this machine, the NIC's delays are modelled; \(arithmetic)"
    }

    // MARK: After

    func writeConclusion(_ finished: [RunCommand.Finished], verification: RunVerification?) throws {
        try stream.write(table(finished).render() + "\n" + legend + "\n")
        for line in story(finished) { try stream.writeLine(wrapped(line)) }
        try writeProof(finished, verification)
        for note in notes { try stream.writeLine(wrapped(note)) }
        let isDirect = finished.contains { $0.result.path == Scheme.Path.gpuDirect.rawValue }
        if isDirect && !profile.hasGPUInitiatedTransport {
            try stream.writeLine(
                wrapped(
                    "note: gpu-direct is hypothetical on \(profile.name): GPUs cannot post to this NIC"
                        + " themselves; its row is what the model says if they could"))
        }
        for (name, path) in [("output", options.outputPath), ("report", options.jsonPath)] {
            if let path, path != "-" { try stream.writeLine("\(name): \(path)") }
        }
        if let path = options.tracePath, path != "-" {
            let hasStalls = finished.contains { $0.result.drains > 0 }
            let hint = hasStalls ? "; look for STALL on the proxy rows" : ""
            try stream.writeLine("trace: \(path) (open in https://ui.perfetto.dev\(hint))")
        }
    }

    private var timeName: String { options.isMeasured ? "measured" : "modelled" }

    private func table(_ finished: [RunCommand.Finished]) -> TextTable {
        var table = TextTable([
            "scheme", "ordering", "puts", "signals", "fences", "drains", "doorbells", "stalled",
            timeName, "speedup",
        ])
        for item in finished {
            let result = item.result
            table.addRow([
                result.scheme, result.ordering, Quantity.count(result.puts),
                Quantity.count(result.signals), Quantity.count(result.fences),
                Quantity.count(result.drains), Quantity.count(result.doorbells),
                Quantity.time(result.drainNanoseconds / proxyCount(result)),
                Quantity.time(result.layerNanoseconds),
                result.speedupOverCoupled.map(Quantity.ratio) ?? "-",
            ])
        }
        return table
    }

    private func proxyCount(_ result: RunResult) -> Int {
        max(1, result.ranks * options.proxyThreadCount)
    }

    private var legend: String {
        """
        signals: writes of signal words; fences: signals held behind their data by a wait or a flag;
        drains: fences for which a proxy waited; stalled: that waiting, average per proxy;
        doorbells: calls to the NIC; \(timeName): time of the layer; speedup: against coupled.

        """
    }

    /// The one thing to take away, in numbers of this run.
    private func story(_ finished: [RunCommand.Finished]) -> [String] {
        func find(_ scheme: Scheme) -> RunResult? {
            finished.first { $0.result.scheme == scheme.rawValue }?.result
        }
        guard let coupled = find(.coupled), let plus = find(.perseusPlus), coupled.drains > 0 else {
            return []
        }
        let stalled = 100 * coupled.drainNanoseconds / proxyCount(coupled)
        let share = stalled / max(1, coupled.layerNanoseconds)
        return [
            "coupled: \(Quantity.count(coupled.drains)) of \(Quantity.count(coupled.signals)) signals"
                + " wait for the NIC to drain; the average proxy stands still \(share) % of the layer.",
            "perseus-plus: the same in \(Quantity.count(plus.signals)) signal writes with"
                + " \(Quantity.count(plus.fences)) fences and \(Quantity.count(plus.drains)) drains.",
        ]
    }

    private func writeProof(
        _ finished: [RunCommand.Finished], _ verification: RunVerification?
    ) throws {
        let orders = finished.compactMap(\.order)
        let seen = orders.reduce(0) { $0 + $1.checkCount }
        if seen > 0 {
            let violations = orders.reduce(0) { $0 + $1.violationCount }
            try stream.writeLine(
                "order: \(violations == 0 ? "none" : Quantity.count(violations)) of"
                    + " \(Quantity.count(seen)) signals came before the data they announce")
        }
        let worst = finished.compactMap(\.result.maxRelativeError).max()
        if let verification, let worst {
            try stream.writeLine(
                "float64 reference on \(verification.description): "
                    + (worst.isFinite
                        ? "max relative error \(Quantity.error(worst)), expert ids identical"
                        : "NaN or expert ids DIFFER"))
        }
        guard finished.count > 1, finished[0].result.bitwiseEqual != nil else { return }
        let isEqual = finished.allSatisfy { $0.result.bitwiseEqual != false }
        try stream.writeLine("outputs of all schemes: \(isEqual ? "bitwise equal" : "DIFFERENT")")
    }
}
