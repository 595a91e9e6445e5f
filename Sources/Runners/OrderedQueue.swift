// Numbered jobs on several threads, whose results one thread takes as if they had run one after the other.

import CPerseusShims
import PerseusPrimitives

/// Hands out the jobs 0, 1, 2, … in order to worker threads and keeps each result until it is taken.
///
/// Every job that was handed out is finished, so what ran is a range without gaps.
/// - Threading: one thread starts the workers, takes the results and joins; it closes before it joins.
public final class OrderedQueue<Value: Sendable>: @unchecked Sendable {
    /// What the jobs are; all of it is called by the workers.
    public struct Jobs: Sendable {
        /// Whether the job exists and may start now; when it may not, none behind it is asked for. Called in order,
        /// one call at a time.
        public var mayStart: @Sendable (Int) -> Bool
        /// What the job takes of `budget` while it runs.
        public var need: @Sendable (Int) -> Int = { _ in 0 }
        /// Jobs start while their needs fit into it; one alone always starts.
        public var budget = Int.max
        /// Called on several threads at once.
        public var run: @Sendable (Int) -> Value
        /// Whether no job is to be started behind this result.
        public var endsBehind: @Sendable (Value) -> Bool

        public init(
            mayStart: @escaping @Sendable (Int) -> Bool, run: @escaping @Sendable (Int) -> Value,
            endsBehind: @escaping @Sendable (Value) -> Bool
        ) {
            self.mayStart = mayStart
            self.run = run
            self.endsBehind = endsBehind
        }
    }

    private let jobs: Jobs
    /// Its condition: a result came, needs became free, or a worker left.
    private let lock = ConditionLock()
    private var threads: [WorkerThread] = []
    // Guarded by `lock`.
    private var nextIndex = 0
    private var isClosed = false
    private var workerCount = 0
    private var runningCount = 0
    private var runningNeed = 0
    /// By index; looked up, never iterated.
    private var results: [Int: Value] = [:]

    public init(_ jobs: Jobs) { self.jobs = jobs }

    // MARK: The thread that takes

    /// - Errors: `environment` when the system has no thread to give.
    public func start(threadCount: Int) throws(PerseusError) {
        for _ in 0..<max(1, threadCount) { startWorker() }
        guard !threads.isEmpty else { throw PerseusError(.environment, "cannot start a thread") }
    }

    private func startWorker() {
        lock.locked { workerCount += 1 }
        if let thread = WorkerThread({ self.work() }) {
            threads.append(thread)
        } else {
            lock.locked { workerCount -= 1 }
        }
    }

    /// Waits for the result at `index`; nil when no worker will bring one any more.
    ///
    /// - Parameter tick: called now, and at least once a second while the wait lasts.
    public func take(_ index: Int, tick: () -> Void = {}) -> Value? {
        while true {
            tick()
            let (result, isLast) = lock.locked {
                if results[index] == nil && workerCount > 0 {
                    lock.wait(nanoseconds: 1_000_000_000)
                }
                return (results.removeValue(forKey: index), workerCount == 0)
            }
            if let result { return result }
            if isLast { return nil }
        }
    }

    /// No job is handed out any more.
    public func close() {
        lock.locked {
            isClosed = true
            lock.broadcast()
        }
    }

    /// Waits until the workers have left.
    public func join() {
        for thread in threads { thread.join() }
        threads = []
    }

    // MARK: Workers

    private func work() {
        while let (index, need) = claim() {
            let result = jobs.run(index)
            lock.locked {
                results[index] = result
                runningCount -= 1
                runningNeed -= need
                if jobs.endsBehind(result) { isClosed = true }
                lock.broadcast()
            }
        }
        lock.locked {
            workerCount -= 1
            lock.broadcast()
        }
    }

    /// The next job and its need, as soon as there is room for it; nil when there is none.
    private func claim() -> (index: Int, need: Int)? {
        lock.locked {
            while !isClosed, jobs.mayStart(nextIndex) {
                let need = jobs.need(nextIndex)
                if runningCount == 0 || need <= jobs.budget - runningNeed {
                    nextIndex += 1
                    runningCount += 1
                    runningNeed += need
                    return (nextIndex - 1, need)
                }
                lock.wait()
            }
            return nil
        }
    }
}

/// Calls `body` on this thread; if it crashes, `line` is the last thing that the process says for itself.
public func withCrashNote<Value>(_ line: String, _ body: () -> Value) -> Value {
    "\(line)\n".withCString { note in
        perseus_set_crash_note(note)
        defer { perseus_set_crash_note(nil) }
        return body()
    }
}
