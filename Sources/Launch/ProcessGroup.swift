// The processes of a job as one of them sees them: the rendezvous over TCP, kept open as a lifeline.

import CPerseusShims
import Glibc
import PerseusPrimitives
import PerseusTransport

/// One rank's part in a group of processes.
///
/// A thread of its own keeps the lifeline, and this object, until `leave`: it answers while the rank computes, and
/// notices who is gone.
/// - Threading: as `Rendezvous` says.
public final class ProcessGroup: Rendezvous, @unchecked Sendable {
    public let rank: Int
    public let rankCount: Int
    /// Names the job in memory that its ranks share.
    public let jobFingerprint: UInt64
    private let end: any GroupEnd
    private let deadline: UInt64
    private let interruption: @Sendable () -> Bool
    private let times: LifelineTimes
    private var thread = pthread_t()
    /// A pipe that wakes the thread.
    private let alarm: (read: Int32, write: Int32)
    private let lock = ConditionLock()
    /// Under the lock: steps that wait for the thread, results that wait for the caller, and the lost.
    private var outbox: [Contribution] = []
    private var results: [UInt32: [[UInt8]]] = [:]
    private var storedLosses: [RankLoss] = []
    /// By step: who has not come to it; rank 0 alone knows.
    private var absentRanks: [UInt32: [Int]] = [:]
    private var sequence: UInt32 = 0
    private var hasLeft = false
    /// Words on lines of their own: losses (0), highest step that all have come to (16), 1 to end the thread (32), the
    /// step of `arrive` (48).
    private let words: UnsafeMutablePointer<UInt64>
    private static let lossWord = 0
    private static let stepWord = 16
    private static let stopWord = 32
    private static let arrivedWord = 48

    private init(
        _ launch: LaunchEnvironment, end: any GroupEnd, deadline: UInt64, times: LifelineTimes,
        isInterrupted: @escaping @Sendable () -> Bool
    ) {
        rank = launch.rank
        rankCount = launch.size
        jobFingerprint = launch.token.fingerprint
        self.end = end
        self.deadline = deadline
        self.times = times
        interruption = isInterrupted
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "ProcessGroup: cannot create a pipe")
        for descriptor in ends {
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
        alarm = (ends[0], ends[1])
        words = .allocate(capacity: 64)
        words.initialize(repeating: 0, count: 64)
        startThread()
    }

    deinit {
        close(alarm.read)
        close(alarm.write)
        words.deallocate()
    }

    // MARK: Joining

    /// Meets the other ranks; returns when all are there and agree.
    ///
    /// - Parameters:
    ///   - agreement: what must be the same on all ranks; what differs is refused by name.
    ///   - deadline: nanoseconds that meeting, and every later step, may take.
    /// - Errors: `badInput` when ranks do not agree, `deadline` when some do not come, `environment` when rank 0
    ///   cannot listen.
    public static func join(
        _ launch: LaunchEnvironment, agreement: Agreement, deadline: UInt64,
        isInterrupted: @escaping @Sendable () -> Bool
    ) throws(PerseusError) -> ProcessGroup {
        // Whoever stays silent is reported well within the deadline.
        let times = LifelineTimes(silence: max(300_000_000, deadline / 3))
        let wait = JoinDeadline(total: deadline, isInterrupted: isInterrupted)
        let end: any GroupEnd
        if launch.rank == 0 {
            end = try gatherMembers(launch, agreement, times, wait)
        } else {
            end = try Member.join(
                at: launch.address,
                MemberClaims(
                    rank: launch.rank, size: launch.size, token: launch.token,
                    agreement: agreement), times: times, wait: wait)
        }
        return ProcessGroup(
            launch, end: end, deadline: deadline, times: times, isInterrupted: isInterrupted)
    }

    private static func gatherMembers(
        _ launch: LaunchEnvironment, _ agreement: Agreement, _ times: LifelineTimes,
        _ wait: JoinDeadline
    ) throws(PerseusError) -> Coordinator {
        let listener: Int32
        if let inherited = launch.listener {
            listener = inherited
        } else {
            listener = try launch.address.listen()
        }
        let coordinator = Coordinator(
            listener: listener, size: launch.size, token: launch.token, agreement: agreement,
            times: times, now: monotonicNow())
        while !coordinator.isAdmitted {
            waitForTraffic(coordinator.descriptors, milliseconds: 50)
            coordinator.step(now: monotonicNow())
            if wait.isInterrupted() {
                coordinator.leave(failure: "was interrupted")
                throw PerseusError(.deadline, "interrupted during the rendezvous")
            }
            if !coordinator.isAdmitted && wait.remaining == 0 {
                coordinator.giveUp(address: launch.address.description, after: wait.total)
            }
            if let refusal = coordinator.refusal {
                linger(coordinator, refusal)
                coordinator.leave(failure: refusal.message)
                throw refusal
            }
        }
        return coordinator
    }

    /// Ranks that come a moment later are told too, instead of finding nobody.
    private static func linger(_ coordinator: Coordinator, _ refusal: PerseusError) {
        let time: UInt64 = refusal.kind == .deadline ? 200_000_000 : 1_500_000_000
        let begin = monotonicNow()
        while !coordinator.hasToldEverybody && monotonicNow() &- begin < time {
            waitForTraffic(coordinator.descriptors, milliseconds: 20)
            coordinator.step(now: monotonicNow())
        }
    }

    // MARK: The thread

    private func startThread() {
        let body = Unmanaged.passRetained(LifelineBody { self.keepLifeline() })
        let status = pthread_create(
            &thread, nil,
            { pointer in
                Unmanaged<LifelineBody>.fromOpaque(pointer!).takeRetainedValue().run()
                return nil
            }, body.toOpaque())
        precondition(status == 0, "ProcessGroup: cannot create a thread")
    }

