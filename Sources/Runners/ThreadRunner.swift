// Drives the production roles on OS threads and the machine's clock.

import CPerseusShims
import Glibc
import PerseusMegakernel
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC
import PerseusTransport

/// Runs kernels over a transport in real time: those of all ranks, or of one in a job of processes.
///
/// All roles of a rank run on one thread, ranks are dealt out round-robin; with fewer ranks than threads the spare
/// threads take processors of the ranks (unless the kernel posts itself: then who posts is the rank's own thread). A thread that finds nothing to do backs off from pausing to yielding to short
/// sleeps, so that many ranks share few cores politely.
package final class ThreadRunner<K: Kernel>: @unchecked Sendable {
    private let job: TransportJob
    private let kernels: [K]
    private let threadCount: Int
    private let deadline: UInt64
    /// Modelled delays are to be kept exactly: idle threads do not sleep.
    private let isExact: Bool
    /// Slots of ranks that have anything to do.
    private let activeSlots: [Int]
    /// The processes of the other ranks; nil: there are none.
    private let group: (any Rendezvous)?
    private let origin: UInt64?
    private var startedAt: UInt64 = 0
    /// [thread]: written by its thread, read after the join.
    private let reports: UnsafeMutablePointer<ThreadReport>
    /// Words 0: ranks that are done (atomic); 16: 1 when everybody shall stop (atomic); 24: 1 when the group knows that
    /// this process is done (atomic).
    private let shared: UnsafeMutablePointer<UInt64>
    private static var stopWord: Int { 16 }
    private static var arrivedWord: Int { 24 }

    private struct ThreadReport {
        var endedAt: UInt64 = 0
        var stepCount = 0
        var measuredFrom: [Int: UInt64] = [:]
        var failures: [(rank: Int, operation: StuckOperation)] = []
        /// Busy time of processors, by rank, nanoseconds.
        var computeNanoseconds: [Int: UInt64] = [:]
    }

    /// What one thread steps.
    private struct Share {
        var slots: [Int] = []
        var processors: [(slot: Int, index: Int)] = []
    }

    /// - Parameters:
    ///   - kernels: [slot]
    ///   - deadline: nanoseconds of real time after which the run is given up.
    ///   - group: runs the other ranks.
    ///   - origin: zero of the run's clock, where others count from it too.
    package init(
        transport: TransportJob, kernels: [K], threadCount: Int, deadline: UInt64, isExact: Bool,
        activeRanks: [Int], group: (any Rendezvous)? = nil, origin: UInt64? = nil
    ) {
        self.isExact = isExact
        activeSlots = activeRanks
        self.group = group
        self.origin = origin
        job = transport
        self.kernels = kernels
        self.threadCount = max(1, threadCount)
        self.deadline = deadline
        reports = .allocate(capacity: self.threadCount)
        reports.initialize(repeating: ThreadReport(), count: self.threadCount)
        shared = .allocate(capacity: 32)
        shared.initialize(repeating: 0, count: 32)
    }

    deinit {
        reports.deinitialize(count: threadCount)
        reports.deallocate()
        shared.deallocate()
    }

    /// Runs to the end, to a failure, or to the deadline.
    package func run() -> RunOutcome {
        startedAt = origin ?? perseus_monotonic_nanoseconds()
        let threads = (1..<max(1, threadCount)).map { thread in
            let started = WorkerThread { self.work(thread: thread) }
            precondition(started != nil, "ThreadRunner: cannot create a thread")
            return started!
        }
        work(thread: 0)
        for thread in threads { thread.join() }
        return summarize()
    }

    /// Ranks and processors of one thread. Processor 0 of a rank runs beside its other roles.
    private func share(of thread: Int) -> Share {
        var share = Share()
        for (index, slot) in activeSlots.enumerated() where index % threadCount == thread {
            share.slots.append(slot)
            share.processors.append((slot, 0))
        }
        let slots = job.hosted.count
        guard activeSlots.count == slots, slots < threadCount else { return share }
        var spare = slots
        for slot in 0..<slots {
            for index in 1..<max(1, kernels[slot].processorCount) {
                if slots + (spare - slots) % (threadCount - slots) == thread {
                    share.processors.append((slot, index))
                }
                spare += 1
            }
        }
        return share
    }

    private var now: UInt64 { perseus_monotonic_nanoseconds() &- startedAt }

    /// One thread's life: step everything in its share until all ranks are done or the run is given up.
    private func work(thread: Int) {
        let share = share(of: thread)
        var idlePasses = 0
        var report = ThreadReport()
        var isDone = Array(repeating: false, count: share.slots.count)
        var watch = GroupWatch(group, job)
        while perseus_load_acquire(shared + Self.stopWord) == 0 {
            let time = now
            if time > deadline || isOver || watch.hasGivenUp(at: time) { break }
            applyKills(at: time)
            var hasWorked = false
            for (index, slot) in share.slots.enumerated() where !isDead(slot) {
                if stepRank(slot, report: &report) { hasWorked = true }
                if !isDone[index] && kernels[slot].isDone {
                    isDone[index] = true
                    report.endedAt = now
                    _ = perseus_fetch_add_acquire_release(shared, 1)
                }
            }
            for (slot, index) in share.processors where !isDead(slot) {
                if stepProcessor(slot, index, report: &report) { hasWorked = true }
            }
            idlePasses = hasWorked ? 0 : idlePasses + 1
            backOff(idlePasses)
        }
        perseus_store_release(shared + Self.stopWord, 1)
        reports[thread] = report
    }

    private func isDead(_ slot: Int) -> Bool { job.fabric.isDead(job.hosted[slot]) }

    /// All ranks are done, here and in the other processes: until then these may need this rank's proxies and NIC.
    private var isOver: Bool {
        guard perseus_load_acquire(shared) == UInt64(activeSlots.count) else { return false }
        guard let group else { return true }
        if perseus_compare_exchange_acquire_release(shared + Self.arrivedWord, 0, 1) {
            group.arrive(step: "end of the layer")
            perseus_store_release(shared + Self.arrivedWord, 2)
        }
        return perseus_load_acquire(shared + Self.arrivedWord) == 2 && group.haveAllArrived
    }

    /// A rank of the plan dies as its NIC sees it; one that is a process dies as a process.
    private func applyKills(at time: UInt64) {
        for kill in job.faults.kills where kill.at <= time {
            if group == nil {
                if !job.fabric.isDead(kill.rank) { job.fabric.kill(rank: kill.rank) }
            } else if job.hosted.contains(kill.rank) {
                Glibc.kill(getpid(), SIGKILL)
            }
        }
    }

    private func backOff(_ idlePasses: Int) {
        switch idlePasses {
        case 0: break
        case 1..<64: perseus_pause()
        case _ where isExact: perseus_pause()
        case 64..<1024: perseus_yield()
        default: perseus_sleep_nanoseconds(20_000)
        }
    }

    private func stepRank(_ slot: Int, report: inout ThreadReport) -> Bool {
        var hasWorked = false
        let kernel = kernels[slot]
        if !kernel.isDone {
            if isPosting(slot) { return true }
            setDirectClock(slot)
            let time = now
            let step = kernel.dispatch()
            if step.hasWorked { hasWorked = true }
            if step.beginsMeasurement { report.measuredFrom[job.hosted[slot]] = time }
            if kernel.observeAndSchedule() { hasWorked = true }
        }
        for thread in 0..<job.proxyThreads where stepProxy(slot, thread, report: &report) {
            hasWorked = true
        }
        if HotPath.step(job.engines + slot, now: now) { hasWorked = true }
        report.stepCount += 1
        return hasWorked
    }

    /// A kernel that posts itself was charged for it, and that time has not passed: only its NIC goes on.
    private func isPosting(_ slot: Int) -> Bool {
        guard isExact, !job.directPorts.isEmpty, job.clocks[slot].now > now else { return false }
        _ = HotPath.step(job.engines + slot, now: now)
        return true
    }

    private func setDirectClock(_ slot: Int) {
        if !job.directPorts.isEmpty { job.clocks[slot].now = now }
    }

    /// The NIC's end of a queue that the kernel fills on a device: in the place of the rank's proxies.
    private func stepSendQueue(
        _ queue: UnsafeMutablePointer<DirectQueue<SoftNICEndpoint>>, _ slot: Int,
        report: inout ThreadReport
    ) -> Bool {
        let time = now
        job.clocks[slot * job.proxyThreads].now = time
        let step = HotPath.step(queue, now: time)
        if step.hasFailed, let failure = queue.pointee.failure {
            report.failures.append((job.hosted[slot], failure))
            perseus_store_release(shared + Self.stopWord, 1)
        }
        return !step.isIdle
    }

    private func stepProxy(_ slot: Int, _ thread: Int, report: inout ThreadReport) -> Bool {
        if let queues = job.sendQueues {
            return stepSendQueue(queues + slot, slot, report: &report)
        }
        let index = slot * job.proxyThreads + thread
        let time = now
        let step: ProxyStep
        if job.directPorts.isEmpty {
            // A proxy that was charged for posting is busy until that time has passed.
            if job.clocks[index].now > time { return true }
            job.clocks[index].now = time
            step = HotPath.step(job.proxies + index, now: time)
        } else {
            let port = job.directPorts[slot]
            step =
                port.exclusively {
                    job.clocks[index].now = max(time, job.clocks[index].now)
                    return HotPath.step(job.proxies + index, now: time)
                } ?? ProxyStep()
        }
        if step.hasFailed, let failure = job.proxies[index].failure {
            report.failures.append((job.hosted[slot], failure))
            perseus_store_release(shared + Self.stopWord, 1)
        }
        return !step.isIdle
    }

    private func stepProcessor(_ slot: Int, _ index: Int, report: inout ThreadReport) -> Bool {
        setDirectClock(slot)
        let begin = perseus_monotonic_nanoseconds()
        let step = kernels[slot].process(index)
        guard step.hasWorked else { return false }
        report.computeNanoseconds[job.hosted[slot], default: 0] +=
            perseus_monotonic_nanoseconds() &- begin
        return true
    }

    // MARK: The end

    private func summarize() -> RunOutcome {
        var outcome = RunOutcome()
        outcome.counters = job.counters
        var compute = Array(repeating: UInt64(0), count: job.ranks)
        var failures: [String] = []
        for thread in 0..<threadCount {
            outcome.layerNanoseconds = max(outcome.layerNanoseconds, reports[thread].endedAt)
            outcome.stepCount += reports[thread].stepCount
            outcome.measuredFrom.merge(reports[thread].measuredFrom) { first, _ in first }
            for (rank, nanoseconds) in reports[thread].computeNanoseconds {
                compute[rank] += nanoseconds
            }
            failures += reports[thread].failures.map { "rank \($0.rank): \($0.operation)" }
        }
        outcome.computeNanoseconds =
            (compute.max() ?? 0) / UInt64(max(1, kernels[0].processorCount))
        let isLost = group.map { $0.lossCount > 0 || !$0.haveAllArrived } ?? false
        if isLost || !kernels.allSatisfy(\.isDone) {
            outcome.failure = describe(failures.sorted())
        }
        return outcome
    }

    private func describe(_ failures: [String]) -> RunFailure {
        let time = now
        var lines = failures
        if let queues = job.sendQueues, failures.isEmpty {
            for (slot, rank) in job.hosted.enumerated() {
                guard let request = queues[slot].oldestRequest(now: time) else { continue }
                lines.append("rank \(rank): \(request)")
            }
        }
        let lost = Set((0..<job.ranks).filter { job.fabric.isDead($0) })
        for (slot, rank) in job.hosted.enumerated() where !job.fabric.isDead(rank) {
            let age = "age \(time / 1_000_000) ms"
            if kernels[slot].isDone {
                guard group != nil else { continue }
                lines.append(
                    "rank \(rank): done, waits for the end of the layer on the others, \(age)")
            } else if let missing = kernels[slot].missing(from: lost) {
                lines.append(
                    "rank \(rank): waits for the \(missing), stage signal not seen, \(age)")
            }
        }
        return RunFailure(at: time, cause: cause(&lines), lines: lines)
    }

    private func cause(_ lines: inout [String]) -> String {
        if let group {
            if group.isInterrupted { return "interrupted" }
            let losses = group.losses
            if !losses.isEmpty {
                return "the layer cannot finish: "
                    + losses.map(\.description).joined(separator: "; ")
            }
        }
        let dead = job.hosted.indices.filter(isDead)
        for slot in dead where !kernels[slot].isDone {
            lines.append("peer \(job.hosted[slot]): died before its own tokens were combined")
        }
        return dead.isEmpty
            ? "the layer did not finish within its deadline of \(deadline / 1_000_000) ms"
            : "the layer cannot finish: "
                + dead.map { "rank \(job.hosted[$0]) died" }.joined(separator: ", ")
    }
}

/// What one thread of a runner knows of the other processes.
private struct GroupWatch {
    private let group: (any Rendezvous)?
    private let fabric: SoftFabric
    private var seenLossCount = 0
    private var lostAt: UInt64?

    /// After a loss: proxies get this long to name the operation that it leaves unfinished.
    private static let grace: UInt64 = 250_000_000

    init(_ group: (any Rendezvous)?, _ job: TransportJob) {
        self.group = group
        fabric = job.fabric
    }

    /// Marks lost ranks dead, as their peers' NICs see it; true when waiting any longer helps nobody.
    mutating func hasGivenUp(at time: UInt64) -> Bool {
        guard let group else { return false }
        if group.isInterrupted { return true }
        if group.lossCount > seenLossCount {
            let losses = group.losses
            for loss in losses where !fabric.isDead(loss.rank) { fabric.kill(rank: loss.rank) }
            seenLossCount = losses.count
            lostAt = lostAt ?? time
        }
        return lostAt.map { time &- $0 > Self.grace && time > $0 } ?? false
    }
}
