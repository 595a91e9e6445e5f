// Stage 7 of 10 — post: work requests to a NIC, the whole NIC contract on one screen.
// Upstream:   ProxyLoop+Post.swift
// Downstream: SoftNICEndpoint.swift

/// Whether the NIC took a work request.
@frozen
public enum PostOutcome: BitwiseCopyable, Sendable {
    case accepted
    /// The queue pair has no free slot; post again after completions were polled. Nothing was changed.
    case full
}

/// One NIC endpoint, owned by one proxy thread.
///
/// Posting and polling never block, allocate or count references. Registration, connection and closing belong
/// to the concrete type, because what they need differs from fabric to fabric.
///
/// - Threading: one thread calls all of this; several endpoints of a rank are independent.
public protocol Transport: ~Copyable {
    /// What this endpoint promises, and by which document or construction.
    var guarantees: OrderingGuarantees { get }

    /// Queue pairs of this endpoint. A destination is pinned to `destination mod queueCount`.
    var queueCount: Int { get }

    /// Requests that one queue pair holds, posted and not retired by a completion.
    var queueDepth: Int { get }

    /// Bytes that travel inside a work request; a multiple of 8, at least 8.
    var inlineCapacityByteCount: Int { get }

    /// Queues `request`; the NIC may start it at once or at the next `ringDoorbell`.
    mutating func post(_ request: WorkRequest) -> PostOutcome

    /// Tells the NIC to look at everything posted so far.
    mutating func ringDoorbell()

    /// Copies finished work requests to `completions`; returns how many, at most `limit`.
    mutating func poll(_ completions: UnsafeMutablePointer<WorkCompletion>, limit: Int) -> Int

    /// Copies arrived immediates to `completions`; returns how many, at most `limit`.
    mutating func pollReceive(
        _ completions: UnsafeMutablePointer<ReceiveCompletion>, limit: Int
    ) -> Int
}
