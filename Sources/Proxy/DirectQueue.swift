// The NIC's end of a send queue that a kernel on a device fills itself: entries become work requests.

import CPerseusABI
import CPerseusShims
import PerseusTransport

/// What is known of one place of a `DirectQueue` while its request is under way.
@frozen
public struct DirectSlot: BitwiseCopyable {
    @usableFromInline var postedAt: UInt64 = 0
    @usableFromInline var byteCount: UInt32 = 0
    @usableFromInline var peer: UInt32 = 0
    /// The next place under way to the same peer; -1: none.
    @usableFromInline var next: Int32 = -1
    @usableFromInline var isDone = false

    @inlinable
    init() {}
}

/// Reads the send queue of `perseus_direct.h` and posts what is there, in order; says what has completed.
///
/// A NIC reads its send queue by DMA and needs no thread for it. Here the thread of the emulated NIC reads it, and hands
/// the requests to an endpoint whose posting costs nothing: what a request costs was paid by the kernel that wrote it.
/// No command is interpreted, no signal held back or joined: order is what the kernel asked for in the flags.
///
/// - Threading: one owner, beside the NIC's engine. The kernel writes entries and observes `completed`.
@frozen
public struct DirectQueue<NIC: Transport & ~Copyable>: ~Copyable {
    public var transport: NIC
    @usableFromInline let entries: UnsafeMutablePointer<UInt64>
    @usableFromInline let completed: UnsafeMutablePointer<UInt64>
    @usableFromInline let capacityLog2: UInt32
    @usableFromInline let slots: UnsafeMutablePointer<DirectSlot>
    /// [peer]: the oldest and the newest place under way; -1: none.
    @usableFromInline let oldest: UnsafeMutablePointer<Int32>
    @usableFromInline let newest: UnsafeMutablePointer<Int32>
    @usableFromInline let rankCount: Int
    /// The words of one entry, parity clear.
    @usableFromInline let words: UnsafeMutablePointer<UInt64>
    @usableFromInline let completions: UnsafeMutablePointer<WorkCompletion>
    /// The next position to read, and the first that has not completed.
    @usableFromInline var position: UInt64 = 0
    @usableFromInline var retired: UInt64 = 0
    @usableFromInline let completesInOrder: Bool
    @usableFromInline let deadlineNanoseconds: UInt64
    public var counters = ProxyCounters()
    /// The first request that failed or passed its deadline.
    public var failure: StuckOperation?

    /// Requests that one step posts and completions that it takes.
    @inlinable @inline(__always)
    static var batchLimit: Int { 32 }

