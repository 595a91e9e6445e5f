// Stage 5 of 10 — drain: the heart of the proxy, one bounded step at a time.
// Upstream:   CommandRing+Drain.swift
// Downstream: SignalOrdering.swift, ProxyLoop+Order.swift, ProxyLoop+Post.swift

import CPerseusABI
import PerseusCommandRing
import PerseusPrimitives
import PerseusTransport

/// How one proxy is set up. Fixed at start.
public struct ProxyConfiguration: Sendable {
    /// Most commands drained by one step; bounds the time of a step and the size of a doorbell's batch.
    public var batchLimit = 32
    /// With in-order completions: every n-th request of a lane asks for a completion.
    public var signalInterval = 16
    /// The whole proxy stands still during a `drain-peer`, as the proxies do that Perseus is measured against.
    public var stallsOnDrain = false
    /// The whole proxy waits in place for a slot of a full queue pair, as those proxies do: first in, first out.
    public var stallsWhenFull = false
    /// Signals that are ready together leave together.
    public var coalesces = false
    /// With a free ordering: a put larger than this is not allowed to delay a signal that is ready.
    public var coalesceByteLimit = 8192
    /// With coalescing: signal words that close a group.
    public var groupWordLimit = 32
    /// Only combine signals are held back for a group; dispatch groups come closed from the kernel.
    public var groupsCombineOnly = false
    /// Commands that may wait in backlogs, in slots, over all lanes.
    public var backlogSlotCount = 4096
    /// Requests in flight over all lanes.
    public var inFlightCapacity = 4096
    /// Most words of one signalBlock.
    public var signalWordCapacity = 64
    /// Tables begin small and grow with what is in them, which allocates: for simulations of many ranks.
    public var growsTables = false
    /// An operation older than this fails its lane.
    public var deadlineNanoseconds: UInt64 = 10_000_000_000

    public init() {}
}

/// Room for what a proxy has in hand during one step, and nothing of it afterwards.
///
/// - Threading: proxies that one thread steps may share it, and find it in a cache.
@frozen
public struct ProxyScratch: BitwiseCopyable {
    /// Operands of the command in hand.
    @usableFromInline let operands: UnsafeMutablePointer<UInt64>
    /// The words of one write.
    @usableFromInline let payload: UnsafeMutablePointer<UInt64>
    @usableFromInline let completions: UnsafeMutablePointer<WorkCompletion>
    @usableFromInline let arrivals: UnsafeMutablePointer<ReceiveCompletion>

    /// Completions taken by one step, so that a flood of them cannot hold up the rings.
    @inlinable @inline(__always)
    static var pollLimit: Int { 32 }

    public init() {
        operands = .allocateDense(capacity: Int(PERSEUS_MAX_OPERAND_WORDS))
        payload = .allocateDense(capacity: Immediate.runWordLimit)
        completions = .allocateDense(capacity: Self.pollLimit)
        arrivals = .allocateDense(capacity: Self.pollLimit)
    }

    /// Frees the memory; the owner calls it when no proxy is stepped any more.
    public func deallocate() {
        operands.deallocateDense()
        payload.deallocateDense()
        completions.deallocateDense()
        arrivals.deallocateDense()
    }
}

/// What one step did; all zero means that nothing will change until something arrives.
@frozen
public struct ProxyStep: BitwiseCopyable, Sendable {
    public var drained: UInt32 = 0
    public var posted: UInt32 = 0
    public var completed: UInt32 = 0
    public var received: UInt32 = 0
    /// Quiets that were answered.
    public var quieted: UInt32 = 0
    /// The proxy waits for completions and drains nothing.
    public var isStalled = false
    /// A lane failed during this step; see `ProxyLoop.failure`.
    public var hasFailed = false

    @inlinable
    public init() {}

    @inlinable
    public var isIdle: Bool {
        drained == 0 && posted == 0 && completed == 0 && received == 0 && quieted == 0
    }
}

