// Drives the production roles on a virtual clock: an event queue decides who steps next, a cost model how long it takes.

import PerseusMegakernel
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC

/// Runs kernels over a transport in virtual time.
///
/// Every role sleeps until something that it polls could have changed, and is charged modelled time for what its step
/// did. The order of events is total, so the same job gives the same times, counters and bytes on every run.
final class VirtualTimeRunner<K: Kernel> {
    private let transport: TransportJob
    private let kernels: [K]
    private let profile: Profile
    private let costs: CostModel
    private let deadline: UInt64
    private let trace: TraceRecorder?
    private let causes: CauseLog?
    private let roles: RoleNumbers
    /// Kernel roles post themselves.
    private let isDirect: Bool
    // Flat memory behind constants: no exclusivity checks and no reference counts in the loop.
    private let events: UnsafeMutablePointer<EventQueue>
    /// [role]
    private let times: UnsafeMutablePointer<RoleTimes>
    /// [role]: waits for room in a ring.
    private let isBlocked: UnsafeMutablePointer<Bool>
    /// [role]: a processor without a task.
    private let isIdle: UnsafeMutablePointer<Bool>
    private let ranks: UnsafeMutablePointer<RankProgress>
    private let changedWords: UnsafeMutablePointer<ChangedWords>
    /// [proxy]: since when it stands still; .max when it does not.
    private let stalledSince: UnsafeMutablePointer<UInt64>
    private let roleCount: Int
    private var outcome = RunOutcome()
    private var doneCount = 0
    private var failureLines: [String] = []

    /// When one role steps.
    private struct RoleTimes: BitwiseCopyable {
        /// Time of the next step; .max when the role sleeps.
        var scheduledAt: UInt64 = .max
        /// Until when the last step lasts.
        var busyUntil: UInt64 = 0
    }

    /// Where one rank stands.
    private struct RankProgress: BitwiseCopyable {
        /// Words may have changed that nobody named.
        var needsRescan = false
        var isDead = false
        var isDone = false
        /// Kernel roles that wait for room.
        var blockedCount = 0
        var computeNanoseconds: UInt64 = 0
    }

    /// - Parameters:
    ///   - deadline: virtual nanoseconds after which the run is given up.
    ///   - trace: records what happens, for a person to look at.
    ///   - causes: records what each step had waited for.
    init(
        transport: TransportJob, kernels: [K], costs: CostModel, deadline: UInt64,
        trace: TraceRecorder? = nil, causes: CauseLog? = nil
    ) {
        self.transport = transport
        self.kernels = kernels
        self.costs = costs
        self.deadline = deadline
        self.trace = trace
        self.causes = causes
        profile = costs.profile
        isDirect = !transport.directPorts.isEmpty
        roles = RoleNumbers(
            proxies: transport.proxyThreads, processors: kernels.first?.processorCount ?? 0)
        roleCount = transport.ranks * roles.perRank
        let proxyCount = transport.ranks * transport.proxyThreads
        events = .allocate(capacity: 1)
        events.initialize(to: EventQueue())
        times = .allocateDense(capacity: roleCount)
        times.initialize(repeating: RoleTimes(), count: roleCount)
        isBlocked = .allocateDense(capacity: roleCount)
        isBlocked.initialize(repeating: false, count: roleCount)
        isIdle = .allocateDense(capacity: roleCount)
        isIdle.initialize(repeating: true, count: roleCount)
        ranks = .allocateDense(capacity: transport.ranks)
        ranks.initialize(repeating: RankProgress(), count: transport.ranks)
        changedWords = .allocate(capacity: 1)
        changedWords.initialize(to: ChangedWords(ranks: transport.ranks))
        stalledSince = .allocate(capacity: proxyCount)
        stalledSince.initialize(repeating: .max, count: proxyCount)
    }

    deinit {
        events.deinitialize(count: 1)
        events.deallocate()
        times.deallocateDense()
        isBlocked.deallocateDense()
        isIdle.deallocateDense()
        ranks.deallocateDense()
        changedWords.deinitialize(count: 1)
        changedWords.deallocate()
        stalledSince.deallocate()
    }

    /// Runs to the end, to a failure, or to the deadline.
    func run() -> RunOutcome {
        causes?.begin(roles: roles, roleCount: roleCount, isDirect: isDirect)
        for rank in 0..<transport.ranks { wake(rank, roles.dispatcher, at: 0, .start) }
        var kills = transport.faults.kills.sorted { ($0.at, $0.rank) < ($1.at, $1.rank) }[...]
        var stepCount = 0
        while true {
            events.pointee.fill()
            guard let time = events.pointee.nextTime else { break }
            if let kill = kills.first, kill.at <= time {
                die(kill.rank)
                kills.removeFirst()
                continue
            }
            if time > deadline { break }
            let role = Int(events.pointee.pop())
            guard times[role].scheduledAt == time else { continue }
            times[role].scheduledAt = .max
            stepCount += 1
            step(role, at: time)
        }
        outcome.stepCount = stepCount
        finish()
        return outcome
    }

