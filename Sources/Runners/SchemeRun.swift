// One scheme, one layer, one clock: the call that the command line, the tests and the seeds share.

import PerseusMegakernel
import PerseusMemory
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC
import PerseusTransport

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
    /// On the virtual clock: find the chain of waits that decided when the layer ended.
    public var findsCriticalPath = false
    /// On the real clock: a proxy that has posted does nothing more until the modelled cost of posting has passed.
    public var chargesPosting = false
    /// Fill the receiving arenas with NaN first.
    public var poisons = false
    /// Threads are those of one rank: the others are processes of their own.
    public var isOneRank = false

    public init(profile: Profile) { self.profile = profile }
}

/// A finished run and everything that can be asked about it.
public struct SchemeRun {
    public let setup: SchemeSetup
    public internal(set) var outcome: RunOutcome
    public let job: LayerJob
    /// Of the ranks of this process.
    public let checker: OrderChecker?
    /// What the checkers of all ranks found; nil where order was not checked.
    public internal(set) var findings: OrderFindings?
    /// nil unless the settings ask for it.
    public let criticalPath: CriticalPath?

    /// [all tokens, hidden] F32, in a process that is not rank 0 those of its rank; empty in a run with modelled
    /// compute.
    public var output: UnsafeBufferPointer<Float> {
        let count = job.outputTokens.count * job.geometry.model.hidden
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
///
/// - Parameter group: the processes that run the other ranks; rank 0 returns the whole layer's output, counters and
///   findings, the others their own.
/// - Throws: `badInput` when the scheme's ordering is not proven on the profile's fabric, `environment` when memory
///   cannot be had, `deadline` when the group loses a rank before or after the layer.
public func runScheme(
    _ scheme: Scheme, _ workload: LayerWorkload, _ settings: RunSettings,
    trace: TraceRecorder? = nil, group: (any Rendezvous)? = nil
) throws -> SchemeRun {
    let geometry = workload.geometry
    let setup = try SchemeSetup(
        scheme, profile: settings.profile, geometry: geometry, options: settings.options)
    var plan = settings.transportPlan(of: setup)
    plan.reportsTransmissions = trace != nil
    plan.recordsTimings = settings.findsCriticalPath
    let job = try LayerJob(
        geometry: geometry, setup: setup, plan: plan, input: workload.input,
        compute: workload.compute,
        processorCount: settings.processorCount(geometry, scheme.path), group: group)
    if settings.poisons {
        for kernel in job.kernels { job.heaps[kernel.state.rank].poison() }
    }
    let checker = settings.checksOrder && workload.compute != nil ? OrderChecker(job: job) : nil
    for kernel in job.kernels { kernel.observer = checker }
    let model = geometry.model
    let costs = CostModel(
        profile: settings.profile, hidden: model.hidden, intermediate: model.intermediate,
        sharedIntermediate: model.sharedIntermediate, topK: model.topK)
    let causes = settings.findsCriticalPath ? CauseLog() : nil
    let start = try group.map { group throws(PerseusError) in
        try GroupStart(group, job.shared, step: "start of scheme \(scheme.rawValue)")
    }
    let outcome = settings.drive(
        job.transport, job.kernels, costs: costs, trace: trace, causes: causes, start: start)
    var run = SchemeRun(
        setup: setup, outcome: outcome, job: job, checker: checker,
        findings: checker.map(OrderFindings.init), criticalPath: causes?.criticalPath())
    if let group, outcome.failure == nil {
        try run.gather(group, step: "results of scheme \(scheme.rawValue)")
    }
    return run
}

extension RunSettings {
    /// How commands travel in this run.
    func transportPlan(of setup: SchemeSetup) -> TransportPlan {
        var plan = setup.transport
        plan.posting = posting(for: setup.scheme.path)
        plan.faults = faults
        plan.hasOneThread = clock == .virtual
        plan.proxy.growsTables = plan.hasOneThread
        return plan
    }

    /// What posting is charged: on the machine's clock it costs what it costs, unless delays are to be emulated.
    func posting(for path: Scheme.Path) -> PostingCosts {
        guard clock == .virtual || chargesPosting else { return PostingCosts() }
        return path == .gpuDirect ? profile.directPosting : profile.posting
    }

    func processorCount(_ geometry: LayerGeometry, _ path: Scheme.Path) -> Int {
        switch clock {
        case .virtual: profile.processorCount(hidden: geometry.model.hidden)
        case .real(let threads):
            path == .gpuDirect ? 1 : max(1, threads / max(1, isOneRank ? 1 : geometry.rankCount))
        }
    }

    /// Runs kernels over a transport on the clock of these settings.
    func drive<K: Kernel>(
        _ transport: TransportJob, _ kernels: [K], costs: CostModel, trace: TraceRecorder? = nil,
        causes: CauseLog? = nil, activeRanks: [Int]? = nil, start: GroupStart? = nil
    ) -> RunOutcome {
        let deadline = options.deadlineNanoseconds
        switch clock {
        case .virtual:
            precondition(start == nil, "RunSettings: a job of processes has no virtual clock")
            return VirtualTimeRunner(
                transport: transport, kernels: kernels, costs: costs, deadline: deadline,
                trace: trace, causes: causes
            ).run()
        case .real(let threads):
            return ThreadRunner(
                transport: transport, kernels: kernels, threadCount: threads, deadline: deadline,
                isExact: chargesPosting,
                activeRanks: activeRanks ?? Array(transport.hosted.indices), group: start?.group,
                origin: start?.origin
            ).run()
        }
    }
}
