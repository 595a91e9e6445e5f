// Numbered jobs on several threads, whose results one thread takes as if they had run one after the other.

import CPerseusShims
import Glibc
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
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    /// A result came, needs became free, or a worker left.
    private let hasChanged = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var handles: [pthread_t] = []
    // Guarded by `lock`.
    private var nextIndex = 0
    private var isClosed = false
    private var workerCount = 0
    private var runningCount = 0
    private var runningNeed = 0
    /// By index; looked up, never iterated.
    private var results: [Int: Value] = [:]

    public init(_ jobs: Jobs) {
        self.jobs = jobs
        pthread_mutex_init(lock, nil)
        pthread_cond_init(hasChanged, nil)
    }

    deinit {
        pthread_cond_destroy(hasChanged)
        pthread_mutex_destroy(lock)
        hasChanged.deallocate()
        lock.deallocate()
    }

    // MARK: The thread that takes

    /// - Errors: `environment` when the system has no thread to give.
    public func start(threadCount: Int) throws(PerseusError) {
        for _ in 0..<max(1, threadCount) { startWorker() }
        guard !handles.isEmpty else { throw PerseusError(.environment, "cannot start a thread") }
    }

    private func startWorker() {
        locked { workerCount += 1 }
        if let handle = startThread({ self.work() }) {
            handles.append(handle)
        } else {
            locked { workerCount -= 1 }
        }
    }

    /// Waits for the result at `index`; nil when no worker will bring one any more.
    ///
    /// - Parameter tick: called now, and at least once a second while the wait lasts.
    public func take(_ index: Int, tick: () -> Void = {}) -> Value? {
        while true {
            tick()
            let (result, isLast) = locked {
                if results[index] == nil && workerCount > 0 { waitOneSecond() }
                return (results.removeValue(forKey: index), workerCount == 0)
            }
            if let result { return result }
            if isLast { return nil }
        }
    }

    /// No job is handed out any more.
    public func close() {
        locked {
            isClosed = true
            pthread_cond_broadcast(hasChanged)
        }
    }

    /// Waits until the workers have left.
    public func join() {
        for handle in handles { pthread_join(handle, nil) }
        handles = []
    }

    // MARK: Workers

    private func work() {
        while let (index, need) = claim() {
            let result = jobs.run(index)
            locked {
                results[index] = result
                runningCount -= 1
                runningNeed -= need
                if jobs.endsBehind(result) { isClosed = true }
                pthread_cond_broadcast(hasChanged)
            }
        }
        locked {
            workerCount -= 1
            pthread_cond_broadcast(hasChanged)
        }
    }

    /// The next job and its need, as soon as there is room for it; nil when there is none.
    private func claim() -> (index: Int, need: Int)? {
        locked {
            while !isClosed, jobs.mayStart(nextIndex) {
                let need = jobs.need(nextIndex)
                if runningCount == 0 || need <= jobs.budget - runningNeed {
                    nextIndex += 1
                    runningCount += 1
                    runningNeed += need
                    return (nextIndex - 1, need)
                }
                pthread_cond_wait(hasChanged, lock)
            }
            return nil
        }
    }

    /// Until something changes, at most a second; `lock` is held before and after.
    private func waitOneSecond() {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        end.tv_sec += 1
        pthread_cond_timedwait(hasChanged, lock, &end)
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body()
    }
}

/// What a new thread does.
private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// A joinable thread that runs `body`; nil when the system has none to give.
private func startThread(_ body: @escaping @Sendable () -> Void) -> pthread_t? {
    var handle = pthread_t()
    let context = Unmanaged.passRetained(ThreadBody(body))
    let status = pthread_create(
        &handle, nil,
        { context in
            Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, context.toOpaque())
    if status == 0 { return handle }
    context.release()
    return nil
}

/// Calls `body` on this thread; if it crashes, `line` is the last thing that the process says for itself.
public func withCrashNote<Value>(_ line: String, _ body: () -> Value) -> Value {
    "\(line)\n".withCString { note in
        perseus_set_crash_note(note)
        defer { perseus_set_crash_note(nil) }
        return body()
    }
}