    /// - Parameters:
    ///   - entries: 2^`capacityLog2` entries of 64 bytes, zeroed, that the kernel writes; the caller's.
    ///   - completed: requests that are done, without a gap; zero at first, the caller's.
    ///   - rankCount: peers are `0 ..< rankCount`.
    ///   - deadlineNanoseconds: a request older than this is reported as stuck.
    public init(
        transport: consuming NIC, entries: UnsafeMutablePointer<UInt64>, capacityLog2: Int,
        completed: UnsafeMutablePointer<UInt64>, rankCount: Int, deadlineNanoseconds: UInt64
    ) {
        let capacity = 1 << capacityLog2
        self.entries = entries
        self.completed = completed
        self.capacityLog2 = UInt32(capacityLog2)
        self.rankCount = rankCount
        self.deadlineNanoseconds = deadlineNanoseconds
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: DirectSlot(), count: capacity)
        oldest = .allocate(capacity: rankCount)
        oldest.initialize(repeating: -1, count: rankCount)
        newest = .allocate(capacity: rankCount)
        newest.initialize(repeating: -1, count: rankCount)
        words = .allocate(capacity: Int(PERSEUS_DIRECT_ENTRY_WORDS))
        words.initialize(repeating: 0, count: Int(PERSEUS_DIRECT_ENTRY_WORDS))
        completions = .allocate(capacity: Self.batchLimit)
        completesInOrder = transport.guarantees.completesInOrder
        self.transport = transport
    }

    deinit {
        slots.deallocate()
        oldest.deallocate()
        newest.deallocate()
        words.deallocate()
        completions.deallocate()
    }

    /// One turn: take completions, look at the oldest request's age, post what the kernel wrote.
    ///
    /// - Parameter now: the runner's clock in nanoseconds; only differences matter.
    @inlinable
    public mutating func step(now: UInt64) -> ProxyStep {
        var outcome = ProxyStep()
        reap(now: now, &outcome)
        checkDeadline(now: now, &outcome)
        while Int(outcome.posted) < Self.batchLimit, readEntry() {
            // A full queue pair: the entry stays where it is until something has completed.
            guard post(now: now) else { break }
            outcome.posted &+= 1
        }
        if outcome.posted > 0 { transport.ringDoorbell() }
        return outcome
    }

    /// Copies the next entry to `words`; false: it is not there, or not all of it.
    @inlinable @inline(__always)
    mutating func readEntry() -> Bool {
        let mask = (UInt64(1) &<< UInt64(capacityLog2)) &- 1
        let entry = entries + Int(position & mask) &* Int(PERSEUS_DIRECT_ENTRY_WORDS)
        let parity = perseus_ring_parity(position, capacityLog2)
        for index in 0..<Int(PERSEUS_DIRECT_ENTRY_WORDS) {
            let word = perseus_load_acquire(entry + index) ^ parity
            guard word >> UInt64(PERSEUS_PARITY_SHIFT) == 0 else { return false }
            words[index] = word
        }
        return true
    }

    /// Posts the entry in `words`; false: no slot was free, and nothing has changed.
    @inlinable
    mutating func post(now: UInt64) -> Bool {
        let control = words[0]
        let flags = perseus_direct_flags(control)
        let peer = perseus_direct_peer(control)
        precondition(words[1] == position, "DirectQueue: an entry of another position")
        precondition(Int(peer) < rankCount, "DirectQueue: a request to a rank that does not exist")
        var request = WorkRequest(
            operation: .write, peer: peer,
            queue: UInt16(truncatingIfNeeded: Int(peer) % transport.queueCount),
            byteCount: perseus_direct_byte_count(control), identifier: position)
        request.isSignaled = flags & UInt32(PERSEUS_DIRECT_SIGNALED.rawValue) != 0
        request.isFenced = flags & UInt32(PERSEUS_DIRECT_FENCED.rawValue) != 0
        request.isInline = flags & UInt32(PERSEUS_DIRECT_INLINE.rawValue) != 0
        request.localRegion = UInt8(truncatingIfNeeded: perseus_direct_local_region(control))
        request.remoteRegion = UInt8(truncatingIfNeeded: perseus_direct_remote_region(control))
        request.remoteOffset = words[2]
        let data = words + Int(PERSEUS_DIRECT_DATA_WORD)
        if request.isInline {
            request.payload = UnsafePointer(data)
        } else {
            request.localOffset = data[0]
        }
        guard transport.post(request) == .accepted else { return false }
        note(request, now: now)
        count(request, flags)
        position &+= 1
        return true
    }

    @inlinable @inline(__always)
    func place(_ position: UInt64) -> Int {
        Int(position & ((UInt64(1) &<< UInt64(capacityLog2)) &- 1))
    }

    /// Remembers a request under way, behind those of its peer.
    @inlinable @inline(__always)
    mutating func note(_ request: WorkRequest, now: UInt64) {
        let slot = place(position)
        let peer = Int(request.peer)
        slots[slot].postedAt = now
        slots[slot].byteCount = request.byteCount
        slots[slot].peer = request.peer
        slots[slot].next = -1
        slots[slot].isDone = false
        guard completesInOrder else { return }
        if oldest[peer] < 0 {
            oldest[peer] = Int32(slot)
        } else {
            slots[Int(newest[peer])].next = Int32(slot)
        }
        newest[peer] = Int32(slot)
    }

    /// The sums of a proxy, as far as they mean something without one.
    @inlinable @inline(__always)
    mutating func count(_ request: WorkRequest, _ flags: UInt32) {
        let isCombine = flags & UInt32(PERSEUS_DIRECT_COMBINE.rawValue) != 0
        if request.isInline {
            counters.signals &+= 1
            counters.signalWords &+= UInt64(request.byteCount >> 3)
        } else if isCombine {
            counters.combinePuts &+= 1
        } else {
            counters.dispatchPuts &+= 1
        }
        if request.isFenced {
            if isCombine { counters.combineFences &+= 1 } else { counters.dispatchFences &+= 1 }
        }
        if flags & UInt32(PERSEUS_DIRECT_DOORBELL.rawValue) != 0 { counters.doorbells &+= 1 }
        counters.bytesSent &+= UInt64(request.byteCount)
    }

    /// Takes completions, and gives places back up to the first request that is not done.
    @inlinable
    mutating func reap(now: UInt64, _ outcome: inout ProxyStep) {
        let count = transport.poll(completions, limit: Self.batchLimit)
        guard count > 0 else { return }
        for index in 0..<count {
            let completion = completions[index]
            if completion.status != .success {
                fail(completion.identifier, status: completion.status, now: now, &outcome)
            }
            retire(place(completion.identifier))
        }
        counters.completions &+= UInt64(truncatingIfNeeded: count)
        outcome.completed = UInt32(truncatingIfNeeded: count)
        while retired < position, slots[place(retired)].isDone { retired &+= 1 }
        perseus_store_release(completed, retired)
    }

    /// A completion covers its request; with ordered completions all earlier ones to the same peer too.
    @inlinable @inline(__always)
    mutating func retire(_ slot: Int) {
        guard completesInOrder else {
            slots[slot].isDone = true
            return
        }
        let peer = Int(slots[slot].peer)
        while true {
            let done = Int(oldest[peer])
            precondition(done >= 0, "DirectQueue: completion of a request that is not under way")
            slots[done].isDone = true
            oldest[peer] = slots[done].next
            if done == slot { return }
        }
    }

    /// The oldest request that has not completed; for a runner that gives up.
    public func oldestRequest(now: UInt64) -> StuckOperation? {
        retired < position ? describe(retired, status: .success, now: now) : nil
    }

    @usableFromInline
    func describe(
        _ position: UInt64, status: WorkCompletion.Status, now: UInt64
    ) -> StuckOperation {
        let slot = slots[place(position)]
        return StuckOperation(
            destination: slot.peer, stage: .posted, operation: .write, status: status,
            byteCount: slot.byteCount, position: position, ageNanoseconds: now &- slot.postedAt)
    }

    /// The oldest request of the queue: every later one that completes waits for it.
    @inlinable @inline(__always)
    mutating func checkDeadline(now: UInt64, _ outcome: inout ProxyStep) {
        guard retired < position, now > deadlineNanoseconds, failure == nil else { return }
        guard now &- slots[place(retired)].postedAt > deadlineNanoseconds else { return }
        fail(retired, status: .success, now: now, &outcome)
    }

    @inlinable
    mutating func fail(
        _ position: UInt64, status: WorkCompletion.Status, now: UInt64, _ outcome: inout ProxyStep
    ) {
        guard failure == nil else { return }
        failure = describe(position, status: status, now: now)
        outcome.hasFailed = true
    }
}
