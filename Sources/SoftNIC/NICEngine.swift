// Stage 7 of 10 — post: the soft NIC behind the doorbell, a role that acts at modelled times.
// Upstream:   SoftNICEndpoint.swift
// Downstream: NICEngine+Wire.swift

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusPrimitives
import PerseusTransport

/// The requests that a fence flag orders among each other: one peer, one queue pair, or the whole NIC.
@frozen
public struct Flow: BitwiseCopyable {
    @usableFromInline var head: Int32 = -1
    @usableFromInline var tail: Int32 = -1
    /// Transmitted and not acknowledged.
    @usableFromInline var outstanding: UInt32 = 0
    @usableFromInline var isQueued = false

    @inlinable
    init() {}
}

/// One queue pair to one peer: what "in order" refers to.
@frozen
public struct Connection: BitwiseCopyable {
    /// Latest placement so far.
    @usableFromInline var placedAt: UInt64 = 0
    @usableFromInline var acknowledgedAt: UInt64 = 0
    /// Latest scheduled failure of a request that was not sent.
    @usableFromInline var failedAt: UInt64 = 0
    /// Acknowledged since the last completion was written.
    @usableFromInline var unretired: UInt16 = 0
    @usableFromInline var hasFailed = false

    @inlinable
    init() {}
}

/// What a step of the engine changed, for a runner that lets idle roles sleep.
@frozen
public struct NICNotice: BitwiseCopyable {
    @frozen
    public enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// Signal words `first ..< first + count` of `rank` were written.
        case signalWords
        /// The completion queue of `endpoint` holds something visible at `time`.
        case completion
        /// An immediate arrived at `rank`.
        case receive
        /// A request was on the wire to `rank` from `first` to `time`; `count` bytes.
        case transmitted
    }

    public var kind: Kind
    public var isFenced: Bool
    public var rank: Int32
    public var endpoint: Int32
    public var count: UInt32
    public var first: UInt64
    public var time: UInt64
    /// The request's way through the NIC: posted; and where timings are recorded, on the wire from, until, and the refill
    /// in between.
    public var postedAt: UInt64 = 0
    public var startedAt: UInt64 = 0
    public var sentAt: UInt64 = 0
    public var refill: UInt64 = 0

    @inlinable
    init(
        _ kind: Kind, rank: Int = -1, endpoint: Int32 = -1, first: UInt64 = 0, count: UInt32 = 0,
        time: UInt64 = 0, isFenced: Bool = false
    ) {
        self.kind = kind
        self.isFenced = isFenced
        self.rank = Int32(truncatingIfNeeded: rank)
        self.endpoint = endpoint
        self.count = count
        self.first = first
        self.time = time
    }

    @inlinable
    mutating func describe(_ request: NICRequest, _ timing: NICTiming?) {
        endpoint = Int32(request.endpoint)
        isFenced = request.isFenced
        postedAt = request.postedAt
        guard let timing else { return }
        startedAt = timing.startedAt
        sentAt = timing.sentAt
        refill = timing.refill
    }
}

/// One thing that the engine does at a set time.
@frozen
public struct NICEvent: BitwiseCopyable {
    @frozen
    public enum Kind: UInt8, BitwiseCopyable, Sendable {
        case deliver, notify, acknowledge, fail
    }
    @usableFromInline var kind: Kind
    @usableFromInline var fragment: UInt16
    /// The request; the receiving rank, for `notify`.
    @usableFromInline var entry: Int32
    /// For `notify`, which may outlive its request.
    @usableFromInline var immediate: UInt32

    @inlinable
    init(_ kind: Kind, entry: Int32 = -1, fragment: UInt16 = 0, immediate: UInt32 = 0) {
        self.kind = kind
        self.fragment = fragment
        self.entry = entry
        self.immediate = immediate
    }
}

/// What all engines of one fabric read and none writes: one copy, so that it stays in a cache.
@frozen
public struct NICModel {
    @usableFromInline let fabric: SoftFabricView
    @usableFromInline let parameters: NICParameters
    @usableFromInline let faults: FaultRates
    @usableFromInline let reportsTransmissions: Bool
    @usableFromInline let recordsTimings: Bool

