// Drives the production roles on one thread and a virtual clock: deterministic, and as fast as events can be handled.

import PerseusMegakernel
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC

/// Runs a job in virtual time.
///
/// Every role sleeps until something that it polls could have changed, and is charged modelled time for what its step
/// did. The order of events is total, so the same job gives the same times, counters and bytes on every run.
public final class VirtualTimeRunner {
    /// Role numbers of one rank: dispatcher, subscriber with scheduler, NIC, then proxies, then processors.
    private enum Role {
        static let dispatcher = 0
        static let subscriber = 1
        static let nic = 2
        static let firstProxy = 3
    }

    private let job: LayerJob
    private let profile: Profile
    private let costs: CostModel
    private let deadline: UInt64
    private let trace: TraceRecorder?
    private let rolesPerRank: Int
    private let firstProcessor: Int
    private let processorCount: Int
    private var events: EventHeap<UInt32>
    /// [role]: time of the role's next step; .max when it sleeps.
    private var scheduledAt: [UInt64]
    /// [role]: until when the role's last step lasts.
    private var busyUntil: [UInt64]
    /// [rank]: signal words that changed and were not looked at.
    private var changedWords: [[Range<Int>]]
    /// [rank]: words may have changed that nobody named.
    private var needsRescan: [Bool]
    private var isDead: [Bool]
    private var computeNanoseconds: [UInt64]
    /// [proxy]: since when it stands still; .max when it does not.
    private var stalledSince: [UInt64]
    private var doneCount = 0
    private var isDone: [Bool]
    private var outcome = RunOutcome()
    private var failureLines: [String] = []

    /// - Parameters:
    ///   - deadline: virtual nanoseconds after which the run is given up.
    ///   - trace: records what happens, for a person to look at.
    public init(job: LayerJob, profile: Profile, deadline: UInt64, trace: TraceRecorder? = nil) {
        self.job = job
        self.profile = profile
        self.deadline = deadline
        self.trace = trace
        costs = CostModel(profile: profile, model: job.geometry.model)
        processorCount = job.kernels.first?.processorCount ?? 0
        firstProcessor = Role.firstProxy + job.proxyThreads
        rolesPerRank = firstProcessor + processorCount
        events = EventHeap(capacity: 4096)
        let roles = job.ranks * rolesPerRank
        scheduledAt = Array(repeating: .max, count: roles)
        busyUntil = Array(repeating: 0, count: roles)
        changedWords = Array(repeating: [], count: job.ranks)
        needsRescan = Array(repeating: false, count: job.ranks)
        isDead = Array(repeating: false, count: job.ranks)
        computeNanoseconds = Array(repeating: 0, count: job.ranks)
        stalledSince = Array(repeating: .max, count: job.ranks * job.proxyThreads)
        isDone = Array(repeating: false, count: job.ranks)
    }

    /// Runs the layer to its end, to a failure, or to the deadline.
    public func run() -> RunOutcome {
        for rank in 0..<job.ranks { wake(rank, Role.dispatcher, at: 0) }
        var kills = job.faults.kills.sorted { ($0.at, $0.rank) < ($1.at, $1.rank) }[...]
        while let time = events.nextTime {
            if let kill = kills.first, kill.at <= time {
                die(kill.rank)
                kills.removeFirst()
                continue
            }
            if time > deadline { break }
            let event = events.pop()
            let role = Int(event.payload)
            guard scheduledAt[role] == event.time else { continue }
            scheduledAt[role] = .max
            outcome.stepCount += 1
            step(role, at: event.time)
        }
        finish()
        return outcome
    }

    // MARK: Sleeping and waking

    private func wake(_ rank: Int, _ role: Int, at time: UInt64) {
        let index = rank * rolesPerRank + role
        let time = max(time, busyUntil[index])
        guard time < scheduledAt[index], !isDead[rank] else { return }
        scheduledAt[index] = time
        events.pushGrowing(time: time, UInt32(index))
    }

    private func wakeProxies(_ rank: Int, at time: UInt64) {
        for thread in 0..<job.proxyThreads { wake(rank, Role.firstProxy + thread, at: time) }
    }

    private func wakeProcessors(_ rank: Int, at time: UInt64) {
        var ready = job.kernels[rank].readyTaskCount
        for index in 0..<processorCount where ready > 0 {
            if job.kernels[rank].processors[index].isIdle {
                wake(rank, firstProcessor + index, at: time)
                ready -= 1
            }
        }
    }

    private func die(_ rank: Int) {
        job.fabric.kill(rank: rank)
        isDead[rank] = true
        if !isDone[rank] { doneCount += 1 }
        isDone[rank] = true
        for role in 0..<rolesPerRank { scheduledAt[rank * rolesPerRank + role] = .max }
    }

    // MARK: Steps

