// What a modelled NIC and its fabric do, each number with its unit.

import PerseusTransport

/// How the fabric may reorder what one queue pair sends to one peer.
public enum DeliveryMode: String, CaseIterable, Sendable {
    /// Reliable connection on a single path: writes become visible in posting order.
    case inOrder = "in-order"
    /// Reliable connection with adaptive routing: fragments land in any order, completions, immediates and
    /// atomics stay behind earlier writes.
    case adaptiveRouting = "adaptive-routing"
    /// Scalable reliable datagrams: nothing is ordered, everything arrives exactly once.
    case unordered = "unordered"
}

/// A model of one RDMA NIC, of the path to its peers and of the CPU that drives it.
///
/// Times are nanoseconds, rates bytes per nanosecond (= GB/s). The same numbers serve both clocks: in virtual time
/// they are charged, in real time the NIC waits until they have passed.
public struct NICParameters: Equatable, Sendable {
    // MARK: Wire
    /// Payload rate of the port, each direction.
    public var bytesPerNanosecond = 25.0
    /// The transmit engine needs at least this long for any message (1 / message rate).
    public var messageNanoseconds: UInt64 = 50
    /// From the sender's NIC to memory at the peer, one way.
    public var latencyNanoseconds: UInt64 = 800
    /// Random extra latency, uniform in 0 ..< this.
    public var jitterNanoseconds: UInt64 = 0
    /// A put that finds the NIC idle costs up to this much more, saturating at `refillByteCount`.
    public var refillNanoseconds = 0.0
    public var refillByteCount = 150_000.0
    /// Bytes of one packet: what reordering modes place separately.
    public var packetByteCount = 4096
    /// Reordering modes: a fragment may be this much later than its neighbours, uniform.
    public var reorderNanoseconds: UInt64 = 2000

    // MARK: Ordering
    public var mode = DeliveryMode.inOrder
    /// False: the flag is accepted and ignored, as several libfabric providers do.
    public var honoursFence = true
    public var fenceScope = FenceScope.peer
    /// Extra transmit time of a flagged request.
    public var fenceNanoseconds: UInt64 = 0
    /// The order of `inOrder` is one that the provider gives on request, not a property of the connection.
    public var isProviderOrdered = false

    // MARK: Completions
    /// From the acknowledgement at the NIC to a completion that a poll can see.
    public var completionNanoseconds: UInt64 = 300
    /// Added per destination of the endpoint: completion counters kept in software are read slowly.
    public var completionPerDestinationNanoseconds: UInt64 = 0
    /// A lost packet is sent again after this.
    public var retransmitNanoseconds: UInt64 = 20_000
    /// A silent peer is given up after this.
    public var retryNanoseconds: UInt64 = 2_000_000

    // MARK: Queues
    public var queueDepth = 1024
    public var inlineCapacityByteCount = 256

    public init() {}

    /// Bytes to nanoseconds on the wire, rounded up.
    @inlinable
    func wireNanoseconds(_ byteCount: Int) -> UInt64 {
        UInt64((Double(byteCount) / bytesPerNanosecond).rounded(.up))
    }
}

/// What posting costs the thread that posts (charged in virtual time only; in real time it costs what it costs).
public struct PostingCosts: Equatable, Sendable {
    /// A data put, from the drained command to the posted request.
    public var putNanoseconds: UInt64 = 0
    /// A signal.
    public var signalNanoseconds: UInt64 = 0
    /// A doorbell.
    public var doorbellNanoseconds: UInt64 = 0
    /// A poll that returned at least one completion.
    public var pollNanoseconds: UInt64 = 0

    public init() {}
}

extension NICParameters {
    /// The promises that this model keeps by construction.
    public var guarantees: OrderingGuarantees {
        var promises = [
            OrderingGuarantees.Promise(
                .completionImpliesVisibility,
                source: "soft NIC acknowledges after it has placed every byte"),
            OrderingGuarantees.Promise(
                .immediatesExactlyOnce, source: "soft NIC delivers each immediate once"),
        ]
        if honoursFence {
            promises.append(
                .init(
                    .fenceCoversWrites,
                    source:
                        "soft NIC holds a flagged request until its \(fenceScope.rawValue) is acknowledged"
                ))
        }
        if mode == .inOrder {
            promises.append(
                isProviderOrdered
                    ? .init(
                        .providerWriteAfterWrite,
                        source:
                            "soft NIC places in order when write-after-write order was requested")
                    : .init(
                        .writesInOrder,
                        source:
                            "soft NIC places each queue pair's writes in order, signals in a strict region"
                    ))
        }
        if mode != .unordered {
            promises.append(
                .init(
                    .immediateCoversEarlierWrites,
                    source: "soft NIC delivers an immediate after earlier writes of its queue pair")
            )
            promises.append(
                .init(
                    .atomicAfterWrites,
                    source: "soft NIC runs an atomic after earlier writes of its queue pair"))
        }
        return OrderingGuarantees(
            promises: promises, completesInOrder: mode != .unordered, fenceScope: fenceScope)
    }
}
