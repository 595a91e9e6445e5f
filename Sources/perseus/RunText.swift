// What `perseus run` says to a person.

import PerseusCommandLine
import PerseusExpertKernels
import PerseusMegakernel
import PerseusMoE
import PerseusProxy
import PerseusRunners

/// `--ordering` as a type; the command line has checked the name.
func orderingNamed(_ name: String) -> SignalOrdering? { SignalOrdering(rawValue: name) }

/// The text around a run.
struct RunText {
    private let options: RunOptions
    private let setup: LayerSetup
    private let profile: Profile
    private var notes: [String] = []

    init(_ options: RunOptions, _ setup: LayerSetup, _ profile: Profile) {
        self.options = options
        self.setup = setup
        self.profile = profile
    }

    mutating func note(_ text: String) { notes.append(text) }

    func printIntroduction() {
        let geometry = setup.workload.geometry
        let model = geometry.model
        print(
            "\(model.name): hidden \(model.hidden), intermediate \(model.intermediate), \(model.expertCount)"
                + " experts, top-\(model.topK)"
                + (model.sharedIntermediate > 0 ? ", shared expert" : "") + ", seed \(options.seed)"
        )
        let local =
            geometry.ranksPerNode > 1 ? ", \(geometry.ranksPerNode) per node" : ", one per node"
        print(
            "\(geometry.rankCount) ranks\(local), \(Quantity.count(setup.tokenCount)) tokens,"
                + " \(geometry.roundCount == 1 ? "one round" : "\(geometry.roundCount) rounds")"
                + "; fabric \(profile.name) (\(profile.summary))")
        if let compute = setup.workload.compute {
            print(
                "weights \(Quantity.bytes(compute.experts.byteCount)) packed for"
                    + " \(compute.experts.variant.rawValue) in \(Quantity.time(Int(setup.weightNanoseconds)))"
            )
        }
        print(clockSentence)
        let poisoned = setup.tokensWithNaN
        if let first = poisoned.first {
            print(
                "input: \(poisoned.count) token(s) with NaN (first: token \(first)); their outputs are NaN,"
                    + " the others are not touched")
        }
        print("")
    }

    private var clockSentence: String {
        let arithmetic =
            setup.workload.compute == nil
            ? "compute is modelled too: no bytes move" : "bytes and arithmetic are real"
        return options.clock == "virtual"
            ? "time is MODELLED (virtual clock); \(arithmetic)"
            : "time is measured on this machine with an emulated NIC of modelled delays; \(arithmetic)"
    }

    func printConclusion(_ finished: [RunCommand.Finished], verification: RunVerification?) {
        print(table(finished).render(), terminator: "")
        print("")
        for note in notes { print("left out: \(note)") }
        if let story = story(finished) { print(story) }
        printProof(finished, verification)
        if let path = options.outputPath { print("output: \(path)") }
        if let path = options.jsonPath, path != "-" { print("report: \(path)") }
        if let path = options.tracePath {
            print(
                "trace: \(path) (open in https://ui.perfetto.dev; look for STALL on the proxy rows)"
            )
        }
    }

    private func table(_ finished: [RunCommand.Finished]) -> TextTable {
        var table = TextTable([
            "scheme", "ordering", "puts", "signals", "fences", "drains", "doorbells",
            "proxy stalled",
            options.clock == "virtual" ? "layer (modelled)" : "layer (measured)", "vs coupled",
        ])
        for item in finished {
            let result = item.result
            table.addRow([
                result.scheme, result.ordering, Quantity.count(result.puts),
                Quantity.count(result.signals), Quantity.count(result.fences),
                Quantity.count(result.drains), Quantity.count(result.doorbells),
                Quantity.time(result.drainNanoseconds / max(1, result.ranks)),
                Quantity.time(result.layerNanoseconds),
                result.speedupOverCoupled.map(Quantity.ratio) ?? "-",
            ])
        }
        return table
    }

    /// The one thing to take away, in numbers of this run.
    private func story(_ finished: [RunCommand.Finished]) -> String? {
        func find(_ scheme: Scheme) -> RunResult? {
            finished.first { $0.result.scheme == scheme.rawValue }?.result
        }
        guard let coupled = find(.coupled), let plus = find(.perseusPlus), coupled.fences > 0 else {
            return nil
        }
        let share =
            100 * Double(coupled.drainNanoseconds) / Double(coupled.ranks)
            / Double(max(1, coupled.layerNanoseconds))
        return
            "coupled: each of \(Quantity.count(coupled.fences)) signals waits for the NIC to drain, and the"
            + " average proxy stands still for \(Int(share.rounded())) % of the layer;\nperseus-plus: the same"
            + " signals leave in \(Quantity.count(plus.signals)) writes with \(Quantity.count(plus.fences)) fences"
            + " and \(Quantity.count(plus.drains)) drains."
    }

    private func printProof(_ finished: [RunCommand.Finished], _ verification: RunVerification?) {
        let checks = finished.compactMap(\.run.checker)
        if !checks.isEmpty {
            let seen = checks.reduce(0) { $0 + $1.checkCount }
            let violations = checks.reduce(0) { $0 + $1.violationCount }
            print(
                "order: \(violations) of \(Quantity.count(seen)) signals were seen before their data"
            )
        }
        if let verification {
            let worst = finished.compactMap(\.result.maxRelativeError).max()
            print(
                "float64 reference on \(verification.description): max relative error"
                    + " \(Quantity.error(worst)), expert ids identical")
        }
        guard finished.count > 1, finished[0].run.job.output != nil else { return }
        let isEqual = finished.allSatisfy { $0.result.bitwiseEqual != false }
        print("outputs of all schemes: \(isEqual ? "bitwise equal" : "DIFFERENT")")
    }
}