    private func step(_ index: Int, at now: UInt64) {
        let (rank, role) = (index / rolesPerRank, index % rolesPerRank)
        switch role {
        case Role.dispatcher: stepDispatcher(rank, at: now)
        case Role.subscriber: stepSubscriber(rank, at: now)
        case Role.nic: stepNIC(rank, at: now)
        case Role.firstProxy..<firstProcessor:
            stepProxy(rank, thread: role - Role.firstProxy, at: now)
        default: stepProcessor(rank, processor: role - firstProcessor, at: now)
        }
    }

    /// Kernel roles that post themselves pay for posting: their clock is the endpoint's.
    private func beginDirect(_ rank: Int, at now: UInt64) {
        if !job.directPorts.isEmpty { job.clocks[rank].now = now }
    }

    private func directNanoseconds(_ rank: Int, since now: UInt64) -> UInt64 {
        job.directPorts.isEmpty ? 0 : job.clocks[rank].now - now
    }

    private func stepDispatcher(_ rank: Int, at now: UInt64) {
        beginDirect(rank, at: now)
        let kernel = job.kernels[rank]
        let step = kernel.dispatcher.pointee.step()
        let cost = costs.nanoseconds(step.work) + directNanoseconds(rank, since: now)
        let end = now + cost
        busyUntil[rank * rolesPerRank + Role.dispatcher] = end
        spread(step, of: rank, at: now)
        if step.hasWorked {
            trace?.record(rank, .dispatcher, step.work, from: now, to: end)
            wake(rank, Role.dispatcher, at: end)
            wake(rank, Role.subscriber, at: now)
        }
        if kernel.isDone && !isDone[rank] {
            isDone[rank] = true
            doneCount += 1
            if doneCount == job.ranks { outcome.layerNanoseconds = now }
        }
    }

    /// Tells everybody whom a kernel role's step concerns.
    private func spread(_ step: RoleStep, of rank: Int, at now: UInt64) {
        if step.hasPushed {
            if job.directPorts.isEmpty {
                wakeProxies(rank, at: now + profile.ringNanoseconds + profile.proxyPollNanoseconds)
            } else {
                wakeNIC(rank)
                wakeProxies(rank, at: now)  // a quiet may be answered already
            }
        }
        for index in 0..<step.localSignalCount {
            let signal = index == 0 ? step.localSignals.0 : step.localSignals.1
            note(
                rank: Int(signal.rank), words: Int(signal.first)..<Int(signal.first + signal.count),
                at: now)
        }
    }

    private func note(rank: Int, words: Range<Int>, at now: UInt64) {
        changedWords[rank].append(words)
        wake(rank, Role.subscriber, at: now + profile.observeNanoseconds)
    }

    private func stepSubscriber(_ rank: Int, at now: UInt64) {
        let kernel = job.kernels[rank]
        var hasWorked = kernel.follow()
        if hasWorked || needsRescan[rank] {
            needsRescan[rank] = false
            changedWords[rank].removeAll(keepingCapacity: true)
            if kernel.rescan() { hasWorked = true }
        }
        if !changedWords[rank].isEmpty {
            let changed = changedWords[rank]
            changedWords[rank].removeAll(keepingCapacity: true)
            for words in changed where kernel.observe(words: words) { hasWorked = true }
        }
        if kernel.schedule() { hasWorked = true }
        if hasWorked { trace?.mark(rank, .subscriber, at: now) }
        wakeProcessors(rank, at: now)
        wakeDispatcherIfDue(rank, at: now)
    }

    /// The dispatcher waits for the round (or, staged, for the experts) to be over.
    private func wakeDispatcherIfDue(_ rank: Int, at now: UInt64) {
        let state = job.kernels[rank].state
        if state.isExpertSideDone && (state.isOwnerSideDone || state.program.isStaged) {
            wake(rank, Role.dispatcher, at: now)
        }
    }

    private func stepProcessor(_ rank: Int, processor: Int, at now: UInt64) {
        beginDirect(rank, at: now)
        let role = firstProcessor + processor
        let step = job.kernels[rank].processors[processor].step()
        let cost = costs.nanoseconds(step.work)
        let end = now + cost + directNanoseconds(rank, since: now)
        busyUntil[rank * rolesPerRank + role] = end
        computeNanoseconds[rank] += cost
        spread(step, of: rank, at: now)
        guard step.hasWorked else { return }
        if cost > 0 {
            trace?.record(rank, .processor(processor), step.work, from: now, to: end)
        } else {
            // A task has ended: its results may complete a round, and there may be room for another task.
            wake(rank, Role.subscriber, at: now)
        }
        wake(rank, role, at: end)
    }

