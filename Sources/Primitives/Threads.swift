// Threads of the operating system and what they wait with: small, and without Foundation.

import Glibc

/// A thread that runs one closure. Whoever starts it joins it, or says that nobody will.
public struct WorkerThread: @unchecked Sendable {
    private let handle: pthread_t

    /// Starts the thread; nil when the system has none to give.
    public init?(_ body: @escaping () -> Void) {
        var handle = pthread_t()
        let context = Unmanaged.passRetained(ThreadBody(body))
        let status = pthread_create(
            &handle, nil,
            { context in
                Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard status == 0 else {
            context.release()
            return nil
        }
        self.handle = handle
    }

    /// Waits for the end of the closure; once.
    public func join() { pthread_join(handle, nil) }

    /// Nobody will join.
    public func detach() { pthread_detach(handle) }
}

/// What a new thread does; a C function pointer cannot carry a closure.
private final class ThreadBody {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
}

/// A lock and a condition over it.
public final class ConditionLock: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    public init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    public func locked<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// While locked: until the next broadcast.
    public func wait() { pthread_cond_wait(condition, mutex) }

    /// While locked: until the next broadcast, or for `nanoseconds`.
    public func wait(nanoseconds: Int) {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        end.tv_nsec += nanoseconds
        end.tv_sec += end.tv_nsec / 1_000_000_000
        end.tv_nsec %= 1_000_000_000
        pthread_cond_timedwait(condition, mutex, &end)
    }

    public func broadcast() { pthread_cond_broadcast(condition) }
}
