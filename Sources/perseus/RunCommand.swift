// `perseus run`: one MoE layer under one or more schemes, proved right, told as a table.

import Foundation
import PerseusCheckpoints
import PerseusCommandLine
import PerseusExpertKernels
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC

/// Executes `perseus run`.
struct RunCommand {
    private let options: RunOptions
    private let profile: Profile
    private let faults: FaultPlan
    private let files: RunFiles

    init(_ options: RunOptions) throws {
        self.options = options
        profile = try ProfileDocument(namedOrAt: options.profile).profile
        faults =
            try options.faultPlan.map {
                try FaultPlan(parsing: $0, rankCount: options.rankCount)
            } ?? FaultPlan()
        files = try RunFiles(options)
    }

    func execute() throws {
        let setup = try LayerSetup(options, check: requireProvenOrderings)
        var text = RunText(
            options, setup, profile, to: files.usesStandardOutput ? .error : .output)
        try text.writeIntroduction()
        if !profile.isBuiltIn && Profile.named(profile.name) != nil {
            text.note(
                "note: \(options.profile) has the name of a built-in profile and other values;"
                    + " a name of its own keeps reports apart")
        }
        let verification = try verify(setup)
        let outcome = try runSchemes(setup, text: &text, verification: verification)
        try write(outcome, setup)
        try text.writeConclusion(outcome.finished, verification: verification)
        try judge(outcome.finished, verification)
    }

    private func verify(_ setup: LayerSetup) throws -> RunVerification? {
        guard options.verification == "reference", setup.tokenCount > 0 else { return nil }
        return try RunVerification(
            setup, count: options.verifiedTokenCount,
            threads: ProcessInfo.processInfo.activeProcessorCount)
    }

    // MARK: Schemes

    /// A scheme that ran, and what became of it. Its heaps are gone: seven of them would not fit.
    struct Finished {
        var result: RunResult
        let order: OrderSummary?
        let trace: TraceRecorder?
    }

    /// What the checker of a run found.
    struct OrderSummary {
        let checkCount: Int
        let violationCount: Int
        let firstViolation: OrderViolation?
    }

    private struct Outcome {
        var finished: [Finished] = []
        /// Of the first scheme that ran.
        var first: FirstOutput?
    }

    private var isAll: Bool { options.schemes == Scheme.allCases.map(\.rawValue) }

    private func schemes() throws -> [Scheme] {
        try options.schemes.map { name in
            guard let scheme = Scheme(rawValue: name) else {
                throw PerseusError(.badInput, "--scheme: unknown scheme \(name)")
            }
            return scheme
        }
    }

    /// Refuses, before any weight is read, a named scheme that the fabric cannot honour; of `all`, at least one must
    /// be left.
    private func requireProvenOrderings(_ geometry: LayerGeometry) throws {
        var refusals: [PerseusError] = []
        let schemes = try schemes()
        for scheme in schemes {
            do {
                _ = try SchemeSetup(
                    scheme, profile: profile, geometry: geometry, options: settings.options)
            } catch let error as PerseusError where error.kind == .badInput {
                refusals.append(error)
            }
        }
        if let first = refusals.first, !isAll || refusals.count == schemes.count { throw first }
    }

    private var settings: RunSettings {
        var settings = RunSettings(profile: profile)
        if options.clock == "real" {
            settings.clock = .real(
                threads: options.threadCount ?? ProcessInfo.processInfo.activeProcessorCount)
        }
        settings.options.ordering = options.ordering.flatMap(orderingNamed)
        settings.options.groupSize = options.groupSize
        settings.options.combineGroupSize = options.combineGroupSize
        settings.options.proxyThreads = options.proxyThreadCount
        settings.options.allowsUnproven = options.allowsUnproven
        settings.options.unprovenHint = "--unproven runs it all the same"
        settings.options.seed = options.seed
        settings.options.deadlineNanoseconds = UInt64(options.deadlineMilliseconds) * 1_000_000
        settings.faults = faults
        // In real time the comparison itself takes time: only where order is in doubt.
        settings.checksOrder =
            options.clock == "virtual" || options.allowsUnproven || !faults.isEmpty
        return settings
    }

    /// `all` leaves out what the fabric cannot honour, with the reason; a scheme that was named is refused.
    private func runSchemes(
        _ setup: LayerSetup, text: inout RunText, verification: RunVerification?
    ) throws -> Outcome {
        var outcome = Outcome()
        var progress = ProgressLine()
        for (index, scheme) in try schemes().enumerated() {
            progress.update("running \(scheme.rawValue)", done: index, of: options.schemes.count)
            let trace = options.tracePath != nil ? TraceRecorder() : nil
            let run: any LayerRun
            do {
                run =
                    try setup.device.map {
                        try $0.run(scheme, settings)
                    } ?? runScheme(scheme, setup.workload, settings, trace: trace)
            } catch let error as PerseusError where error.kind == .badInput && isAll {
                text.note("left out: \(error.message)")
                continue
            }
            if let failure = run.outcome.failure {
                progress.finish()
                throw PerseusError(.deadline, "scheme \(scheme.rawValue): \(failure)")
            }
            if run.hasOutput && outcome.first == nil { outcome.first = FirstOutput(run) }
            if let times = (run as? DeviceLayerRun)?.times {
                text.note(
                    "\(scheme.rawValue): planned after \(Quantity.time(Int(times.plan))), experts done after"
                        + " \(Quantity.time(Int(times.multiply))), best layer \(Quantity.time(Int(times.best)))"
                )
            }
            outcome.finished.append(
                Finished(
                    result: result(of: run, first: outcome.first, verification: verification),
                    order: run.order, trace: trace))
        }
        progress.finish()
        addSpeedups(&outcome.finished)
        return outcome
    }

