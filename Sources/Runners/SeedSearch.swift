// Consecutive seeds on several threads, reported as one thread would report them.

import CPerseusShims
import Glibc
import PerseusPrimitives

/// Runs the scenarios of `firstSeed`, `firstSeed` + 1, … until `count` of them ran, the time is over, or one failed.
///
/// Seeds are handed out in order and every one that was handed out is finished, so what ran is a range without gaps.
/// Results are released in the order of the seeds: what is reported depends on the range alone, and on no thread.
/// A scenario that crashes ends the process; the standard error has its replay line.
public struct SeedSearch: Sendable {
    public var firstSeed: UInt64
    /// Scenarios at most; nil: no limit.
    public var count: Int?
    /// Real time after which no further scenario is started; nil: no limit. The first scenario always runs.
    public var limitNanoseconds: UInt64?
    public var threadCount: Int
    /// Ends behind the failure with the lowest seed.
    public var stopsAtFirstFailure = false

    public init(firstSeed: UInt64, count: Int?, limitNanoseconds: UInt64? = nil, threadCount: Int) {
        self.firstSeed = firstSeed
        self.count = count
        self.limitNanoseconds = limitNanoseconds
        self.threadCount = threadCount
    }

    public struct Failure: Sendable, Equatable {
        public let seed: UInt64
        public let problem: String
    }

    /// What the seeds from the first on, `ranCount` of them, came to.
    public struct Outcome: Sendable, Equatable {
        public var ranCount = 0
        public var checkedSignals = 0
        /// In the order of their seeds.
        public var failures: [Failure] = []
        public var passedCount: Int { ranCount - failures.count }
    }

    /// Runs the search.
    ///
    /// - Parameters:
    ///   - scenario: what a seed stands for, called on several threads at once.
    ///   - now: nanoseconds of a clock that does not go back, called on several threads at once.
    ///   - report: called on this thread after every seed, in order, with everything so far and with the seed's
    ///     failure: as soon as the seeds before it are done.
    /// - Throws: what a scenario throws, with the line that replays it; that of the lowest seed.
    public func run(
        scenario: @escaping @Sendable (UInt64) throws -> SeedScenario.Verdict = {
            try SeedScenario(seed: $0).run()
        },
        now: @escaping @Sendable () -> UInt64 = { perseus_monotonic_nanoseconds() },
        report: (Outcome, Failure?) throws -> Void
    ) throws -> Outcome {
        let queue = SeedQueue(self, scenario: scenario, now: now)
        let handles = (0..<max(1, threadCount)).compactMap { _ in queue.startWorker() }
        guard !handles.isEmpty else { throw PerseusError(.environment, "cannot start a thread") }
        defer {
            queue.close()
            for handle in handles { pthread_join(handle, nil) }
        }
        var outcome = Outcome()
        while let result = queue.take(outcome.ranCount) {
            let seed = firstSeed &+ UInt64(outcome.ranCount)
            let verdict = try verdict(result, seed)
            outcome.ranCount += 1
            outcome.checkedSignals += verdict.checkedSignals
            let failure = verdict.problem.map { Failure(seed: seed, problem: $0) }
            if let failure { outcome.failures.append(failure) }
            try report(outcome, failure)
            if failure != nil && stopsAtFirstFailure { break }
        }
        return outcome
    }

    private func verdict(
        _ result: Result<SeedScenario.Verdict, any Error>, _ seed: UInt64
    ) throws -> SeedScenario.Verdict {
        do {
            return try result.get()
        } catch {
            let kind = (error as? PerseusError)?.kind ?? .environment
            throw PerseusError(kind, "\(error); \(SeedScenario.replayLine(seed: seed))")
        }
    }
}

/// Hands seeds to workers and takes their results; every method may be called from every thread.
private final class SeedQueue: @unchecked Sendable {
    typealias Result = Swift.Result<SeedScenario.Verdict, any Error>

    private let search: SeedSearch
    private let scenario: @Sendable (UInt64) throws -> SeedScenario.Verdict
    private let now: @Sendable () -> UInt64
    private let deadline: UInt64
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    /// A result came, or a worker left.
    private let hasChanged = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    // Guarded by `lock`.
    private var nextIndex = 0
    private var isClosed = false
    private var workerCount = 0
    /// By index; looked up, never iterated.
    private var results: [Int: Result] = [:]

    init(
        _ search: SeedSearch, scenario: @escaping @Sendable (UInt64) throws -> SeedScenario.Verdict,
        now: @escaping @Sendable () -> UInt64
    ) {
        self.search = search
        self.scenario = scenario
        self.now = now
        deadline =
            search.limitNanoseconds.map { limit in
                let (sum, isOver) = now().addingReportingOverflow(limit)
                return isOver ? .max : sum
            } ?? .max
        pthread_mutex_init(lock, nil)
        pthread_cond_init(hasChanged, nil)
    }

    deinit {
        pthread_cond_destroy(hasChanged)
        pthread_mutex_destroy(lock)
        hasChanged.deallocate()
        lock.deallocate()
    }

    // MARK: The thread that reports

    /// A joinable thread that works until nothing is left; nil when the system has none to give.
    func startWorker() -> pthread_t? {
        locked { workerCount += 1 }
        var handle = pthread_t()
        let context = Unmanaged.passRetained(self)
        let status = pthread_create(
            &handle, nil,
            { context in
                Unmanaged<SeedQueue>.fromOpaque(context!).takeRetainedValue().work()
                return nil
            }, context.toOpaque())
        if status == 0 { return handle }
        context.release()
        locked { workerCount -= 1 }
        return nil
    }

    /// Waits for the result at `index`; nil when no worker will bring one any more.
    func take(_ index: Int) -> Result? {
        locked {
            while results[index] == nil && workerCount > 0 { pthread_cond_wait(hasChanged, lock) }
            return results.removeValue(forKey: index)
        }
    }

    /// No seed is handed out any more.
    func close() { locked { isClosed = true } }

    // MARK: Workers

    private func work() {
        while let index = claim() {
            let seed = search.firstSeed &+ UInt64(index)
            let result = withCrashNote(SeedScenario.replayLine(seed: seed)) {
                Result { try scenario(seed) }
            }
            locked {
                results[index] = result
                if search.endsBehind(result) { isClosed = true }
                pthread_cond_signal(hasChanged)
            }
        }
        locked {
            workerCount -= 1
            pthread_cond_signal(hasChanged)
        }
    }

    /// Calls `body`; if it crashes, `line` is the last thing that the process says for itself.
    private func withCrashNote(_ line: String, _ body: () -> Result) -> Result {
        "crashed; \(line)\n".withCString { note in
            perseus_set_crash_note(note)
            defer { perseus_set_crash_note(nil) }
            return body()
        }
    }

    /// The next seed's index; nil when there is none, or no time for it. The first one of all is always given out.
    private func claim() -> Int? {
        locked {
            let hasTime = nextIndex == 0 || now() < deadline
            guard !isClosed, hasTime, nextIndex < search.count ?? .max else { return nil }
            nextIndex += 1
            return nextIndex - 1
        }
    }

    private func locked<Value>(_ body: () -> Value) -> Value {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body()
    }
}

extension SeedSearch {
    /// Whether nothing behind `result` will be reported.
    fileprivate func endsBehind(_ result: Result<SeedScenario.Verdict, any Error>) -> Bool {
        switch result {
        case .success(let verdict): stopsAtFirstFailure && verdict.problem != nil
        case .failure: true
        }
    }
}
