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
    private var thread: WorkerThread?
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

    /// Of an end that has joined; `join` makes one.
    init(
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

    // MARK: The thread

    private func startThread() {
        thread = WorkerThread { self.keepLifeline() }
        precondition(thread != nil, "ProcessGroup: cannot create a thread")
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
        thread?.join()
        end.leave(failure: lossCount > 0 ? nil : failure)
    }
}