    private func keepLifeline() {
        perseus_name_thread("lifeline")
        let pause = Int(times.heartbeat / 2_000_000)
        while perseus_load_acquire(words + Self.stopWord) == 0 {
            waitForTraffic(end.descriptors + [(alarm.read, false)], milliseconds: max(5, pause))
            var bytes: UInt64 = 0
            while read(alarm.read, &bytes, 8) > 0 {}
            pass()
        }
        pass()
    }

    /// One round: what the caller brings goes out, what came in is filed.
    private func pass() {
        let contributions = lock.locked {
            defer { outbox = [] }
            return outbox
        }
        for contribution in contributions { end.contribute(contribution) }
        end.step(now: monotonicNow())
        let events = end.takeEvents()
        let absent = end.absent
        lock.locked {
            absentRanks = absent
            guard !events.isEmpty else { return }
            for event in events { file(event) }
            lock.broadcast()
        }
    }

    private func file(_ event: GroupEvent) {
        switch event {
        case .result(let sequence, let blobs):
            results[sequence] = blobs
            perseus_store_release(words + Self.stepWord, UInt64(sequence))
        case .loss(let loss):
            storedLosses.append(loss)
            perseus_store_release(words + Self.lossWord, UInt64(storedLosses.count))
        }
    }

    private func wake() {
        // A full pipe wakes as well.
        var byte: UInt8 = 1
        _ = write(alarm.write, &byte, 1)
    }

    // MARK: Steps

    private func contribute(_ bytes: [UInt8], _ mode: StepMode, _ step: String) -> UInt32 {
        let number: UInt32 = lock.locked {
            sequence += 1
            outbox.append(Contribution(sequence: sequence, mode: mode, step: step, bytes: bytes))
            return sequence
        }
        wake()
        return number
    }

    private func result(
        of number: UInt32, step: String
    ) throws(PerseusError) -> [[UInt8]] {
        let begin = monotonicNow()
        while true {
            let (found, lost) = lock.locked {
                if results[number] == nil && storedLosses.isEmpty {
                    lock.wait(nanoseconds: 20_000_000)
                }
                let found = results[number]
                if found != nil { results = results.filter { $0.key > number } }
                return (found, storedLosses.first)
            }
            if let found { return found }
            if let lost {
                throw PerseusError(.deadline, "\(lost); this rank waits at \"\(step)\"")
            }
            if isInterrupted {
                throw PerseusError(.deadline, "interrupted while it waits at \"\(step)\"")
            }
            guard monotonicNow() &- begin <= patience else {
                let absent = lock.locked { absentRanks[number] }.map(rankList)
                throw PerseusError(
                    .deadline,
                    "\(absent ?? "other ranks") did not come to \"\(step)\" within"
                        + " \(LifelineTimes.silence(deadline))", hint: "--deadline allows more")
            }
        }
    }

    /// Rank 0 knows who is missing, and speaks first.
    private var patience: UInt64 { rank == 0 ? deadline : deadline &+ 1_000_000_000 }

    public func exchange(_ blob: [UInt8], step: String) throws(PerseusError) -> [[UInt8]] {
        precondition(blob.count <= exchangeByteLimit, "ProcessGroup: a blob over 64 KiB")
        return try result(of: contribute(blob, .exchange, step), step: step)
    }

    public func barrier(step: String) throws(PerseusError) {
        _ = try result(of: contribute([], .barrier, step), step: step)
    }

    public func gather(_ bytes: [UInt8], step: String) throws(PerseusError) -> [[UInt8]] {
        let all = try result(of: contribute(bytes, .gather, step), step: step)
        return rank == 0 ? all : []
    }

    public func arrive(step: String) {
        perseus_store_release(words + Self.arrivedWord, UInt64(contribute([], .barrier, step)))
    }

    public var haveAllArrived: Bool {
        perseus_load_acquire(words + Self.stepWord)
            >= perseus_load_acquire(words + Self.arrivedWord)
    }

    public var lossCount: Int { Int(perseus_load_acquire(words + Self.lossWord)) }

    public var losses: [RankLoss] { lock.locked { storedLosses } }

    public var isInterrupted: Bool { interruption() }

    // MARK: The end

    /// Says farewell, or why this rank failed; nothing can be asked of the group afterwards. A rank that fails because
    /// another was lost has no news and says farewell.
    public func leave(failure: String?) {
        let isFirst = lock.locked {
            defer { hasLeft = true }
            return !hasLeft
        }
        guard isFirst else { return }
        perseus_store_release(words + Self.stopWord, 1)
        wake()
        pthread_join(thread, nil)
        end.leave(failure: lossCount > 0 ? nil : failure)
    }
}

/// Sleeps until a descriptor is ready or the time is over.
private func waitForTraffic(
    _ descriptors: [(descriptor: Int32, wantsWrite: Bool)], milliseconds: Int
) {
    var entries = descriptors.map { pollfd(descriptor: $0.descriptor, wantsWrite: $0.wantsWrite) }
    poll(&entries, nfds_t(entries.count), Int32(milliseconds))
}

/// What the thread does; a C function pointer cannot carry an object.
private final class LifelineBody {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
}

/// A lock and a condition over it.
final class ConditionLock: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
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

    func locked<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// While locked: until the next broadcast, or for `nanoseconds`.
    func wait(nanoseconds: Int) {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        end.tv_nsec += nanoseconds
        end.tv_sec += end.tv_nsec / 1_000_000_000
        end.tv_nsec %= 1_000_000_000
        pthread_cond_timedwait(condition, mutex, &end)
    }

    func broadcast() { pthread_cond_broadcast(condition) }
}
