// One request inside the NIC, from the doorbell to its acknowledgement: one cache line.

import PerseusTransport

/// A posted request as the send queue and the engine keep it.
///
/// The fields of a `WorkRequest`, without its pointer, and what the engine notes about it.
@frozen
public struct NICRequest: BitwiseCopyable {
    @usableFromInline var identifier: UInt64
    /// Bytes from the start of the region; the addend of `fetchAdd`; the payload of an inline request of one word.
    @usableFromInline var localOffset: UInt64
    @usableFromInline var remoteOffset: UInt64
    @usableFromInline var postedAt: UInt64
    @usableFromInline var peer: UInt32
    @usableFromInline var byteCount: UInt32
    @usableFromInline var immediate: UInt32
    /// The next request of the flow, or the next free entry.
    @usableFromInline var next: Int32 = -1
    @usableFromInline var queue: UInt16
    @usableFromInline var endpoint: UInt16 = 0
    @usableFromInline var operation: WorkRequest.Operation
    @usableFromInline var localRegion: UInt8
    @usableFromInline var remoteRegion: UInt8
    @usableFromInline var isFenced: Bool
    @usableFromInline var isSignaled: Bool
    @usableFromInline var isInline: Bool
    @usableFromInline var countsAsData = false
    @usableFromInline var fragmentCount: UInt8 = 0
    @usableFromInline var fragmentsLeft: UInt8 = 0
    @usableFromInline var status: WorkCompletion.Status = .success

    @inlinable @inline(__always)
    init(_ request: WorkRequest, postedAt: UInt64) {
        identifier = request.identifier
        localOffset = request.localOffset
        remoteOffset = request.remoteOffset
        self.postedAt = postedAt
        peer = request.peer
        byteCount = request.byteCount
        immediate = request.immediate
        queue = request.queue
        operation = request.operation
        localRegion = request.localRegion
        remoteRegion = request.remoteRegion
        isFenced = request.isFenced
        isSignaled = request.isSignaled
        isInline = request.isInline
        if request.isInline, request.byteCount == 8, let payload = request.payload {
            localOffset = payload[0]
        }
    }

    /// Words of an inline payload; 0 for a request without one.
    @inlinable @inline(__always)
    var payloadWordCount: Int { isInline ? Int(byteCount >> 3) : 0 }
}

/// When a request was on the wire; beside the requests, so that these stay one line each.
@frozen
public struct NICTiming: BitwiseCopyable {
    @usableFromInline var startedAt: UInt64
    /// When its last byte had left.
    @usableFromInline var sentAt: UInt64
    /// How much of that time restarted an idle NIC.
    @usableFromInline var refill: UInt64

    @inlinable @inline(__always)
    init(startedAt: UInt64, sentAt: UInt64, refill: UInt64) {
        self.startedAt = startedAt
        self.sentAt = sentAt
        self.refill = refill
    }
}