    private func stepProxy(_ rank: Int, thread: Int, at now: UInt64) {
        let index = rank * job.proxyThreads + thread
        job.clocks[index].now = now
        let step: ProxyStep
        if job.directPorts.isEmpty {
            step = HotPath.step(job.proxies + index, now: now)
        } else {
            step =
                job.directPorts[rank].exclusively { HotPath.step(job.proxies + index, now: now) }
                ?? ProxyStep()
        }
        let end = job.clocks[index].now + UInt64(step.drained) * profile.drainNanoseconds
        let role = rank * rolesPerRank + Role.firstProxy + thread
        busyUntil[role] = end
        traceProxy(index, rank: rank, thread: thread, step: step, from: now, to: end)
        if step.hasFailed { noteFailure(of: index, rank: rank) }
        if step.posted > 0 { wakeNIC(rank) }
        if step.received > 0 {
            needsRescan[rank] = true
            wake(rank, Role.subscriber, at: now + profile.observeNanoseconds)
        }
        if !step.isIdle {
            wake(rank, Role.firstProxy + thread, at: end)
        } else if let visibleAt = job.proxies[index].transport.nextCompletionAt {
            wake(rank, Role.firstProxy + thread, at: visibleAt + profile.proxyPollNanoseconds)
        }
        if step.drained > 0 || step.completed > 0 || step.quieted > 0 {
            wakeBlockedRoles(rank, at: end)
        }
    }

    /// Rings have room again, or a quiet was answered.
    private func wakeBlockedRoles(_ rank: Int, at now: UInt64) {
        wake(rank, Role.dispatcher, at: now)
        for index in 0..<processorCount where !job.kernels[rank].processors[index].isIdle {
            let role = rank * rolesPerRank + firstProcessor + index
            if scheduledAt[role] == .max { wake(rank, firstProcessor + index, at: now) }
        }
    }

    private func traceProxy(
        _ index: Int, rank: Int, thread: Int, step: ProxyStep, from now: UInt64, to end: UInt64
    ) {
        if step.isStalled && stalledSince[index] == .max {
            stalledSince[index] = end
        } else if !step.isStalled && stalledSince[index] != .max {
            trace?.recordStall(rank, thread: thread, from: stalledSince[index], to: now)
            stalledSince[index] = .max
        }
        if step.posted > 0 {
            trace?.recordPosts(rank, thread: thread, step: step, from: now, to: end)
        }
    }

    private func wakeNIC(_ rank: Int) {
        if let due = job.engines[rank].nextDue { wake(rank, Role.nic, at: due) }
    }

    private func stepNIC(_ rank: Int, at now: UInt64) {
        _ = HotPath.step(job.engines + rank, now: now)
        for index in 0..<job.engines[rank].noticeCount {
            let notice = job.engines[rank].notices[index]
            switch notice.kind {
            case .signalWords:
                let first = Int(notice.first)
                note(rank: Int(notice.rank), words: first..<first + Int(notice.count), at: now)
            case .completion:
                wake(
                    rank, Role.firstProxy + Int(notice.endpoint),
                    at: notice.time + profile.proxyPollNanoseconds)
            case .receive:
                wake(Int(notice.rank), Role.firstProxy, at: now + profile.proxyPollNanoseconds)
            case .transmitted: trace?.recordWire(rank, notice)
            }
        }
        wakeNIC(rank)
    }

    // MARK: The end

    private func noteFailure(of index: Int, rank: Int) {
        guard let failure = job.proxies[index].failure,
            !failureLines.contains(where: { $0.hasPrefix("rank \(rank): ") })
        else { return }
        failureLines.append("rank \(rank): \(failure)")
    }

    private func finish() {
        outcome.counters = job.counters
        let busiest = computeNanoseconds.max() ?? 0
        outcome.computeNanoseconds = busiest / UInt64(max(1, processorCount))
        if job.kernels.allSatisfy(\.isDone) { return }
        outcome.failure = describeFailure()
    }

    private func describeFailure() -> RunFailure {
        let gaveUpAt = deadline
        for rank in 0..<job.ranks where !isDead[rank] {
            for thread in 0..<job.proxyThreads {
                let index = rank * job.proxyThreads + thread
                job.proxies[index].checkDeadlines(now: gaveUpAt)
                noteFailure(of: index, rank: rank)
            }
        }
        var lines = failureLines
        for rank in 0..<job.ranks where !isDead[rank] && !job.kernels[rank].isDone {
            if let missing = job.kernels[rank].missing {
                lines.append(
                    "rank \(rank): waits for the \(missing), stage signal not seen, age \(gaveUpAt / 1_000_000) ms"
                )
            }
        }
        for kill in job.faults.kills where isDead[kill.rank] && !job.kernels[kill.rank].isDone {
            lines.append("peer \(kill.rank): died before its own tokens were combined")
        }
        let dead = job.faults.kills.filter { isDead[$0.rank] }.map {
            "rank \($0.rank) died at \($0.at) ns"
        }
        let cause =
            dead.isEmpty
            ? "the layer did not finish within its deadline of \(deadline / 1_000_000) ms (virtual time)"
            : "the layer cannot finish: " + dead.joined(separator: ", ")
        return RunFailure(at: gaveUpAt, cause: cause, lines: lines)
    }
}
