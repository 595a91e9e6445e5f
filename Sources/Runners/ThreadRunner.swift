// Drives the production roles on OS threads and the machine's clock.

import CPerseusShims
import Glibc
import PerseusMegakernel
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC

/// Runs kernels over a transport in real time.
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
    /// Ranks that have anything to do.
    private let activeRanks: [Int]
    private var startedAt: UInt64 = 0
    /// [thread]: written by its thread, read after the join.
    private let reports: UnsafeMutablePointer<ThreadReport>
    /// Words 0: ranks that are done (atomic); 16: 1 when everybody shall stop (atomic).
    private let shared: UnsafeMutablePointer<UInt64>
    private static var stopWord: Int { 16 }

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
        var ranks: [Int] = []
        var processors: [(rank: Int, index: Int)] = []
    }

    /// - Parameter deadline: nanoseconds of real time after which the run is given up.
    package init(
        transport: TransportJob, kernels: [K], threadCount: Int, deadline: UInt64, isExact: Bool,
        activeRanks: [Int]
    ) {
        self.isExact = isExact
        self.activeRanks = activeRanks
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
        startedAt = perseus_monotonic_nanoseconds()
        var threads: [pthread_t] = []
        for thread in 1..<max(1, threadCount) {
            let body = Unmanaged.passRetained(ThreadBody { self.work(thread: thread) })
            var handle = pthread_t()
            let status = pthread_create(
                &handle, nil,
                { pointer in
                    Unmanaged<ThreadBody>.fromOpaque(pointer!).takeRetainedValue().run()
                    return nil
                }, body.toOpaque())
            precondition(status == 0, "ThreadRunner: cannot create a thread")
            threads.append(handle)
        }
        work(thread: 0)
        for handle in threads { pthread_join(handle, nil) }
        return summarize()
    }

    /// Ranks and processors of one thread. Processor 0 of a rank runs beside its other roles.
    private func share(of thread: Int) -> Share {
        var share = Share()
        for (index, rank) in activeRanks.enumerated() where index % threadCount == thread {
            share.ranks.append(rank)
            share.processors.append((rank, 0))
        }
        guard activeRanks.count == job.ranks, job.ranks < threadCount else { return share }
        var spare = job.ranks
        for rank in 0..<job.ranks {
            for index in 1..<max(1, kernels[rank].processorCount) {
                if job.ranks + (spare - job.ranks) % (threadCount - job.ranks) == thread {
                    share.processors.append((rank, index))
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
        var isDone = Array(repeating: false, count: share.ranks.count)
        let kills = job.faults.kills
        while perseus_load_acquire(shared + Self.stopWord) == 0 {
            let time = now
            if time > deadline || perseus_load_acquire(shared) == UInt64(activeRanks.count) {
                break
            }
            for kill in kills where kill.at <= time && !job.fabric.isDead(kill.rank) {
                job.fabric.kill(rank: kill.rank)
            }
            var hasWorked = false
            for (index, rank) in share.ranks.enumerated() where !job.fabric.isDead(rank) {
                if stepRank(rank, report: &report) { hasWorked = true }
                if !isDone[index] && kernels[rank].isDone {
                    isDone[index] = true
                    report.endedAt = now
                    _ = perseus_fetch_add_acquire_release(shared, 1)
                }
            }
            for (rank, index) in share.processors where !job.fabric.isDead(rank) {
                if stepProcessor(rank, index, report: &report) { hasWorked = true }
            }
            idlePasses = hasWorked ? 0 : idlePasses + 1
            backOff(idlePasses)
        }
        perseus_store_release(shared + Self.stopWord, 1)
        reports[thread] = report
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

    private func stepRank(_ rank: Int, report: inout ThreadReport) -> Bool {
        var hasWorked = false
        let kernel = kernels[rank]
        if !kernel.isDone {
            if isPosting(rank) { return true }
            setDirectClock(rank)
            let time = now
            let step = kernel.dispatch()
            if step.hasWorked { hasWorked = true }
            if step.beginsMeasurement { report.measuredFrom[rank] = time }
            if kernel.observeAndSchedule() { hasWorked = true }
        }
        for thread in 0..<job.proxyThreads where stepProxy(rank, thread, report: &report) {
            hasWorked = true
        }
        if HotPath.step(job.engines + rank, now: now) { hasWorked = true }
        report.stepCount += 1
        return hasWorked
    }

    /// A kernel that posts itself was charged for it, and that time has not passed: only its NIC goes on.
    private func isPosting(_ rank: Int) -> Bool {
        guard isExact, !job.directPorts.isEmpty, job.clocks[rank].now > now else { return false }
        _ = HotPath.step(job.engines + rank, now: now)
        return true
    }

    private func setDirectClock(_ rank: Int) {
        if !job.directPorts.isEmpty { job.clocks[rank].now = now }
    }

    /// The NIC's end of a queue that the kernel fills on a device: in the place of the rank's proxies.
    private func stepSendQueue(
        _ queue: UnsafeMutablePointer<DirectQueue<SoftNICEndpoint>>, _ rank: Int,
        report: inout ThreadReport
    ) -> Bool {
        let time = now
        job.clocks[rank * job.proxyThreads].now = time
        let step = HotPath.step(queue, now: time)
        if step.hasFailed, let failure = queue.pointee.failure {
            report.failures.append((rank, failure))
            perseus_store_release(shared + Self.stopWord, 1)
        }
        return !step.isIdle
    }

    private func stepProxy(_ rank: Int, _ thread: Int, report: inout ThreadReport) -> Bool {
        if let queues = job.sendQueues {
            return stepSendQueue(queues + rank, rank, report: &report)
        }
        let index = rank * job.proxyThreads + thread
        let time = now
        let step: ProxyStep
        if job.directPorts.isEmpty {
            // A proxy that was charged for posting is busy until that time has passed.
            if job.clocks[index].now > time { return true }
            job.clocks[index].now = time
            step = HotPath.step(job.proxies + index, now: time)
        } else {
            let port = job.directPorts[rank]
            step =
                port.exclusively {
                    job.clocks[index].now = max(time, job.clocks[index].now)
                    return HotPath.step(job.proxies + index, now: time)
                } ?? ProxyStep()
        }
        if step.hasFailed, let failure = job.proxies[index].failure {
            report.failures.append((rank, failure))
            perseus_store_release(shared + Self.stopWord, 1)
        }
        return !step.isIdle
    }

    private func stepProcessor(_ rank: Int, _ index: Int, report: inout ThreadReport) -> Bool {
        setDirectClock(rank)
        let begin = perseus_monotonic_nanoseconds()
        let step = kernels[rank].process(index)
        guard step.hasWorked else { return false }
        report.computeNanoseconds[rank, default: 0] += perseus_monotonic_nanoseconds() &- begin
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
        if !kernels.allSatisfy(\.isDone) { outcome.failure = describe(failures.sorted()) }
        return outcome
    }

    private func describe(_ failures: [String]) -> RunFailure {
        let time = now
        var lines = failures
        if let queues = job.sendQueues, failures.isEmpty {
            for rank in 0..<job.ranks {
                guard let request = queues[rank].oldestRequest(now: time) else { continue }
                lines.append("rank \(rank): \(request)")
            }
        }
        for rank in 0..<job.ranks where !job.fabric.isDead(rank) && !kernels[rank].isDone {
            if let missing = kernels[rank].missing {
                lines.append(
                    "rank \(rank): waits for the \(missing), stage signal not seen, age \(time / 1_000_000) ms"
                )
            }
        }
        let dead = (0..<job.ranks).filter { job.fabric.isDead($0) }
        for rank in dead where !kernels[rank].isDone {
            lines.append("peer \(rank): died before its own tokens were combined")
        }
        let cause =
            dead.isEmpty
            ? "the layer did not finish within its deadline of \(deadline / 1_000_000) ms"
            : "the layer cannot finish: " + dead.map { "rank \($0) died" }.joined(separator: ", ")
        return RunFailure(at: time, cause: cause, lines: lines)
    }
}

/// What a new thread does; a C function pointer cannot carry a generic runner.
private final class ThreadBody {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
}
