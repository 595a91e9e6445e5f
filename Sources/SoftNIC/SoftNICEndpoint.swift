// Stage 7 of 10 — post: the proxy's side of a soft NIC, its send, completion and receive queues.
// Upstream:   Transport.swift
// Downstream: NICEngine.swift

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusPrimitives
import PerseusTransport

/// The clock of one role during one step: the runner sets it, modelled costs advance it.
@frozen
public struct StepClock: BitwiseCopyable {
    public var now: UInt64
    @inlinable
    public init(now: UInt64 = 0) { self.now = now }
}

/// A completion on its way back, and when a poll may see it.
@frozen
public struct TimedCompletion: BitwiseCopyable {
    @usableFromInline var completion: WorkCompletion
    @usableFromInline var queue: UInt16
    /// Requests of the queue pair that this completion retires.
    @usableFromInline var retiredCount: UInt16
    @usableFromInline var visibleAt: UInt64

    @inlinable
    init(completion: WorkCompletion, queue: UInt16, retiredCount: UInt16, visibleAt: UInt64) {
        self.completion = completion
        self.queue = queue
        self.retiredCount = retiredCount
        self.visibleAt = visibleAt
    }
}

/// One endpoint of a rank's soft NIC.
///
/// The queues are single-producer single-consumer rings, so the proxy and the engine may run on different threads.
/// - Threading: one proxy.
@frozen
public struct SoftNICEndpoint: Transport, ~Copyable {
    // In the order in which a proxy's step looks at them.
    @usableFromInline let clock: UnsafeMutablePointer<StepClock>
    @usableFromInline var completionQueue: SPSCRing<TimedCompletion>
    /// [queue]: requests posted and not retired.
    @usableFromInline let occupied: UnsafeMutablePointer<UInt32>
    @usableFromInline var sendQueue: SPSCRing<NICRequest>
    public let queueDepth: Int
    @usableFromInline let costs: PostingCosts
    public let inlineCapacityByteCount: Int
    @usableFromInline var payloads: PayloadQueue
    @usableFromInline var receiveQueue: CommandRingConsumer?
    /// Room for operands, which messages of a receive queue never have.
    @usableFromInline let unusedOperands: UnsafeMutablePointer<UInt64>
    public let queueCount: Int
    public let guarantees: OrderingGuarantees
    /// Keeps the wiring alive as long as its NICs; nothing on the hot path touches it.
    @usableFromInline let fabric: SoftFabric

    @usableFromInline
    init(
        fabric: SoftFabric, link: SoftNICLink, receiveQueue: consuming CommandRingConsumer?,
        parameters: NICParameters, costs: PostingCosts, clock: UnsafeMutablePointer<StepClock>
    ) {
        self.fabric = fabric
        sendQueue = link.sendQueue
        completionQueue = link.completionQueue
        payloads = link.payloads
        occupied = .allocateDense(capacity: link.queueCount)
        unusedOperands = .allocateDense(capacity: 2)
        occupied.initialize(repeating: 0, count: link.queueCount)
        self.receiveQueue = receiveQueue
        self.clock = clock
        self.costs = costs
        guarantees = parameters.guarantees
        queueCount = link.queueCount
        queueDepth = parameters.queueDepth
        inlineCapacityByteCount = parameters.inlineCapacityByteCount
    }

    deinit {
        occupied.deallocateDense()
        unusedOperands.deallocateDense()
    }

    @inlinable
    public mutating func post(_ request: WorkRequest) -> PostOutcome {
        let queue = Int(request.queue)
        guard Int(occupied[queue]) < queueDepth && sendQueue.hasRoom else { return .full }
        clock.pointee.now &+= request.isInline ? costs.signalNanoseconds : costs.putNanoseconds
        if request.isInline, request.byteCount > 8, let payload = request.payload {
            precondition(
                Int(request.byteCount) <= inlineCapacityByteCount,
                "SoftNIC: inline payload over the inline capacity")
            payloads.place(Int(request.byteCount) >> 3).update(
                from: payload, count: Int(request.byteCount) >> 3)
        }
        let isQueued = sendQueue.tryPush(NICRequest(request, postedAt: clock.pointee.now))
        precondition(isQueued, "SoftNIC: the send queue had room")
        occupied[queue] &+= 1
        return .accepted
    }