/// The CPU proxy of one rank (or of one of its rings): commands in, ordered work requests out.
///
/// `step` is bounded, never blocks, allocates or reads a clock, and is deterministic given its inputs. A thread
/// calls it in production and the virtual-time runner calls the same code in simulation. A lane that cannot go
/// on is parked with its commands in a backlog, and the others proceed; only `drain-all` (and `drain-peer` with
/// `stallsOnDrain`, and a full queue pair with `stallsWhenFull`) stops everything, because that is what it is there to
/// show.
///
/// - Threading: one owner. The rings' producers and the NIC are the only other parties, each behind its own ring.
@frozen
public struct ProxyLoop<NIC: Transport & ~Copyable>: ~Copyable {
    // What every step looks at comes first and lies together: a simulator finds each proxy's memory cold.
    @usableFromInline var now: UInt64 = 0
    /// The lane whose drain stops the whole proxy; -1 when none does.
    @usableFromInline var stalledLane: Int = -1
    @usableFromInline var nextDeadlineLane: Int = 0
    @usableFromInline let laneCount: Int
    @usableFromInline let deadlineNanoseconds: UInt64
    @usableFromInline let lanes: UnsafeMutablePointer<Lane>
    @usableFromInline let rings: UnsafeMutablePointer<CommandRingConsumer>
    @usableFromInline let ringCount: Int
    @usableFromInline var nextRing: Int = 0
    @usableFromInline let batchLimit: Int
    @usableFromInline let pendingCapacity: Int
    @usableFromInline var dueLaneCount: Int = 0
    /// Queues that lanes in `full` wait for.
    @usableFromInline var fullQueueCount: Int = 0
    @usableFromInline var holdingLaneCount: Int = 0
    @usableFromInline let scratch: ProxyScratch
    @usableFromInline var unrungCount: UInt32 = 0
    @usableFromInline let plan: OrderingPlan
    @usableFromInline let completesInOrder: Bool
    /// A lane that drains waits alone; otherwise its drain stops the whole proxy.
    @usableFromInline let parksOnDrain: Bool
    @usableFromInline let stallsWhenFull: Bool
    @usableFromInline let signalInterval: UInt16
    @usableFromInline var outcome = ProxyStep()
    @usableFromInline var board: CompletionBoard
    public var transport: NIC

    // What a step looks at that does something.
    @usableFromInline var inFlight: IndexPool<InFlightEntry>
    @usableFromInline var inFlightCount: UInt64 = 0
    @usableFromInline var backlog: IndexPool<Command>
    @usableFromInline var allOrderedThrough: UInt64 = 0
    @usableFromInline var dataSequence: UInt64 = 0
    /// [queue]: puts up to this sequence number are ordered before everything posted from now on.
    @usableFromInline let queueOrderedThrough: UnsafeMutablePointer<UInt64>
    @usableFromInline let payloadCapacity: Int
    /// Admitted signals that are not posted yet.
    @usableFromInline var pending: PendingTable
    public var counters = ProxyCounters()

    // What some steps look at.
    /// One bit per lane: has a backlog or an unfinished flush to serve.
    @usableFromInline let parked: UnsafeMutablePointer<UInt64>
    /// One bit per lane: parked, and may be able to go on.
    @usableFromInline let due: UnsafeMutablePointer<UInt64>
    /// One bit per lane: parked until its queue pair has a free slot.
    @usableFromInline let full: UnsafeMutablePointer<UInt64>
    /// One bit per lane: has pending signals that wait for the lane to run dry.
    @usableFromInline let holding: UnsafeMutablePointer<UInt64>
    @usableFromInline let bitWordCount: Int
    private let ownsScratch: Bool
    @usableFromInline var parkedLaneCount: Int = 0
    /// [queue]: lanes in `full`.
    @usableFromInline let fullLaneCounts: UnsafeMutablePointer<Int32>
    /// [queue]: the turn of `serveParkedLanes` in which it last had no slot.
    @usableFromInline let refusedTurns: UnsafeMutablePointer<UInt64>
    @usableFromInline var turn: UInt64 = 1
    /// Queues that refused in this turn, and whether no entry was left for any.
    @usableFromInline var refusedQueueCount: Int = 0
    /// Where the next turn of the parked lanes begins.
    @usableFromInline var firstServedLane: Int = 0
    @usableFromInline var isPoolEmpty = false
    /// Commands taken by `submit`.
    @usableFromInline var directPosition: UInt64 = 0
    @usableFromInline let fenceScope: FenceScope
    @usableFromInline let coalesces: Bool
    @usableFromInline let holdsThroughPuts: Bool
    @usableFromInline let groupsCombineOnly: Bool
    @usableFromInline let coalesceByteLimit: UInt32
    @usableFromInline let groupWordLimit: Int
    @usableFromInline var receiver: ImmediateReceiver
    /// The first operation that failed or passed its deadline.
    public var failure: StuckOperation?

