// The CPU's half of `bench ring --device cuda`: pinned threads that empty rings and check sums.

import CPerseusABI
import CPerseusShims
import Foundation
import PerseusCommandRing
import PerseusProxy
import PerseusTransport

/// What the consumer threads do with a command.
enum DeviceRingConsumer: String {
    /// The production drain: decode, copy out, pop.
    case decode = "decode only"
    /// The production proxy loop on a NIC that completes at once.
    case order = "order and post"
}

/// What one consumer thread, or all of them, took out.
struct DrainOutcome {
    var commandCount = 0
    /// Of the words that came out: all slots for `decode`, what was posted for `order`.
    var sum: UInt64 = 0
    /// Puts whose payload was not there yet.
    var missingPayloadCount = 0
    /// Monotonic nanoseconds of the first and the last command.
    var first = UInt64.max
    var last: UInt64 = 0

    static func += (all: inout DrainOutcome, one: DrainOutcome) {
        all.commandCount += one.commandCount
        all.sum &+= one.sum
        all.missingPayloadCount += one.missingPayloadCount
        all.first = min(all.first, one.first)
        all.last = max(all.last, one.last)
    }
}

/// What one thread has to do.
struct DrainJob: @unchecked Sendable {
    var rings: [CommandRing]
    /// Commands after which the thread ends.
    var goal: Int
    /// [put] pairs of words that must be visible before the put's command, or nil.
    var payload: UnsafePointer<UInt64>?
    /// Not 0 when the threads shall give up.
    var stop: UnsafeMutablePointer<UInt64>
    /// Counts the threads that are ready.
    var ready: UnsafeMutablePointer<UInt64>
    /// Monotonic nanoseconds after which the thread gives up.
    var deadline: UInt64

    /// Whether a thread that found nothing should end; asks the clock now and then.
    @inline(__always)
    func isOver(_ idleRounds: inout Int) -> Bool {
        idleRounds &+= 1
        perseus_pause()
        guard idleRounds & 1023 == 0 else { return false }
        return perseus_load_relaxed(stop) != 0 || perseus_monotonic_nanoseconds() > deadline
    }
}

/// Threads that run while a kernel does.
final class DeviceRingThreads {
    private let group = DispatchGroup()
    private let flags: UnsafeMutablePointer<UInt64>
    private let outcomes: UnsafeMutablePointer<DrainOutcome>
    private let count: Int

    /// Starts a thread for each job on cores 1, 2, ... and returns when all of them poll.
    ///
    /// - Parameter assign: rings, goal and payload of each thread.
    init(
        _ consumer: DeviceRingConsumer, _ assignments: [(rings: [CommandRing], goal: Int)],
        payload: UnsafePointer<UInt64>?, deadline: UInt64
    ) {
        count = assignments.count
        // Two words on lines of their own.
        flags = .allocate(capacity: 32)
        flags.initialize(repeating: 0, count: 32)
        outcomes = .allocate(capacity: count)
        outcomes.initialize(repeating: DrainOutcome(), count: count)
        for (index, assignment) in assignments.enumerated() {
            let job = DrainJob(
                rings: assignment.rings, goal: assignment.goal, payload: payload, stop: flags,
                ready: flags + 16, deadline: deadline)
            let core = perseus_usable_core(
                Int32((index + 1) % max(1, Int(perseus_core_count()))))
            let place = UInt(bitPattern: outcomes + index)
            group.enter()
            Thread.detachNewThread { [group] in
                perseus_pin_thread(core)
                let outcome = consumer == .decode ? decodeAll(job) : orderAll(job)
                UnsafeMutablePointer<DrainOutcome>(bitPattern: place)!.pointee = outcome
                group.leave()
            }
        }
        while perseus_load_acquire(flags + 16) < UInt64(count),
            perseus_monotonic_nanoseconds() < deadline
        { perseus_yield() }
    }

    deinit {
        flags.deallocate()
        outcomes.deallocate()
    }

    /// Waits for all threads; each ends at its deadline at the latest.
    func join() -> DrainOutcome {
        group.wait()
        var all = DrainOutcome()
        for index in 0..<count { all += outcomes[index] }
        return all
    }

    /// Ends the threads early: the kernel failed, and no more commands will come.
    func stop() { perseus_store_release(flags, 1) }
}

/// Commands between two stores of `retired`, as the proxy does it.
private let drainBatch = 32