    // MARK: Sleeping and waking

    private func wake(
        _ rank: Int, _ role: Int, at time: UInt64, _ reason: CauseLog.Reason, request: Int32 = -1
    ) {
        let index = rank &* roles.perRank &+ role
        let busy = times[index].busyUntil
        let due = max(time, busy)
        guard due < times[index].scheduledAt, !ranks[rank].isDead else { return }
        times[index].scheduledAt = due
        events.pointee.push(time: due, UInt32(truncatingIfNeeded: index))
        causes?.noteWake(
            of: index, reason: busy > time ? .ownStep : reason, request: request)
    }

    private func wakeProxies(_ rank: Int, at time: UInt64, _ reason: CauseLog.Reason) {
        for thread in 0..<transport.proxyThreads {
            wake(rank, roles.firstProxy + thread, at: time, reason)
        }
    }

    private func wakeProcessors(_ rank: Int, _ kernel: K, at time: UInt64) {
        var ready = kernel.readyTaskCount
        var index = 0
        while ready > 0 && index < roles.processors {
            let role = roles.firstProcessor &+ index
            if isIdle[rank &* roles.perRank &+ role] {
                wake(rank, role, at: time, .task)
                ready -= 1
            }
            index += 1
        }
    }

    private func die(_ rank: Int) {
        transport.fabric.kill(rank: rank)
        ranks[rank].isDead = true
        if !ranks[rank].isDone { doneCount += 1 }
        ranks[rank].isDone = true
        for role in 0..<roles.perRank { times[rank * roles.perRank + role].scheduledAt = .max }
    }

    // MARK: Steps

    private func step(_ index: Int, at now: UInt64) {
        let rank = index / roles.perRank
        let role = index &- rank &* roles.perRank
        causes?.beginStep(of: index, at: now)
        switch role {
        case roles.dispatcher: stepDispatcher(rank, at: now)
        case roles.subscriber: stepSubscriber(rank, at: now)
        case roles.nic: stepNIC(rank, at: now)
        case roles.firstProxy..<roles.firstProcessor:
            stepProxy(rank, thread: role - roles.firstProxy, at: now)
        default: stepProcessor(rank, processor: role - roles.firstProcessor, at: now)
        }
    }

    /// Kernel roles that post themselves pay for posting: their clock is the endpoint's.
    private func beginDirect(_ rank: Int, at now: UInt64) {
        if isDirect { transport.clocks[rank].now = now }
    }

    private func directNanoseconds(_ rank: Int, since now: UInt64) -> UInt64 {
        isDirect ? transport.clocks[rank].now - now : 0
    }

    private func stepDispatcher(_ rank: Int, at now: UInt64) {
        beginDirect(rank, at: now)
        let kernel = kernels[rank]
        let step = kernel.dispatch()
        let end = now + costs.nanoseconds(step.work) + directNanoseconds(rank, since: now)
        endStep(rank, roles.dispatcher, step, at: end)
        if step.beginsMeasurement { outcome.measuredFrom[rank] = now }
        spread(step, of: rank, at: now)
        if step.hasWorked {
            trace?.record(rank, .dispatcher, step.work, from: now, to: end)
            wake(rank, roles.dispatcher, at: end, .ownStep)
            wake(rank, roles.subscriber, at: now, .task)
        }
        if kernel.isDone && !ranks[rank].isDone {
            ranks[rank].isDone = true
            doneCount += 1
            if doneCount == transport.ranks {
                outcome.layerNanoseconds = now
                causes?.noteEnd()
            }
        }
    }

    private func endStep(_ rank: Int, _ role: Int, _ step: RoleStep, at end: UInt64) {
        let index = rank &* roles.perRank &+ role
        times[index].busyUntil = end
        if step.isBlocked != isBlocked[index] {
            isBlocked[index] = step.isBlocked
            ranks[rank].blockedCount += step.isBlocked ? 1 : -1
            // Who found room leaves the rest of it to the next one.
            if !step.isBlocked && ranks[rank].blockedCount > 0 { wakeBlockedRoles(rank, at: end) }
        }
        causes?.endStep(at: end, hasPushed: step.hasPushed)
    }