    /// - Parameters:
    ///   - transport: an endpoint whose guarantees meet the obligation of `ordering`, or a caller who has decided
    ///     to go without (see `SignalOrdering.proof`).
    ///   - rings: consumers of the rings this proxy owns; copied.
    ///   - rankCount: destinations are `0 ..< rankCount`.
    public init(
        transport: consuming NIC, rings: [CommandRing], rankCount: Int, ordering: SignalOrdering,
        receiver: ImmediateReceiver, board: CompletionBoard,
        configuration: ProxyConfiguration, scratch: ProxyScratch? = nil
    ) {
        let guarantees = transport.guarantees
        plan = ordering.plan
        completesInOrder = guarantees.completesInOrder
        // With several queue pairs a later signal on another one may start before the flagged request.
        fenceScope =
            guarantees.fenceScope == .queue && transport.queueCount > 1
            ? .lane : guarantees.fenceScope
        ringCount = rings.count
        self.rings = .allocateDense(capacity: max(1, rings.count), alignment: 64)
        for (index, ring) in rings.enumerated() {
            (self.rings + index).initialize(to: CommandRingConsumer(ring))
        }
        laneCount = rankCount
        lanes = .allocateDense(capacity: rankCount, alignment: 64)
        let queueCount = transport.queueCount
        for index in 0..<rankCount {
            var lane = Lane()
            lane.queue = UInt16(index % queueCount)
            (lanes + index).initialize(to: lane)
        }
        queueOrderedThrough = .allocateDense(capacity: queueCount)
        queueOrderedThrough.initialize(repeating: 0, count: queueCount)
        pendingCapacity = max(4, configuration.signalWordCapacity, configuration.groupWordLimit)
        pending = PendingTable(
            laneCount: rankCount, capacity: pendingCapacity,
            room: configuration.growsTables ? 4 : Int.max)
        // The backlog can always hold one signalBlock and the put before it. (A precondition here makes the optimiser of
        // Swift 6.3 free fields that were never set.)
        let backlogCount = max(configuration.backlogSlotCount, pendingCapacity + 2)
        let room = configuration.growsTables ? 64 : Int.max
        backlog = IndexPool(capacity: backlogCount, room: room)
        inFlight = IndexPool(capacity: configuration.inFlightCapacity, room: room)
        bitWordCount = (rankCount + 63) / 64
        parked = .allocateDense(capacity: bitWordCount)
        parked.initialize(repeating: 0, count: bitWordCount)
        due = .allocateDense(capacity: bitWordCount)
        due.initialize(repeating: 0, count: bitWordCount)
        full = .allocateDense(capacity: bitWordCount)
        full.initialize(repeating: 0, count: bitWordCount)
        fullLaneCounts = .allocateDense(capacity: queueCount)
        fullLaneCounts.initialize(repeating: 0, count: queueCount)
        refusedTurns = .allocateDense(capacity: queueCount)
        refusedTurns.initialize(repeating: 0, count: queueCount)
        holding = .allocateDense(capacity: bitWordCount)
        holding.initialize(repeating: 0, count: bitWordCount)
        self.scratch = scratch ?? ProxyScratch()
        ownsScratch = scratch == nil
        payloadCapacity = min(transport.inlineCapacityByteCount / 8, Immediate.runWordLimit)
        batchLimit = configuration.batchLimit
        signalInterval = ProxyLoop.signalInterval(
            of: transport, rankCount: rankCount, plan: plan, configuration: configuration)
        stallsWhenFull = configuration.stallsWhenFull
        parksOnDrain = plan.wait == .peer && !configuration.stallsOnDrain
        coalesces = configuration.coalesces
        holdsThroughPuts = plan.ordersBySignal
        groupsCombineOnly = configuration.groupsCombineOnly
        coalesceByteLimit = UInt32(configuration.coalesceByteLimit)
        groupWordLimit = min(configuration.groupWordLimit, pendingCapacity)
        deadlineNanoseconds = configuration.deadlineNanoseconds
        self.receiver = receiver
        self.board = board
        self.transport = transport
    }