    private func result(
        of run: any LayerRun, first: FirstOutput?, verification: RunVerification?
    ) -> RunResult {
        let geometry = run.geometry
        let counters = run.outcome.counters
        var result = RunResult(
            scheme: run.setup.scheme.rawValue, path: run.setup.scheme.path.rawValue,
            signaling: run.setup.signaling, ordering: run.setup.ordering.rawValue)
        result.ranks = geometry.rankCount
        result.nodes = geometry.nodeCount
        result.tokens = geometry.tokensPerRank.reduce(0, +)
        result.commands = Int(counters.commands)
        result.dispatchPuts = Int(counters.dispatchPuts)
        result.combinePuts = Int(counters.combinePuts)
        result.puts = result.dispatchPuts + result.combinePuts
        result.signals = Int(counters.signals)
        result.dispatchFences = Int(counters.dispatchFences)
        result.combineFences = Int(counters.combineFences)
        result.fences = result.dispatchFences + result.combineFences
        result.drains = Int(counters.drains)
        result.doorbells = Int(counters.doorbells)
        result.completions = Int(counters.completions)
        result.bytesSent = Int(counters.bytesSent)
        result.layerNanoseconds = Int(run.outcome.layerNanoseconds)
        result.drainNanoseconds = Int(counters.drainNanoseconds)
        result.exposedCommunicationNanoseconds = Int(run.outcome.exposedCommunicationNanoseconds)
        result.clock = options.clockName
        result.rounds = geometry.roundCount
        if run.hasOutput {
            result.maxRelativeError = verification?.maxRelativeError(of: run)
            result.bitwiseEqual = first?.isBitwiseEqual(to: run)
        }
        return result
    }

    private func addSpeedups(_ finished: inout [Finished]) {
        let coupled = finished.first { $0.result.scheme == Scheme.coupled.rawValue }
        guard let coupled else { return }
        for index in finished.indices {
            finished[index].result.speedupOverCoupled =
                Double(coupled.result.layerNanoseconds)
                / Double(max(1, finished[index].result.layerNanoseconds))
        }
    }

    private func write(_ outcome: Outcome, _ setup: LayerSetup) throws {
        let model = setup.weights.model
        if let first = outcome.first {
            try files.write(first, model: model, tokens: setup.tokenCount)
        }
        var context = RunContext(
            options,
            machine: options.isMeasured ? MachineContext() : nil)
        context.profile = profile.name
        if !profile.isBuiltIn {
            context.profileValues = Dictionary(
                uniqueKeysWithValues: ProfileParameter.all.map { ($0.key, $0.text(in: profile)) })
        }
        context.tokensPerRank = setup.workload.geometry.tokensPerRank
        context.hidden = model.hidden
        context.intermediate = model.intermediate
        context.experts = model.expertCount
        context.topK = model.topK
        try files.write(
            RunReport(command: "run", context: context, results: outcome.finished.map(\.result)))
        try files.write(
            outcome.finished.compactMap { item in
                item.trace.map { (scheme: item.result.scheme, recorder: $0) }
            })
    }

    // MARK: Judgement

    /// Everything is written by now; a wrong result is the exit status.
    private func judge(_ finished: [Finished], _ verification: RunVerification?) throws {
        for item in finished {
            let name = item.result.scheme
            if let order = item.order, order.violationCount > 0 {
                let first = order.firstViolation.map { "; first: \($0)" } ?? ""
                throw PerseusError(
                    .wrongResult,
                    "scheme \(name): \(order.violationCount) of \(order.checkCount) signals were seen"
                        + " before their data\(first)")
            }
            if let error = item.result.maxRelativeError, !(error <= RunVerification.tolerance) {
                throw PerseusError(
                    .wrongResult,
                    "scheme \(name): relative error \(Quantity.error(error)) against float64 on"
                        + " \(verification?.description ?? "the sample"), at most"
                        + " \(RunVerification.tolerance) is rounding")
            }
            if item.result.bitwiseEqual == false {
                throw PerseusError(
                    .wrongResult,
                    "scheme \(name): output differs from that of \(finished[0].result.scheme)")
            }
        }
    }
}

/// The first scheme's output and routing: what is written, and what the others are compared with.
struct FirstOutput {
    /// [all tokens, hidden]
    let values: [Float]
    /// [all tokens, topK]
    let ids: [Int32]
    /// [all tokens, topK]
    let weights: [Float]

    init(_ run: any LayerRun) {
        values = Array(run.output)
        (ids, weights) = run.routing
    }

    /// Bit for bit, so NaN equals the same NaN.
    func isBitwiseEqual(to run: any LayerRun) -> Bool {
        let output = run.output
        return values.count == output.count
            && values.indices.allSatisfy { values[$0].bitPattern == output[$0].bitPattern }
    }
}
