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

    init(_ options: RunOptions) throws {
        self.options = options
        guard let profile = Profile.named(options.profile) else {
            throw PerseusError(.badInput, "--profile: unknown profile \(options.profile)")
        }
        self.profile = profile
        faults =
            try options.faultPlan.map {
                try FaultPlan(parsing: $0, rankCount: options.rankCount)
            } ?? FaultPlan()
    }

    func execute() throws {
        let setup = try LayerSetup(options)
        var text = RunText(options, setup, profile)
        text.printIntroduction()
        let verification = try verify(setup)
        let runs = try runSchemes(setup, text: &text, verification: verification)
        try write(runs, setup)
        text.printConclusion(runs, verification: verification)
        try judge(runs, verification)
    }

    private func verify(_ setup: LayerSetup) throws -> RunVerification? {
        guard options.verification == "reference", setup.tokenCount > 0 else { return nil }
        return try RunVerification(
            setup, count: options.verifiedTokenCount,
            threads: ProcessInfo.processInfo.activeProcessorCount)
    }

    // MARK: Schemes

    /// A scheme that ran, and what became of it.
    struct Finished {
        let run: SchemeRun
        let result: RunResult
        let trace: TraceRecorder?
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
    ) throws -> [Finished] {
        var finished: [Finished] = []
        var progress = ProgressLine()
        let isAll = options.schemes == Scheme.allCases.map(\.rawValue)
        for (index, name) in options.schemes.enumerated() {
            guard let scheme = Scheme(rawValue: name) else {
                throw PerseusError(.badInput, "--scheme: unknown scheme \(name)")
            }
            progress.update("running \(name)", done: index, of: options.schemes.count)
            let trace =
                options.tracePath != nil && options.clock == "virtual" ? TraceRecorder() : nil
            let run: SchemeRun
            do {
                run = try runScheme(scheme, setup.workload, settings, trace: trace)
            } catch let error as PerseusError where error.kind == .badInput && isAll {
                text.note(error.message)
                continue
            }
            if let failure = run.outcome.failure {
                progress.finish()
                throw PerseusError(.deadline, "scheme \(name): \(failure)")
            }
            let result = result(of: run, first: finished.first?.run, verification: verification)
            finished.append(Finished(run: run, result: result, trace: trace))
        }
        progress.finish()
        return withSpeedups(finished)
    }

    private func result(
        of run: SchemeRun, first: SchemeRun?, verification: RunVerification?
    ) -> RunResult {
        let geometry = run.job.geometry
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
        result.clock = options.clock
        result.rounds = geometry.roundCount
        if run.job.output != nil {
            result.maxRelativeError = verification?.maxRelativeError(of: run)
            result.bitwiseEqual = first.map { run.hasSameOutput(as: $0) } ?? true
        }
        return result
    }

    private func withSpeedups(_ finished: [Finished]) -> [Finished] {
        let coupled = finished.first { $0.result.scheme == Scheme.coupled.rawValue }
        guard let coupled else { return finished }
        return finished.map { item in
            var result = item.result
            result.speedupOverCoupled =
                Double(coupled.result.layerNanoseconds) / Double(max(1, result.layerNanoseconds))
            return Finished(run: item.run, result: result, trace: item.trace)
        }
    }

    // MARK: Files

    private func write(_ finished: [Finished], _ setup: LayerSetup) throws {
        guard let first = finished.first?.run else {
            throw PerseusError(.badInput, "no scheme can run on profile \(profile.name)")
        }
        if let path = options.outputPath { try writeOutput(first, to: path) }
        if let path = options.jsonPath {
            var context = RunContext(
                options, machine: options.clock == "real" ? MachineContext() : nil)
            context.tokensPerRank = setup.workload.geometry.tokensPerRank
            context.hidden = setup.weights.model.hidden
            context.intermediate = setup.weights.model.intermediate
            context.experts = setup.weights.model.expertCount
            context.topK = setup.weights.model.topK
            try writeJSON(
                RunReport(command: "run", context: context, results: finished.map(\.result)),
                to: path)
        }
        if let path = options.tracePath { try writeTrace(finished, to: path) }
    }

    private func writeOutput(_ run: SchemeRun, to path: String) throws {
        let model = run.job.geometry.model
        let tokens = run.job.geometry.tokensPerRank.reduce(0, +)
        let routing = run.job.routing
        try SafetensorsWriter().write(
            [
                OutputTensor(
                    name: "output", shape: [tokens, model.hidden],
                    elements: .float32(Array(run.output))),
                OutputTensor(
                    name: "topk_ids", shape: [tokens, model.topK], elements: .int32(routing.ids)),
                OutputTensor(
                    name: "topk_weights", shape: [tokens, model.topK],
                    elements: .float32(routing.weights)),
            ], to: path)
    }

    private func writeTrace(_ finished: [Finished], to path: String) throws {
        let runs = finished.compactMap { item in
            item.trace.map { (scheme: item.result.scheme, recorder: $0) }
        }
        guard !runs.isEmpty else {
            throw PerseusError(.badInput, "--trace needs --clock virtual")
        }
        try AtomicFile.write(Array(TraceRecorder.chromeTrace(runs).utf8), to: path)
    }

    // MARK: Judgement

    /// Everything is written by now; a wrong result is the exit status.
    private func judge(_ finished: [Finished], _ verification: RunVerification?) throws {
        for item in finished {
            let name = item.result.scheme
            if let checker = item.run.checker, checker.violationCount > 0 {
                let first = checker.violations.first.map { "; first: \($0)" } ?? ""
                throw PerseusError(
                    .wrongResult,
                    "scheme \(name): \(checker.violationCount) of \(checker.checkCount) signals were seen"
                        + " before their data\(first)")
            }
            if let error = item.result.maxRelativeError, !(error <= RunVerification.tolerance) {
                throw PerseusError(
                    .wrongResult,
                    "scheme \(name): relative error \(error) against float64 on"
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