    init(
        fabric: SoftFabricView, parameters: NICParameters, faults: FaultPlan,
        reportsTransmissions: Bool, recordsTimings: Bool
    ) {
        self.fabric = fabric
        self.parameters = parameters
        self.faults = FaultRates(faults)
        self.reportsTransmissions = reportsTransmissions
        self.recordsTimings = recordsTimings
    }
}

/// The NIC of one rank. `step` handles everything that is due, in bounded portions, and never blocks.
///
/// Tables have room for all that may be under way. With one thread they begin small and grow, which allocates, and the
/// notices of a step are good until any engine's next one.
/// - Threading: one owner; proxies are behind single-producer rings, peers' memory is written as a NIC would.
@frozen
public struct NICEngine: ~Copyable {
    // What every step looks at comes first and lies together: a simulator finds each engine's memory cold.
    @usableFromInline let model: UnsafePointer<NICModel>
    public let rank: Int
    /// When the request on the wire will have left, and its place among the events of that time; .max when none is.
    @usableFromInline var transmittedAt: UInt64 = .max
    @usableFromInline var events: EventHeap<NICEvent>
    @usableFromInline var transmittedSequence: UInt32 = 0
    @usableFromInline var isTransmitting = false
    @usableFromInline let endpoints: UnsafeMutablePointer<SoftNICLink>
    @usableFromInline let endpointCount: Int
    @usableFromInline var noticeCount_ = 0
    /// Notices of the last step.
    @inlinable public var noticeCount: Int { noticeCount_ }
    @usableFromInline var freeCount: Int
    /// Where bytes are placed by others: their queue; nil: this engine moves bytes itself.
    @usableFromInline let copies: UnsafeMutablePointer<CopyQueue>?
    @usableFromInline var unplacedCount = 0
    @usableFromInline var active: UnsafeMutablePointer<NICRequest>
    @usableFromInline let connections: UnsafeMutablePointer<Connection>
    /// When this NIC last placed bytes at a peer, by the clock of `step`.
    public var lastPlacedAt: UInt64 = 0
    public let notices: UnsafeMutablePointer<NICNotice>
    private let ownsNotices: Bool
    @usableFromInline let flows: UnsafeMutablePointer<Flow>
    @usableFromInline var readyCount = 0
    @usableFromInline var readyHead = 0
    @usableFromInline let flowCount: Int
    /// Flows with something to send, in round-robin order: a ring of `flowCount` slots.
    @usableFromInline let ready: UnsafeMutablePointer<Int32>
    /// Data puts on the wire or unacknowledged: zero means that the pipeline has run empty.
    @usableFromInline var dataOutstanding: UInt32 = 0
    /// First of the entries that were given back, and the lowest that was never taken.
    @usableFromInline var freeEntry: Int32 = -1
    @usableFromInline var freshEntry: Int32 = 0
    /// Entries that there is memory for.
    @usableFromInline var entryRoom: Int32
    /// Time that the transmit engine was busy.
    public var busyNanoseconds: UInt64 = 0
    @usableFromInline let completionDelay: UInt64
    @usableFromInline var random: SeededRandom
    /// [entry]: each request's way through the NIC, where somebody wants to know; nil otherwise.
    @usableFromInline let timings: UnsafeMutablePointer<NICTiming>?
    /// [entry][inline words]: payloads of more than one word.
    @usableFromInline var payloads: UnsafeMutablePointer<UInt64>
    @usableFromInline let payloadWords: Int
    /// [entry]: commands that must be done before it is acknowledged; with `copies` only.
    @usableFromInline let placements: UnsafeMutablePointer<UInt64>?
    /// Acknowledged entries whose bytes are still being placed, in order: a ring of the capacity.
    @usableFromInline let unplaced: UnsafeMutablePointer<Int32>?
    @usableFromInline let entryCapacity: Int
    @usableFromInline var unplacedHead = 0

    /// Notices of one step; the step ends early rather than overflow.
    public static let noticeCapacity = 256
    /// Most fragments of one request: enough to see a torn message, cheap enough to simulate.
    @usableFromInline static let fragmentLimit = 4

