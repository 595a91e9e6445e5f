// Send queues that kernels fill themselves, through NICs and copy blocks: threads in the place of a GPU.

import CPerseusABI
import CPerseusShims
import Foundation
import PerseusMegakernel
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC
import Testing

/// Memory and threads that stand for one GPU with two ranks: each sends messages to the other one, and checks its own.
private final class ThreadGPU: @unchecked Sendable {
    static let messageBytes = 1024
    /// log2 of the entries of a send queue: fewer than there are messages.
    static let queueLog2 = 6
    let messages: Int
    let layout: perseus_arena_layout
    private let place = UnsafeMutablePointer<perseus_arena_layout>.allocate(capacity: 1)
    /// [rank]
    private(set) var data: [UnsafeMutablePointer<UInt64>] = []
    private(set) var signals: [UnsafeMutablePointer<UInt64>] = []
    private var entries: [UnsafeMutablePointer<UInt64>] = []
    private var completed: [UnsafeMutablePointer<UInt64>] = []
    private var commands: [UnsafeMutablePointer<perseus_device_copy>] = []
    private var done: [UnsafeMutablePointer<UInt64>] = []
    /// [rank]: 1 when the rank has seen everything, 2 when something was wrong.
    private(set) var ends: [UnsafeMutablePointer<UInt64>] = []
    let copies = UnsafeMutablePointer<CopyQueue>.allocate(capacity: 2)
    private let stopped = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    private var threads: [Thread] = []
    private let fences: Bool

    init(messages: Int, fences: Bool) {
        self.messages = messages
        self.fences = fences
        layout = perseus_arena_layout_make(
            2, UInt32(messages), UInt32(Self.messageBytes), UInt32(messages), UInt32(2 * messages))
        place.initialize(to: layout)
        stopped.initialize(to: 0)
        for rank in 0..<2 {
            data.append(Self.words(Int(layout.data_byte_count) / 8))
            signals.append(Self.words(Int(layout.signal_byte_count) / 8))
            entries.append(Self.words(Int(PERSEUS_DIRECT_ENTRY_WORDS) << Self.queueLog2))
            completed.append(Self.words(1))
            done.append(Self.words(1))
            ends.append(Self.words(1))
            let queue = UnsafeMutablePointer<perseus_device_copy>.allocate(
                capacity: Int(PERSEUS_DEVICE_COPY_CAPACITY))
            queue.initialize(
                repeating: perseus_device_copy(), count: Int(PERSEUS_DEVICE_COPY_CAPACITY))
            commands.append(queue)
            (copies + rank).initialize(to: CopyQueue(commands: queue, done: done[rank]))
        }
    }

    deinit {
        for words in data + signals + entries + completed + done + ends { words.deallocate() }
        for queue in commands { queue.deallocate() }
        copies.deallocate()
        stopped.deallocate()
        place.deallocate()
    }

    private static func words(_ count: Int) -> UnsafeMutablePointer<UInt64> {
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
        words.initialize(repeating: 0, count: count)
        return words
    }

    var ports: DevicePorts {
        DevicePorts(
            rings: [], ringCapacity: 0, boards: [], copies: copies,
            sendQueues: (0..<2).map {
                SendQueueMemory(
                    entries: entries[$0], capacityLog2: Self.queueLog2, completed: completed[$0])
            })
    }

    func start() {
        for rank in 0..<2 {
            threads.append(Thread { self.send(rank) })
            threads.append(Thread { self.check(rank) })
            threads.append(Thread { self.move(rank) })
        }
        for thread in threads { thread.start() }
    }

    /// Every loop ends; the threads do not refer to memory afterwards.
    func stop() {
        perseus_store_release(stopped, 1)
        while threads.contains(where: { !$0.isFinished }) { usleep(1000) }
        threads = []
    }

    private var isStopped: Bool { perseus_load_acquire(stopped) != 0 }

    private func payload(_ rank: Int, _ message: Int) -> UInt64 {
        UInt64(rank) << 32 | UInt64(message) << 8 | 0xA5
    }

    /// The kernel's posting: claim two entries, write them, go on when there is room.
    private func send(_ rank: Int) {
        for message in 0..<messages {
            let position = UInt64(2 * message)
            while position + 2 > perseus_load_acquire(completed[rank]) + 1 << UInt64(Self.queueLog2)
            {
                if isStopped { return }
                perseus_yield()
            }
            let row = perseus_arena_send_row(place, UInt64(message))
            let source = data[rank] + Int(row) / 8
            for word in 0..<Self.messageBytes / 8 { source[word] = payload(rank, message) }
            let target = perseus_arena_dispatch_row(place, UInt64(rank), UInt64(message))
            store(
                perseus_direct_put(
                    UInt32(1 - rank), PERSEUS_REGION_DATA.rawValue, row,
                    PERSEUS_REGION_DATA.rawValue, target, UInt32(Self.messageBytes), 0),
                rank, position)
            let word = perseus_signal_make(1, UInt64(message), 1)
            let index = perseus_dispatch_word_index(
                UInt32(rank), UInt32(message), layout.max_experts_per_rank)
            let flags =
                PERSEUS_DIRECT_SIGNALED.rawValue | PERSEUS_DIRECT_DOORBELL.rawValue
                | (fences ? PERSEUS_DIRECT_FENCED.rawValue : 0)
            store(
                perseus_direct_signal(
                    UInt32(1 - rank), PERSEUS_REGION_SIGNAL.rawValue, index * 8, [word], 1, flags),
                rank, position + 1)
        }
    }