    deinit {
        receiver.deallocate()
        rings.deinitialize(count: ringCount)
        rings.deallocateDense()
        lanes.deallocateDense()
        pending.deallocate()
        parked.deallocateDense()
        due.deallocateDense()
        full.deallocateDense()
        fullLaneCounts.deallocateDense()
        refusedTurns.deallocateDense()
        holding.deallocateDense()
        queueOrderedThrough.deallocateDense()
        if ownsScratch { scratch.deallocate() }
    }

    /// How many puts of a lane share one completion.
    ///
    /// Lanes on one queue pair share its slots, and a slot is reclaimed only by a completion at or after it: half
    /// the slots, divided among the lanes, may be unsignaled at any time, and half of the in-flight pool likewise.
    /// A drain needs every completion.
    static func signalInterval(
        of transport: borrowing NIC, rankCount: Int, plan: OrderingPlan,
        configuration: ProxyConfiguration
    ) -> UInt16 {
        guard transport.guarantees.completesInOrder && plan.wait == .none else { return 1 }
        let lanesPerQueue = (rankCount + transport.queueCount - 1) / transport.queueCount
        let affordable = min(
            transport.queueDepth / (2 * max(1, lanesPerQueue)),
            configuration.inFlightCapacity / (2 * max(1, rankCount)))
        return UInt16(max(1, min(configuration.signalInterval, affordable, Int(UInt16.max))))
    }

    /// One turn: take completions, serve parked lanes, drain the rings, post, ring the doorbell once.
    ///
    /// - Parameter now: the runner's clock in nanoseconds; only differences matter.
    /// - Complexity: O(`batchLimit`) plus the parked lanes that can go on.
    @inlinable
    public mutating func step(now: UInt64) -> ProxyStep {
        // Callers that take turns may have clocks that differ a little: ages must not become negative.
        self.now = max(self.now, now)
        outcome = ProxyStep()
        reap()
        if plan.form == .immediate { receive() }
        checkOneDeadline()
        if stalledLane < 0 || resumeStalledLane() {
            if dueLaneCount > 0 || fullQueueCount > 0 { serveParkedLanes() }
            if stalledLane < 0 { drain() }
        }
        if board.isWaiting { publishQuiet() }
        if unrungCount > 0 {
            transport.ringDoorbell()
            counters.doorbells &+= 1
            outcome.posted = unrungCount
            unrungCount = 0
        }
        outcome.isStalled = stalledLane >= 0
        return outcome
    }

    /// Takes one command without a ring: for a kernel that writes work requests itself (`gpu-direct`).
    ///
    /// - Parameter operands: signal words of a signalBlock, padded to an even count.
    /// - Returns: false when there is no room; nothing has changed then.
    @inlinable
    public mutating func submit(
        _ command: Command, words: UnsafeBufferPointer<UInt64>, now: UInt64
    ) -> Bool {
        // A put leaves room for the signal behind it; the signal needs its own slots only.
        let isPut = words.isEmpty
        let needed = isPut ? 1 &+ pendingCapacity : 1 &+ (words.count &+ 1) >> 1
        guard backlog.freeCount >= needed else { return false }
        self.now = max(self.now, now)
        for index in 0..<words.count { scratch.operands[index] = words[index] }
        scratch.operands[words.count] = 0
        admit(command, position: directPosition)
        directPosition &+= 1
        return true
    }