/// Decodes and pops everything of the job's rings, in turn.
@inline(never)
private func decodeAll(_ job: DrainJob) -> DrainOutcome {
    let consumers = UnsafeMutablePointer<CommandRingConsumer>.allocate(capacity: job.rings.count)
    for (index, ring) in job.rings.enumerated() {
        (consumers + index).initialize(to: CommandRingConsumer(ring))
    }
    let operands = UnsafeMutablePointer<UInt64>.allocate(capacity: 1024)
    defer {
        consumers.deinitialize(count: job.rings.count)
        consumers.deallocate()
        operands.deallocate()
    }
    var outcome = DrainOutcome()
    var idleRounds = 0
    var ring = 0
    _ = perseus_fetch_add_relaxed(job.ready, 1)
    while outcome.commandCount < job.goal {
        let before = outcome.commandCount
        decodeBatch(&consumers[ring], operands: operands, payload: job.payload, into: &outcome)
        ring = ring &+ 1 < job.rings.count ? ring &+ 1 : 0
        if outcome.commandCount == before {
            if job.isOver(&idleRounds) { break }
        } else if before == 0 {
            outcome.first = perseus_monotonic_nanoseconds()
        }
    }
    outcome.last = perseus_monotonic_nanoseconds()
    return outcome
}

@inline(__always)
private func decodeBatch(
    _ consumer: inout CommandRingConsumer, operands: UnsafeMutablePointer<UInt64>,
    payload: UnsafePointer<UInt64>?, into outcome: inout DrainOutcome
) {
    var command = Command()
    var remaining = drainBatch
    while remaining > 0, consumer.next(&command, operands: operands) {
        outcome.sum &+= command.first &+ command.second
        let wordCount = command.operandSlotCount &* 2
        var word = 0
        while word < wordCount {
            outcome.sum &+= operands[word]
            word &+= 1
        }
        if let payload, wordCount == 0 {
            let sequence = perseus_command_local_offset(command.first) >> 8
            let expected = perseus_bench_payload(sequence)
            let pair = payload + Int(truncatingIfNeeded: sequence) &* 2
            if pair[0] != expected || pair[1] != ~expected { outcome.missingPayloadCount &+= 1 }
        }
        remaining &-= 1
    }
    outcome.commandCount &+= drainBatch &- remaining
    consumer.retire()
}

/// Runs one proxy over the job's rings.
@inline(never)
private func orderAll(_ job: DrainJob) -> DrainOutcome {
    let destinationCount = Int(PERSEUS_BENCH_DESTINATIONS)
    let board = CompletionBoard(wordCount: 1)
    defer { board.deallocate() }
    var proxy = ProxyLoop(
        transport: SummingTransport(queueCount: destinationCount), rings: job.rings,
        rankCount: destinationCount, ordering: .inOrder, receiver: ImmediateReceiver(),
        board: board, configuration: ProxyConfiguration())
    var outcome = DrainOutcome()
    var idleRounds = 0
    var now: UInt64 = 0
    let goal = UInt64(job.goal)
    _ = perseus_fetch_add_relaxed(job.ready, 1)
    while proxy.counters.commands < goal {
        now &+= 1
        let step = proxy.step(now: now)
        if step.drained == 0 {
            if step.isIdle, job.isOver(&idleRounds) { break }
        } else if outcome.first == .max {
            outcome.first = perseus_monotonic_nanoseconds()
        }
    }
    // What is parked leaves behind the last drained command.
    var isBusy = true
    while isBusy {
        now &+= 1
        isBusy = !proxy.step(now: now).isIdle
    }
    outcome.last = perseus_monotonic_nanoseconds()
    outcome.commandCount = Int(proxy.counters.commands)
    outcome.sum = proxy.transport.sum
    return outcome
}

/// A `NullTransport` that also sums what is posted, so that a lost or doubled request is noticed.
struct SummingTransport: Transport, ~Copyable {
    private var inner: NullTransport
    /// Offsets of every put, words of every inline request.
    private(set) var sum: UInt64 = 0

    init(queueCount: Int) { inner = NullTransport(queueCount: queueCount) }

    var guarantees: OrderingGuarantees { inner.guarantees }
    var queueCount: Int { inner.queueCount }
    var queueDepth: Int { inner.queueDepth }
    var inlineCapacityByteCount: Int { inner.inlineCapacityByteCount }

    @inline(__always)
    mutating func post(_ request: WorkRequest) -> PostOutcome {
        let outcome = inner.post(request)
        guard outcome == .accepted else { return outcome }
        if request.isInline, let payload = request.payload {
            for index in 0..<Int(request.byteCount >> 3) { sum &+= payload[index] }
        } else {
            sum &+= request.localOffset &+ request.remoteOffset
        }
        return outcome
    }

    @inline(__always)
    mutating func ringDoorbell() { inner.ringDoorbell() }

    @inline(__always)
    mutating func poll(
        _ completions: UnsafeMutablePointer<WorkCompletion>, limit: Int
    ) -> Int { inner.poll(completions, limit: limit) }

    @inline(__always)
    mutating func pollReceive(
        _ completions: UnsafeMutablePointer<ReceiveCompletion>, limit: Int
    ) -> Int { 0 }
}