    private func store(_ request: perseus_direct_request, _ rank: Int, _ position: UInt64) {
        let parity = perseus_ring_parity(position, UInt32(Self.queueLog2))
        let entry = entries[rank] + Int(position & (1 << UInt64(Self.queueLog2) - 1)) * 8
        withUnsafeBytes(of: request) { bytes in
            let words = bytes.bindMemory(to: UInt64.self)
            for index in 0..<8 {
                perseus_store_release(
                    entry + index, (index == 1 ? position : words[index]) | parity)
            }
        }
    }

    /// The kernel's waiting: a word, then the rows that it announces.
    private func check(_ rank: Int) {
        let source = 1 - rank
        for message in 0..<messages {
            let index = perseus_dispatch_word_index(
                UInt32(source), UInt32(message), layout.max_experts_per_rank)
            while perseus_load_acquire(signals[rank] + Int(index)) == 0 {
                if isStopped { return }
                perseus_yield()
            }
            let row = perseus_arena_dispatch_row(place, UInt64(source), UInt64(message))
            let words = data[rank] + Int(row) / 8
            for word in 0..<Self.messageBytes / 8 where words[word] != payload(source, message) {
                return perseus_store_release(ends[rank], 2)
            }
        }
        perseus_store_release(ends[rank], 1)
    }

    /// The copy blocks.
    private func move(_ rank: Int) {
        var position: UInt64 = 0
        let capacity = UInt64(PERSEUS_DEVICE_COPY_CAPACITY)
        let address = UInt64(1) << 48 - 1
        while !isStopped {
            let words = UnsafeMutableRawPointer(commands[rank] + Int(position % capacity))
                .assumingMemoryBound(to: UInt64.self)
            let tag = position / capacity + 1
            let target = perseus_load_acquire(words + 1)
            let count = perseus_load_acquire(words + 2)
            guard target >> 48 == tag, count >> 48 == tag else {
                perseus_yield()
                continue
            }
            let bytes = UnsafeMutableRawPointer(bitPattern: UInt(target & address))!
            if count >> 40 & 0xFF == UInt64(PERSEUS_DEVICE_COPY_WORD.rawValue) {
                perseus_store_release(bytes.assumingMemoryBound(to: UInt64.self), words[0])
            } else {
                bytes.copyMemory(
                    from: UnsafeRawPointer(bitPattern: UInt(words[0]))!,
                    byteCount: Int(count & 0xFFFF_FFFF))
            }
            position += 1
            perseus_store_release(done[rank], position)
        }
    }
}

/// What a runner sees of a rank whose roles run elsewhere.
private final class ElsewhereKernel: DispatchOnlyKernel {
    let end: UnsafeMutablePointer<UInt64>
    init(_ end: UnsafeMutablePointer<UInt64>) { self.end = end }

    var isDone: Bool { perseus_load_acquire(end) != 0 }
    var missing: String? { isDone ? nil : "end" }
    func dispatch() -> RoleStep { RoleStep() }
}

@Suite struct DirectSendTests {
    private func run(
        messages: Int, ordering: SignalOrdering?, deadline: UInt64 = 60_000_000_000,
        faults: FaultPlan = FaultPlan()
    ) throws -> (outcome: RunOutcome, ends: [UInt64]) {
        var settings = settings("h100-connectx7")
        settings.options.ordering = ordering
        settings.options.deadlineNanoseconds = deadline
        let setup = try SchemeSetup(
            .gpuDirect, profile: settings.profile, ranks: 2, groupWords: 1,
            options: settings.options)
        let gpu = ThreadGPU(messages: messages, fences: ordering == .fenceFlag)
        var plan = setup.transport
        plan.device = gpu.ports
        plan.faults = faults
        let memory = (0..<2).map {
            RankMemory(
                data: UnsafeMutableRawPointer(gpu.data[$0]), signals: gpu.signals[$0], shadow: nil,
                layout: gpu.layout)
        }
        let transport = TransportJob(plan: plan, memory: memory, remoteRanks: { _ in 1 })
        gpu.start()
        let outcome = ThreadRunner(
            transport: transport, kernels: gpu.ends.map(ElsewhereKernel.init), threadCount: 2,
            deadline: deadline, isExact: false, activeRanks: [0, 1]
        ).run()
        gpu.stop()
        return (outcome, gpu.ends.map { perseus_load_acquire($0) })
    }

    /// More messages than the queue has entries: room comes back, and no signal is seen before its rows.
    @Test(arguments: [nil, SignalOrdering.fenceFlag])
    func messagesArriveBehindTheirRows(_ ordering: SignalOrdering?) throws {
        let messages = 500
        let (outcome, ends) = try run(messages: messages, ordering: ordering)
        #expect(outcome.failure == nil)
        #expect(ends == [1, 1])
        let sent = UInt64(2 * messages)
        let counters = outcome.counters
        #expect(counters.dispatchPuts == sent && counters.combinePuts == 0)
        #expect(counters.signals == sent && counters.signalWords == sent)
        #expect(counters.doorbells == sent && counters.commands == 0)
        #expect(counters.dispatchFences == (ordering == .fenceFlag ? sent : 0))
        #expect(counters.bytesSent == sent * UInt64(ThreadGPU.messageBytes + 8))
        // The runner ends when the kernels do, perhaps before the last completions.
        #expect(counters.completions <= sent && counters.completions >= sent - 128)
    }

    /// A NIC that never acknowledges: the run ends by its deadline, and says which request is under way.
    @Test func aRequestThatNeverCompletesIsNamed() throws {
        var faults = FaultPlan()
        faults.delayChance = 1
        faults.delayNanoseconds = 1 << 40
        let (outcome, _) = try run(
            messages: 10, ordering: nil, deadline: 300_000_000, faults: faults)
        let failure = try #require(outcome.failure)
        #expect(failure.lines.contains { $0.hasPrefix("rank 0: peer 1, lane 1, command 0: put") })
    }
}