    /// Sends what `submit` left: held signals, and the doorbell.
    @inlinable
    public mutating func finishSubmission() {
        if holdingLaneCount > 0 && stalledLane < 0 { flushDryLanes() }
        guard unrungCount > 0 else { return }
        transport.ringDoorbell()
        counters.doorbells &+= 1
        unrungCount = 0
    }

    /// Drains up to `batchLimit` commands, one ring after the other, and lets dry lanes send what they hold.
    @inlinable
    mutating func drain() {
        var remaining = batchLimit
        var visited = 0
        while visited < ringCount && remaining > 0 && stalledLane < 0 {
            let ring = nextRing
            nextRing = nextRing &+ 1 < ringCount ? nextRing &+ 1 : 0
            visited &+= 1
            remaining = drainRing(ring, limit: remaining)
        }
        if holdingLaneCount > 0 && remaining > 0 && stalledLane < 0 { flushDryLanes() }
    }

    @inlinable @inline(__always)
    var isHeldByFullQueue: Bool { stallsWhenFull && fullQueueCount > 0 }

    /// Drains one ring; returns what is left of `limit`. Slots are given back in one store.
    @inlinable
    mutating func drainRing(_ ring: Int, limit: Int) -> Int {
        var remaining = limit
        var command = Command()
        // A command and its operands always find room in the backlog, or they stay in the ring.
        while remaining > 0 && stalledLane < 0 && backlog.freeCount > pendingCapacity
            && !isHeldByFullQueue,
            rings[ring].next(&command, operands: scratch.operands)
        {
            admit(command, position: rings[ring].position &- 1)
            remaining &-= 1
        }
        if remaining < limit {
            rings[ring].retire()
            counters.commands &+= UInt64(truncatingIfNeeded: limit &- remaining)
            outcome.drained &+= UInt32(truncatingIfNeeded: limit &- remaining)
        }
        return remaining
    }

    /// Executes a drained command, or parks it behind its lane's earlier ones.
    @inlinable @inline(__always)
    mutating func admit(_ command: Command, position: UInt64) {
        let opcode = perseus_command_opcode(command.first)
        let destination = Int(perseus_command_destination(command.second))
        if opcode == PERSEUS_OPCODE_QUIET.rawValue {
            admitQuiet(command, destination: destination)
            return
        }
        precondition(destination < laneCount, "ProxyLoop: command to a rank that does not exist")
        if lanes[destination].state != .open || lanes[destination].backlogHead >= 0 {
            park(command, destination: destination)
        } else if !execute(
            command, operands: scratch.operands, destination: destination, position: position)
        {
            park(command, destination: destination)
            setParked(destination)
        }
    }

    /// Executes one command on an open lane; false: the lane is parked now and the command must wait.
    @inlinable @inline(__always)
    mutating func execute(
        _ command: Command, operands: UnsafePointer<UInt64>, destination: Int, position: UInt64
    ) -> Bool {
        let opcode = perseus_command_opcode(command.first)
        if opcode == PERSEUS_OPCODE_PUT.rawValue || opcode == PERSEUS_OPCODE_PUT_SIGNAL.rawValue {
            return executePut(command, destination: destination, position: position)
        }
        if opcode == PERSEUS_OPCODE_SIGNAL_BLOCK.rawValue {
            return executeSignalBlock(
                command, operands: operands, destination: destination, position: position)
        }
        precondition(opcode == PERSEUS_OPCODE_ATOMIC_ADD.rawValue, "ProxyLoop: unknown opcode")
        return executeAtomicAdd(command, destination: destination, position: position)
    }
}