    /// Tells everybody whom a kernel role's step concerns.
    private func spread(_ step: RoleStep, of rank: Int, at now: UInt64) {
        if step.hasPushed {
            if isDirect {
                wakeNIC(rank)
                wakeProxies(rank, at: now, .task)  // a quiet may be answered already
            } else {
                wakeProxies(
                    rank, at: now + profile.ringNanoseconds + profile.proxyPollNanoseconds,
                    .command)
            }
        }
        guard step.localSignalCount > 0 else { return }
        note(step.localSignals.0, at: now)
        if step.localSignalCount > 1 { note(step.localSignals.1, at: now) }
    }

    private func note(_ signal: LocalSignal, at now: UInt64) {
        changedWords.pointee.append(
            Int(signal.rank), first: Int(signal.first), count: Int(signal.count))
        wake(
            Int(signal.rank), roles.subscriber, at: now + profile.observeNanoseconds, .localSignal)
    }

    private func stepSubscriber(_ rank: Int, at now: UInt64) {
        let kernel = kernels[rank]
        var hasWorked = kernel.follow()
        if hasWorked || ranks[rank].needsRescan {
            ranks[rank].needsRescan = false
            changedWords.pointee.removeAll(rank)
            if kernel.rescan() { hasWorked = true }
        }
        while let words = changedWords.pointee.removeFirst(rank) {
            if kernel.observe(words: words) { hasWorked = true }
        }
        if kernel.schedule() { hasWorked = true }
        if hasWorked { trace?.mark(rank, .subscriber, at: now) }
        causes?.endStep(at: now, hasPushed: false)
        wakeProcessors(rank, kernel, at: now)
        if kernel.isDispatcherDue { wake(rank, roles.dispatcher, at: now, .task) }
    }

    private func stepProcessor(_ rank: Int, processor: Int, at now: UInt64) {
        beginDirect(rank, at: now)
        let kernel = kernels[rank]
        let step = kernel.process(processor)
        let role = roles.firstProcessor &+ processor
        isIdle[rank &* roles.perRank &+ role] = kernel.isIdle(processor)
        let cost = costs.nanoseconds(step.work)
        let end = now + cost + directNanoseconds(rank, since: now)
        endStep(rank, role, step, at: end)
        ranks[rank].computeNanoseconds += cost
        spread(step, of: rank, at: now)
        guard step.hasWorked else { return }
        if cost > 0 {
            trace?.record(rank, .processor(processor), step.work, from: now, to: end)
        } else {
            // A task has ended: its results may complete a round, and there may be room for another task.
            wake(rank, roles.subscriber, at: now, .task)
        }
        wake(rank, roles.firstProcessor + processor, at: end, .ownStep)
    }

    private func stepProxy(_ rank: Int, thread: Int, at now: UInt64) {
        let index = rank &* transport.proxyThreads &+ thread
        transport.clocks[index].now = now
        let step: ProxyStep
        if isDirect {
            step =
                transport.directPorts[rank].exclusively {
                    HotPath.step(transport.proxies + index, now: now)
                } ?? ProxyStep()
        } else {
            step = HotPath.step(transport.proxies + index, now: now)
        }
        let end =
            transport.clocks[index].now + UInt64(step.drained) * profile.drainNanoseconds
        times[rank &* roles.perRank &+ roles.firstProxy &+ thread].busyUntil = end
        if let causes {
            causes.endStep(at: end, hasPushed: step.posted > 0)
            causes.endProxyStep(
                of: rank * roles.perRank + roles.firstProxy + thread,
                completed: Int(step.completed))
        }
        traceProxy(index, rank: rank, thread: thread, step: step, from: now, to: end)
        if step.hasFailed { noteFailure(of: index, rank: rank) }
        if step.posted > 0 { wakeNIC(rank) }
        if step.received > 0 {
            ranks[rank].needsRescan = true
            wake(rank, roles.subscriber, at: now + profile.observeNanoseconds, .localSignal)
        }
        if !step.isIdle {
            wake(rank, roles.firstProxy + thread, at: end, .ownStep)
        } else if let visibleAt = transport.proxies[index].transport.nextCompletionAt {
            wake(
                rank, roles.firstProxy + thread, at: visibleAt + profile.proxyPollNanoseconds,
                .completion,
                request: causes?.nextCompletion(
                    of: rank * roles.perRank + roles.firstProxy + thread) ?? -1)
        }
        if step.quieted > 0 { wake(rank, roles.dispatcher, at: end, .quiet) }
        if ranks[rank].blockedCount > 0
            && (step.drained > 0 || step.completed > 0 || step.quieted > 0)
        {
            wakeBlockedRoles(rank, at: end)
        }
    }