    @inlinable
    public mutating func ringDoorbell() {
        clock.pointee.now &+= costs.doorbellNanoseconds
    }

    @inlinable
    public mutating func poll(
        _ completions: UnsafeMutablePointer<WorkCompletion>, limit: Int
    ) -> Int {
        var count = 0
        while count < limit, let next = completionQueue.peek(),
            next.pointee.visibleAt <= clock.pointee.now
        {
            completions[count] = next.pointee.completion
            occupied[Int(next.pointee.queue)] &-= UInt32(next.pointee.retiredCount)
            completionQueue.dropFirst()
            count &+= 1
        }
        if count > 0 { clock.pointee.now &+= costs.pollNanoseconds }
        return count
    }

    /// When the oldest completion can be seen; nil when there is none. For a runner that lets the proxy sleep.
    @inlinable
    public var nextCompletionAt: UInt64? { completionQueue.peek()?.pointee.visibleAt }

    @inlinable
    public mutating func pollReceive(
        _ completions: UnsafeMutablePointer<ReceiveCompletion>, limit: Int
    ) -> Int {
        guard receiveQueue != nil else { return 0 }
        var count = 0
        var message = Command()
        while count < limit, receiveQueue!.next(&message, operands: unusedOperands) {
            completions[count] = SoftReceive.decode(message)
            count &+= 1
        }
        receiveQueue!.retire()
        return count
    }
}

/// An arrived immediate as it lies in a receive queue: the ring of commands carries any 126-bit message.
@frozen
public enum SoftReceive {
    @inlinable @inline(__always)
    static func encode(source: Int, immediate: UInt32) -> Command {
        Command(
            first: perseus_command_first(
                UInt64(PERSEUS_OPCODE_PUT.rawValue), 0, 0, 1, UInt64(immediate)),
            second: perseus_command_second(UInt64(source), 0, 0))
    }

    @inlinable @inline(__always)
    static func decode(_ message: Command) -> ReceiveCompletion {
        ReceiveCompletion(
            source: perseus_command_destination(message.second),
            immediate: UInt32(truncatingIfNeeded: perseus_command_local_offset(message.first)))
    }
}

/// Inline payloads of more than one word, back to back beside the send queue: the endpoint places them and the engine
/// takes them in the same order, each with a copy of this.
@frozen
public struct PayloadQueue: BitwiseCopyable {
    @usableFromInline let words: UnsafeMutablePointer<UInt64>
    @usableFromInline let wordCount: Int
    @usableFromInline var nextWord = 0

    /// Room for the payloads of a full send queue, what is left over before the end, and one payload more.
    static func wordCount(_ sendCapacity: Int, payloadWords: Int) -> Int {
        (sendCapacity + 1) * payloadWords
    }

    init(words: UnsafeMutablePointer<UInt64>, sendCapacity: Int, payloadWords: Int) {
        self.words = words
        wordCount = Self.wordCount(sendCapacity, payloadWords: payloadWords)
    }

    /// Where the next payload, of `count` words, lies.
    @inlinable @inline(__always)
    mutating func place(_ count: Int) -> UnsafeMutablePointer<UInt64> {
        if nextWord &+ count > wordCount { nextWord = 0 }
        nextWord &+= count
        return words + (nextWord &- count)
    }
}

/// The memory that one endpoint and its engine share, as the engine sees it.
@usableFromInline
struct SoftNICLink {
    @usableFromInline var sendQueue: SPSCRing<NICRequest>
    @usableFromInline var completionQueue: SPSCRing<TimedCompletion>
    @usableFromInline var payloads: PayloadQueue
    @usableFromInline let payloadWords: Int
    @usableFromInline let sendCapacity: Int
    @usableFromInline let queueCount: Int
    /// Number of this endpoint's first queue pair among all of the NIC.
    @usableFromInline let firstQueue: Int

    /// Copies the oldest payload, of `count` words, to `target`.
    @inlinable @inline(__always)
    mutating func takePayload(_ count: Int, into target: UnsafeMutablePointer<UInt64>) {
        target.update(from: payloads.place(count), count: count)
    }
}
