// One operation posted to a queue pair, and the completion that comes back.

/// A one-sided operation as the NIC sees it: 64 bytes, no pointers but the inline payload of one call.
@frozen
public struct WorkRequest: BitwiseCopyable {
    /// What the NIC does at the peer.
    @frozen
    public enum Operation: UInt8, BitwiseCopyable, Sendable {
        /// RDMA WRITE of `byteCount` bytes.
        case write
        /// RDMA WRITE that also consumes a receive and delivers `immediate` at the peer.
        case writeWithImmediate
        /// 64-bit fetch-and-add of `addend` at the peer; the old value is discarded.
        case fetchAdd
    }

    public var operation: Operation
    /// The NIC holds this request behind earlier ones, as far as `OrderingGuarantees.fenceScope` says.
    public var isFenced: Bool
    /// This request produces a `WorkCompletion` of its own.
    public var isSignaled: Bool
    /// The payload is `payload`, copied at post time; the local offset is not used.
    public var isInline: Bool
    /// Region ids of `perseus_arena.h`.
    public var localRegion: UInt8
    public var remoteRegion: UInt8
    /// Queue pair of this endpoint, 0-based.
    public var queue: UInt16
    /// The destination rank.
    public var peer: UInt32
    public var byteCount: UInt32
    /// Delivered to the peer by `writeWithImmediate`.
    public var immediate: UInt32
    /// Returned in the completion; the proxy keeps (destination, sequence) in it.
    public var identifier: UInt64
    /// Bytes from the start of the region; the addend for `fetchAdd`.
    public var localOffset: UInt64
    /// Bytes from the start of the peer's region.
    public var remoteOffset: UInt64
    /// Inline payload of `byteCount` bytes, valid during `post` only.
    public var payload: UnsafePointer<UInt64>?

    @inlinable @inline(__always)
    public init(
        operation: Operation, peer: UInt32, queue: UInt16, byteCount: UInt32, identifier: UInt64
    ) {
        self.operation = operation
        self.isFenced = false
        self.isSignaled = true
        self.isInline = false
        self.localRegion = 0
        self.remoteRegion = 0
        self.queue = queue
        self.peer = peer
        self.byteCount = byteCount
        self.immediate = 0
        self.identifier = identifier
        self.localOffset = 0
        self.remoteOffset = 0
        self.payload = nil
    }
}

/// What the NIC says of a finished work request.
@frozen
public struct WorkCompletion: BitwiseCopyable, Sendable {
    @frozen
    public enum Status: UInt8, BitwiseCopyable, Sendable {
        case success
        /// The peer did not answer within the NIC's retries: it is dead or unreachable.
        case retryExceeded
        /// The peer refused the address or the access.
        case remoteAccessError
        /// An earlier request of this queue pair failed; this one was not executed.
        case flushed
    }

    public var identifier: UInt64
    public var status: Status

    @inlinable @inline(__always)
    public init(identifier: UInt64, status: Status) {
        self.identifier = identifier
        self.status = status
    }
}

/// A write with immediate that has arrived here.
@frozen
public struct ReceiveCompletion: BitwiseCopyable, Sendable {
    public var source: UInt32
    public var immediate: UInt32

    @inlinable @inline(__always)
    public init(source: UInt32, immediate: UInt32) {
        self.source = source
        self.immediate = immediate
    }
}
