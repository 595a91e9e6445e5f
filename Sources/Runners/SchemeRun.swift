// One scheme, one layer, one clock: the call that the command line, the tests and the seeds share.

import PerseusMegakernel
import PerseusMemory
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC

/// What is computed: the shape, the tokens, the weights. Shared by all schemes of a run.
public struct LayerWorkload: Sendable {
    public var geometry: LayerGeometry
    public var input: JobInput
    /// nil: compute is modelled, no bytes move.
    public var compute: LayerCompute?

    public init(geometry: LayerGeometry, input: JobInput, compute: LayerCompute?) {
        self.geometry = geometry
        self.input = input
        self.compute = compute
    }
}

/// Whose time a run is measured in.
public enum RunClock: Sendable, Equatable {
    /// Modelled time of a profile, one thread.
    case virtual
    /// The machine's time, with a NIC that takes as long as its profile says.
    case real(threads: Int)
}

/// How a scheme is run.
public struct RunSettings: Sendable {
    public var profile: Profile
    public var clock = RunClock.virtual
    public var options = SchemeOptions()
    public var faults = FaultPlan()
    /// Compare the rows behind every signal with the sender's, when the signal is believed.
    public var checksOrder = true
    /// Fill the receiving arenas with NaN first.
    public var poisons = false

    public init(profile: Profile) { self.profile = profile }
}

/// A finished run and everything that can be asked about it.
public struct SchemeRun {
    public let setup: SchemeSetup
    public let outcome: RunOutcome
    public let job: LayerJob
    public let checker: OrderChecker?

    /// [all tokens, hidden] F32; empty in a run with modelled compute.
    public var output: UnsafeBufferPointer<Float> {
        let count = job.geometry.tokensPerRank.reduce(0, +) * job.geometry.model.hidden
        return UnsafeBufferPointer(start: job.output, count: job.output == nil ? 0 : count)
    }

    /// Bit for bit, so NaN equals the same NaN.
    public func hasSameOutput(as other: SchemeRun) -> Bool {
        let (a, b) = (output, other.output)
        return a.count == b.count && a.indices.allSatisfy { a[$0].bitPattern == b[$0].bitPattern }
    }
}

/// Runs `workload` under `scheme`.
///
/// A layer that does not finish is not an error here: `outcome.failure` says what is stuck.
/// - Throws: `badInput` when the scheme's ordering is not proven on the profile's fabric, `environment` when memory
///   cannot be had.
public func runScheme(
    _ scheme: Scheme, _ workload: LayerWorkload, _ settings: RunSettings,
    trace: TraceRecorder? = nil
) throws -> SchemeRun {
    let geometry = workload.geometry
    let setup = try SchemeSetup(
        scheme, profile: settings.profile, geometry: geometry, options: settings.options)
    let processors: Int
    switch settings.clock {
    case .virtual: processors = settings.profile.processorCount(hidden: geometry.model.hidden)
    case .real(let threads):
        processors = ThreadRunner.processorCount(
            ranks: geometry.rankCount, threads: threads, path: scheme.path)
    }
    let job = try LayerJob(
        geometry: geometry, setup: setup, input: workload.input, compute: workload.compute,
        faults: settings.faults, costs: settings.profile,
        isModelledTime: settings.clock == .virtual,
        processorCount: processors, reportsTransmissions: trace != nil)
    if settings.poisons { for heap in job.heaps { heap.poison() } }
    let checker = settings.checksOrder && workload.compute != nil ? OrderChecker(job: job) : nil
    for kernel in job.kernels { kernel.observer = checker }
    let deadline = settings.options.deadlineNanoseconds
    let outcome: RunOutcome
    switch settings.clock {
    case .virtual:
        outcome = VirtualTimeRunner(
            job: job, profile: settings.profile, deadline: deadline, trace: trace
        ).run()
    case .real(let threads):
        outcome = ThreadRunner(job: job, threadCount: threads, deadline: deadline).run()
    }
    return SchemeRun(setup: setup, outcome: outcome, job: job, checker: checker)
}