    init(
        model: UnsafePointer<NICModel>, rank: Int, links: [SoftNICLink], destinationCount: Int,
        copies: UnsafeMutablePointer<CopyQueue>?, hasOneThread: Bool
    ) {
        self.model = model
        self.rank = rank
        let parameters = model.pointee.parameters
        let rankCount = model.pointee.fabric.rankCount
        random = SeededRandom(seed: model.pointee.faults.seed, stream: UInt64(rank) &+ 1)
        endpointCount = links.count
        endpoints = .allocateDense(capacity: links.count, alignment: 64)
        endpoints.initialize(from: links, count: links.count)
        let capacity = links.reduce(0) { $0 + $1.sendCapacity }
        let room = hasOneThread ? min(capacity, 16) : capacity
        entryRoom = Int32(room)
        active = .allocateDense(capacity: room, alignment: 64)
        payloadWords = links.map(\.payloadWords).max() ?? 1
        payloads = .allocateDense(capacity: room * payloadWords)
        timings = model.pointee.recordsTimings ? .allocate(capacity: capacity) : nil
        self.copies = copies
        entryCapacity = capacity
        placements = copies != nil ? .allocate(capacity: capacity) : nil
        unplaced = copies != nil ? .allocate(capacity: capacity) : nil
        freeCount = capacity
        let queueCount = links.reduce(0) { $0 + $1.queueCount }
        flowCount =
            switch parameters.fenceScope {
            case .peer: links.count * rankCount
            case .lane: queueCount
            case .queue: 1
            }
        flows = .allocateDense(capacity: flowCount)
        flows.initialize(repeating: Flow(), count: flowCount)
        connections = .allocateDense(capacity: links.count * rankCount)
        connections.initialize(repeating: Connection(), count: links.count * rankCount)
        ready = .allocateDense(capacity: flowCount)
        // Each request has at most its fragments, an acknowledgement (or failure) and an immediate under way.
        events = EventHeap(capacity: (Self.fragmentLimit + 2) * room + 1)
        ownsNotices = !hasOneThread
        notices =
            hasOneThread
            ? model.pointee.fabric.notices : .allocateDense(capacity: Self.noticeCapacity)
        completionDelay =
            parameters.completionNanoseconds
            + parameters.completionPerDestinationNanoseconds * UInt64(destinationCount)
    }

    deinit {
        endpoints.deallocateDense()
        active.deallocateDense()
        payloads.deallocateDense()
        flows.deallocateDense()
        connections.deallocateDense()
        ready.deallocateDense()
        if ownsNotices { notices.deallocateDense() }
        timings?.deallocate()
        placements?.deallocate()
        unplaced?.deallocate()
    }

    @inlinable @inline(__always)
    var fabric: SoftFabricView { model.pointee.fabric }
    @inlinable @inline(__always)
    var parameters: NICParameters { model.pointee.parameters }
    @inlinable @inline(__always)
    var faults: FaultRates { model.pointee.faults }

    /// When the engine has something to do next, as far as it knows; nil: not before a doorbell.
    @inlinable
    public var nextDue: UInt64? {
        var due = min(events.nextTime ?? .max, transmittedAt)
        for index in 0..<endpointCount {
            guard freeCount > 0, let posted = endpoints[index].sendQueue.peek() else { continue }
            due = min(due, posted.pointee.postedAt)
        }
        return due == .max ? nil : due
    }

    /// Takes what was posted, and handles what is due at `now`; true when anything was done.
    ///
    /// Notices of this step are in `notices[0 ..< noticeCount]` until the next one.
    @inlinable
    public mutating func step(now: UInt64) -> Bool {
        noticeCount_ = 0
        if fabric.isDead(rank) { return false }
        var hasWorked = admitPosted(now: now)
        if unplacedCount > 0, finishPlaced(now: now) { hasWorked = true }
        while noticeCount < NICEngine.noticeCapacity - 8, hasRoomToPlace, handleNext(now: now) {
            hasWorked = true
        }
        return hasWorked
    }

    /// The copy block, if it places the bytes, takes what one event may command; a delivery waits for them otherwise.
    @inlinable @inline(__always)
    var hasRoomToPlace: Bool {
        guard let copies else { return true }
        return copies.pointee.hasRoom(for: max(1, payloadWords))
    }