    /// Rings have room again.
    ///
    /// Where all wait for one ring, the first one tries, and wakes the next when it got through: a step in vain for each
    /// role and command would make the work of a run grow with the processors.
    private func wakeBlockedRoles(_ rank: Int, at now: UInt64) {
        let first = rank &* roles.perRank
        let shareOneRing = transport.proxyThreads == 1 && !isDirect
        if isBlocked[first &+ roles.dispatcher] {
            wake(rank, roles.dispatcher, at: now, .room)
            if shareOneRing { return }
        }
        for role in roles.firstProcessor..<roles.perRank where isBlocked[first &+ role] {
            wake(rank, role, at: now, .room)
            if shareOneRing { return }
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
        if let due = transport.engines[rank].nextDue { wake(rank, roles.nic, at: due, .task) }
    }

    private func stepNIC(_ rank: Int, at now: UInt64) {
        let engine = transport.engines + rank
        _ = HotPath.step(engine, now: now)
        for index in 0..<engine.pointee.noticeCount {
            let notice = engine.pointee.notices[index]
            switch notice.kind {
            case .signalWords:
                changedWords.pointee.append(
                    Int(notice.rank), first: Int(notice.first), count: Int(notice.count))
                wake(
                    Int(notice.rank), roles.subscriber, at: now + profile.observeNanoseconds,
                    .signal, request: causes?.noteRequest(notice, rank: rank) ?? -1)
            case .completion:
                wake(
                    rank, roles.firstProxy + Int(notice.endpoint),
                    at: notice.time + profile.proxyPollNanoseconds, .completion,
                    request: causes?.noteCompletion(notice, rank: rank) ?? -1)
            case .receive:
                wake(
                    Int(notice.rank), roles.firstProxy, at: now + profile.proxyPollNanoseconds,
                    .signal, request: causes?.noteRequest(notice, rank: rank) ?? -1)
            case .transmitted: trace?.recordWire(rank, notice)
            }
        }
        wakeNIC(rank)
    }

    // MARK: The end

    private func noteFailure(of index: Int, rank: Int) {
        guard let failure = transport.proxies[index].failure,
            !failureLines.contains(where: { $0.hasPrefix("rank \(rank): ") })
        else { return }
        failureLines.append("rank \(rank): \(failure)")
    }

    private func finish() {
        outcome.counters = transport.counters
        let busiest = (0..<transport.ranks).map { ranks[$0].computeNanoseconds }.max() ?? 0
        outcome.computeNanoseconds = busiest / UInt64(max(1, roles.processors))
        if kernels.allSatisfy(\.isDone) { return }
        outcome.failure = describeFailure()
    }

    private func describeFailure() -> RunFailure {
        let gaveUpAt = deadline
        for rank in 0..<transport.ranks where !ranks[rank].isDead {
            for thread in 0..<transport.proxyThreads {
                let index = rank * transport.proxyThreads + thread
                transport.proxies[index].checkDeadlines(now: gaveUpAt)
                noteFailure(of: index, rank: rank)
            }
        }
        var lines = failureLines
        for rank in 0..<transport.ranks where !ranks[rank].isDead && !kernels[rank].isDone {
            if let missing = kernels[rank].missing {
                lines.append(
                    "rank \(rank): waits for the \(missing), stage signal not seen, age \(gaveUpAt / 1_000_000) ms"
                )
            }
        }
        let kills = transport.faults.kills
        for kill in kills where ranks[kill.rank].isDead && !kernels[kill.rank].isDone {
            lines.append("peer \(kill.rank): died before its own tokens were combined")
        }
        let dead = kills.filter { ranks[$0.rank].isDead }.map {
            "rank \($0.rank) died at \($0.at) ns"
        }
        let cause =
            dead.isEmpty
            ? "the layer did not finish within its deadline of \(deadline / 1_000_000) ms (virtual time)"
            : "the layer cannot finish: " + dead.joined(separator: ", ")
        return RunFailure(at: gaveUpAt, cause: cause, lines: lines)
    }
}

/// Numbers of the roles of one rank: dispatcher, subscriber with scheduler, NIC, then proxies, then processors.
struct RoleNumbers {
    let proxies: Int
    let processors: Int
    var dispatcher: Int { 0 }
    var subscriber: Int { 1 }
    var nic: Int { 2 }
    var firstProxy: Int { 3 }
    var firstProcessor: Int { 3 + proxies }
    var perRank: Int { 3 + proxies + processors }
}
