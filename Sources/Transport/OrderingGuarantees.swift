// What a transport promises about order, each promise with its source.

/// A promise about order that an ordering can build on.
public enum OrderingGuarantee: String, CaseIterable, Sendable {
    /// A completion at the sender means that the data is visible at the peer.
    case completionImpliesVisibility
    /// A fenced request becomes visible only after earlier *writes* of its fence scope.
    case fenceCoversWrites
    /// Writes of one queue pair to one peer become visible in posting order.
    case writesInOrder
    /// The provider documents write-after-write order, and it was requested.
    case providerWriteAfterWrite
    /// Every write with immediate is delivered to the receiver exactly once.
    case immediatesExactlyOnce
    /// The receive completion of an immediate covers earlier writes of its queue pair.
    case immediateCoversEarlierWrites
    /// An atomic executes at the peer after earlier writes of its queue pair.
    case atomicAfterWrites

    /// The promise as a clause of a sentence.
    public var clause: String {
        switch self {
        case .completionImpliesVisibility: "completions that imply visibility at the peer"
        case .fenceCoversWrites: "a fence flag that covers earlier writes"
        case .writesInOrder: "writes that become visible in posting order"
        case .providerWriteAfterWrite: "write-after-write order documented by the provider"
        case .immediatesExactlyOnce: "immediates that arrive exactly once"
        case .immediateCoversEarlierWrites: "immediates that cover earlier writes"
        case .atomicAfterWrites: "atomics that execute after earlier writes"
        }
    }
}

/// How much a fence flag, or a drained completion count, holds back.
public enum FenceScope: String, CaseIterable, Sendable {
    /// Earlier requests to the same peer; only that peer's later requests wait.
    case peer
    /// Earlier requests of the same queue pair; only that queue pair waits.
    case lane
    /// Every earlier request of the NIC's transmit queue; all of it waits.
    case queue
}

/// The guarantees of one endpoint.
public struct OrderingGuarantees: Sendable {
    /// A guarantee and the document or construction that gives it.
    public struct Promise: Sendable {
        public let guarantee: OrderingGuarantee
        public let source: String

        public init(_ guarantee: OrderingGuarantee, source: String) {
            self.guarantee = guarantee
            self.source = source
        }
    }

    public let promises: [Promise]
    /// Requests of one queue pair complete in posting order, so one completion covers all before it.
    public let completesInOrder: Bool
    /// What a fence flag holds back, where the NIC takes one.
    public let fenceScope: FenceScope

    public init(promises: [Promise], completesInOrder: Bool, fenceScope: FenceScope) {
        self.promises = promises
        self.completesInOrder = completesInOrder
        self.fenceScope = fenceScope
    }

    public func source(of guarantee: OrderingGuarantee) -> String? {
        promises.first { $0.guarantee == guarantee }?.source
    }

    public func holds(_ guarantee: OrderingGuarantee) -> Bool {
        source(of: guarantee) != nil
    }
}