    /// Handles the earliest event that is due; false: there is none.
    @inlinable @inline(__always)
    mutating func handleNext(now: UInt64) -> Bool {
        if events.isNextBefore(time: transmittedAt, sequence: transmittedSequence) {
            guard events.nextTime! <= now else { return false }
            handle(events.pop(), now: now)
            return true
        }
        guard transmittedAt <= now else { return false }
        let time = transmittedAt
        transmittedAt = .max
        transmitNext(at: time)
        return true
    }

    @inlinable
    mutating func notify(_ notice: NICNotice) {
        notices[noticeCount_] = notice
        noticeCount_ &+= 1
    }

    /// Moves posted requests from the endpoints' send queues to their flows.
    @inlinable
    mutating func admitPosted(now: UInt64) -> Bool {
        var hasWorked = false
        for index in 0..<endpointCount {
            while freeCount > 0, noticeCount_ < NICEngine.noticeCapacity - 8,
                let posted = endpoints[index].sendQueue.peek(), posted.pointee.postedAt <= now
            {
                admit(posted, endpoint: index)
                endpoints[index].sendQueue.dropFirst()
                hasWorked = true
            }
        }
        return hasWorked
    }

    @inlinable
    mutating func admit(_ posted: UnsafeMutablePointer<NICRequest>, endpoint: Int) {
        let entry = takeEntry()
        active[Int(entry)] = posted.pointee
        active[Int(entry)].endpoint = UInt16(truncatingIfNeeded: endpoint)
        let words = posted.pointee.payloadWordCount
        if words > 1 {
            endpoints[endpoint].takePayload(
                words, into: payloads + Int(entry) &* payloadWords)
        }
        let flow = flowIndex(entry)
        let isFlowEmpty = flows[flow].head < 0
        if isFlowEmpty {
            flows[flow].head = entry
        } else {
            active[Int(flows[flow].tail)].next = entry
        }
        flows[flow].tail = entry
        if isFlowEmpty { enqueueFlow(flow) }
        if !isTransmitting { transmitNext(at: active[Int(entry)].postedAt) }
    }

    /// An entry that nothing uses; the caller has checked `freeCount`.
    @inlinable @inline(__always)
    mutating func takeEntry() -> Int32 {
        freeCount &-= 1
        let entry = freeEntry
        if entry < 0 {
            if freshEntry == entryRoom { growEntries() }
            freshEntry &+= 1
            return freshEntry &- 1
        }
        freeEntry = active[Int(entry)].next
        return entry
    }

    @usableFromInline
    mutating func growEntries() {
        let room = Int(entryRoom)
        active.growDense(from: room, to: room * 2, alignment: 64)
        payloads.growDense(from: room * payloadWords, to: room * 2 * payloadWords)
        entryRoom *= 2
    }

    @inlinable
    func flowIndex(_ entry: Int32) -> Int {
        switch parameters.fenceScope {
        case .peer: return connectionIndex(entry)
        case .lane:
            return endpoints[Int(active[Int(entry)].endpoint)].firstQueue
                &+ Int(active[Int(entry)].queue)
        case .queue: return 0
        }
    }

    @inlinable
    mutating func enqueueFlow(_ flow: Int) {
        guard !flows[flow].isQueued else { return }
        flows[flow].isQueued = true
        var slot = readyHead &+ readyCount
        if slot >= flowCount { slot &-= flowCount }
        ready[slot] = Int32(flow)
        readyCount &+= 1
    }

    @inlinable
    mutating func dequeueFlow() -> Int {
        let flow = Int(ready[readyHead])
        readyHead = readyHead &+ 1 < flowCount ? readyHead &+ 1 : 0
        readyCount &-= 1
        flows[flow].isQueued = false
        return flow
    }

    @inlinable
    mutating func handle(_ event: EventHeap<NICEvent>.Event, now: UInt64) {
        switch event.payload.kind {
        case .deliver:
            lastPlacedAt = now
            deliver(event.payload.entry, fragment: Int(event.payload.fragment), at: event.time)
        case .notify:
            notifyReceiver(
                -1, peer: Int(event.payload.entry), immediate: event.payload.immediate,
                at: event.time)
        case .acknowledge: acknowledge(event.payload.entry, at: event.time)
        case .fail: failRequest(event.payload.entry, at: event.time)
        }
    }
}
