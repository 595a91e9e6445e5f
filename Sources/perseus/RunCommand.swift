// `perseus run`: one MoE layer under one or more schemes, proved right, told as a table.

import Foundation
import PerseusCheckpoints
import PerseusCommandLine
import PerseusExpertKernels
import PerseusLaunch
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC

/// Executes `perseus run`: all ranks in this process, one of them, or none and the processes that do.
struct RunCommand {
    let options: RunOptions
    private let profile: Profile
    private let faults: FaultPlan
    private let files: RunFiles
    /// This process is one rank of a job.
    let launch: LaunchEnvironment?

    init(_ options: RunOptions) throws {
        var options = options
        launch = options.launch == "in-process" ? nil : try Self.place(options)
        if let launch { try options.settle(launch) }
        self.options = options
        profile = try ProfileDocument(namedOrAt: options.profile).profile
        let rankCount = options.rankCount
        faults =
            try options.faultPlan.map {
                try FaultPlan(parsing: $0, rankCount: rankCount)
            } ?? FaultPlan()
        files = try RunFiles(options)
    }

    /// This process's place among ranks, if somebody launched it as one.
    private static func place(_ options: RunOptions) throws(PerseusError) -> LaunchEnvironment? {
        let variables = ProcessInfo.processInfo.environment
        if let launch = try LaunchEnvironment(variables) { return launch }
        return try LaunchEnvironment(
            pmix: variables, deadline: UInt64(options.deadlineMilliseconds) * 1_000_000)
    }

    func execute() throws {
        if let launch {
            try executeRank(launch)
        } else if options.launch == "processes" {
            try superviseRanks()
        } else {
            try executeLayer(try makePlan())
        }
    }

    func makePlan() throws -> LayerPlan {
        try LayerPlan(options, check: requireProvenOrderings)
    }

    /// Rank 0 of a group speaks and writes for all.
    func executeLayer(_ plan: LayerPlan, group: ProcessGroup? = nil) throws {
        let setup = try LayerSetup(plan, group: group)
        let isSpeaker = group == nil || group?.rank == 0
        var text = RunText(
            options, setup, profile, to: files.usesStandardOutput ? .error : .output)
        if isSpeaker { try text.writeIntroduction() }
        if !profile.isBuiltIn && Profile.named(profile.name) != nil {
            text.note(
                "note: \(options.profile) has the name of a built-in profile and other values;"
                    + " a name of its own keeps reports apart")
        }
        let isVerified =
            options.verification == "reference" && setup.tokenCount > 0 && isSpeaker
        let sample = isVerified ? RunSample(setup, count: options.verifiedTokenCount) : nil
        var outcome = try runSchemes(setup, text: &text, sample: sample, group: group)
        group?.leave(failure: nil)
        guard isSpeaker else { return }
        let verification = try sample.map {
            try RunVerification(
                setup, $0, threads: ProcessInfo.processInfo.activeProcessorCount)
        }
        outcome.verify(verification)
        try write(outcome, setup)
        try text.writeConclusion(outcome.finished, verification: verification)
        try judge(outcome.finished, verification)
    }

    /// What every rank must have alike.
    func agreement(_ plan: LayerPlan) -> Agreement {
        let model = plan.weights.model
        var items = [
            Agreement.Item("version", perseusVersion),
            Agreement.Item("build", LaunchEnvironment.buildFingerprint),
            Agreement.Item("model", model.name), Agreement.Item("shape", "\(model)"),
            Agreement.Item(
                "tokens per rank",
                plan.geometry.tokensPerRank.map(String.init).joined(separator: ",")),
            Agreement.Item("profile", "\(profile.name) (\(profile.fingerprint))"),
        ]
        items += options.agreement.map { Agreement.Item($0.name, $0.value) }
        return Agreement(items)
    }

    // MARK: Schemes

    /// A scheme that ran, and what became of it. Its heaps are gone: seven of them would not fit.
    struct Finished {
        var result: RunResult
        let order: OrderSummary?
        let trace: TraceRecorder?
        /// Its part of the output that is verified.
        let taken: RunSample.Taken?
    }

    /// What the checker of a run found.
    struct OrderSummary {
        let checkCount: Int
        let violationCount: Int
        let firstViolation: String?
    }

    private struct Outcome {
        var finished: [Finished] = []
        /// Of the first scheme that ran.
        var first: FirstOutput?

        mutating func verify(_ verification: RunVerification?) {
            guard let verification else { return }
            for index in finished.indices {
                finished[index].result.maxRelativeError = finished[index].taken.map(
                    verification.maxRelativeError)
            }
        }
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
            let cores = ProcessInfo.processInfo.activeProcessorCount
            let processes = launch?.size ?? 1
            settings.clock = .real(threads: options.threadCount ?? max(1, cores / processes))
        }
        settings.isOneRank = launch != nil
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
        _ setup: LayerSetup, text: inout RunText, sample: RunSample?, group: ProcessGroup?
    ) throws -> Outcome {
        var outcome = Outcome()
        var progress = ProgressLine()
        let isSpeaker = group == nil || group?.rank == 0
        for (index, scheme) in try schemes().enumerated() {
            if isSpeaker {
                progress.update(
                    "running \(scheme.rawValue)", done: index, of: options.schemes.count)
            }
            let trace = options.tracePath != nil ? TraceRecorder() : nil
            let run: any LayerRun
            do {
                run =
                    try setup.device.map {
                        try $0.run(scheme, settings)
                    }
                    ?? runScheme(
                        scheme, setup.workload, settings, trace: trace, group: group)
            } catch let error as PerseusError where error.kind == .badInput && isAll {
                text.note("left out: \(error.message)")
                continue
            }
            if let failure = run.outcome.failure {
                progress.finish()
                throw PerseusError(.deadline, "scheme \(scheme.rawValue): \(failure)")
            }
            guard isSpeaker else { continue }
            if run.hasOutput && outcome.first == nil { outcome.first = FirstOutput(run) }
            if let times = (run as? DeviceLayerRun)?.times {
                text.note(
                    "\(scheme.rawValue): planned after \(Quantity.time(Int(times.plan))), experts done after"
                        + " \(Quantity.time(Int(times.multiply))), best layer \(Quantity.time(Int(times.best)))"
                )
            }
            outcome.finished.append(
                Finished(
                    result: result(of: run, first: outcome.first), order: run.order, trace: trace,
                    taken: run.hasOutput ? sample?.take(from: run) : nil))
        }
        progress.finish()
        addSpeedups(&outcome.finished)
        return outcome
    }

    private func result(of run: any LayerRun, first: FirstOutput?) -> RunResult {
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
        if run.hasOutput { result.bitwiseEqual = first?.isBitwiseEqual(to: run) }
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
        context.launch = launch.map { _ in "processes" }
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
