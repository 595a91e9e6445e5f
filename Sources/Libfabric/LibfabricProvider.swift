// What each libfabric provider promises about order, with the source: the lattice, as a table.

import CFabric
import PerseusPrimitives
import PerseusTransport

/// A provider as this machine's libfabric offers it.
public struct LibfabricProvider: Sendable {
    /// "tcp;ofi_rxm": the provider, and what is layered on it.
    public let name: String
    public let inlineByteCount: Int
    public let queueDepth: Int
    let ordersWrites: Bool
    let hasFence: Bool
    let completesAtPeer: Bool
    let hasRemoteData: Bool

    init(_ traits: perseus_fabric_traits) {
        name = withUnsafeBytes(of: traits.provider) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        inlineByteCount = Int(traits.inline_bytes)
        queueDepth = Int(traits.queue_depth)
        ordersWrites = traits.orders_writes == 1
        hasFence = traits.has_fence == 1
        completesAtPeer = traits.completes_at_peer == 1
        hasRemoteData = traits.has_remote_data == 1
    }

    /// libfabric of this machine: its version, or why there is none.
    public static var library: Result<String, PerseusError> {
        switch Int(perseus_fabric_load()) {
        case Int(PERSEUS_FABRIC_READY.rawValue):
            let version = perseus_fabric_version()
            return .success("\(version >> 16).\(version & 0xFFFF)")
        case Int(PERSEUS_FABRIC_NOT_BUILT.rawValue):
            return .failure(
                PerseusError(
                    .environment, "built without libfabric",
                    hint: "install libfabric-dev (Debian) and build again"))
        default:
            return .failure(
                PerseusError(
                    .environment, "libfabric.so.1 is not there",
                    hint: "install libfabric1 (Debian), or set LD_LIBRARY_PATH"))
        }
    }

    /// Providers with reliable datagrams and remote writes; none without the library.
    public static var available: [LibfabricProvider] {
        let limit = 32
        return withUnsafeTemporaryAllocation(of: perseus_fabric_traits.self, capacity: limit) {
            let count = Int(perseus_fabric_list($0.baseAddress, Int32(limit)))
            return (0..<count).map { [list = $0] in LibfabricProvider(list[$0]) }
        }
    }

    /// What is known of providers, by the first part of their names.
    private enum Known {
        /// Why write-after-write order covers different addresses too: libfabric itself promises it for one address.
        static let order: [(name: String, source: String)] = [
            ("tcp", "one byte stream for each pair of endpoints (fi_tcp), order requested"),
            ("net", "one byte stream for each pair of endpoints (fi_net), order requested"),
            ("sockets", "one byte stream for each pair of endpoints (fi_sockets), order requested"),
            ("cxi", "ordered writes at the target, of any size, when requested (fi_cxi)"),
        ]
        /// Fence flags that hold back more than the peer's requests.
        static let queueFences = ["cxi"]
        /// Whose remote data arrives exactly once, and was seen to (facts/swift.md 4.2: net claims it and delivers none).
        static let remoteData = ["tcp", "shm", "sockets", "udp", "efa"]
    }

    private var base: String { String(name.prefix { $0 != ";" }) }

    /// What an endpoint of it promises.
    ///
    /// - Order on shared memory (shm) and over rxd (udp) is requested and granted, but nobody documents it across
    ///   addresses: it is not promised here, and `perseus litmus` will say whether it was ever contradicted.
    public var guarantees: OrderingGuarantees {
        var promises: [OrderingGuarantees.Promise] = []
        if completesAtPeer {
            promises.append(
                .init(
                    .completionImpliesVisibility,
                    source: "FI_DELIVERY_COMPLETE of fi_cq(3), granted by \(name)"))
        }
        if hasFence && completesAtPeer {
            promises.append(
                .init(
                    .fenceCoversWrites,
                    source:
                        "FI_FENCE of fi_endpoint(3) behind delivery-complete writes, granted by \(name)"
                ))
        }
        if ordersWrites, let known = Known.order.first(where: { $0.name == base }) {
            promises.append(.init(.providerWriteAfterWrite, source: known.source))
        }
        if hasRemoteData && Known.remoteData.contains(base) {
            promises.append(
                .init(
                    .immediatesExactlyOnce,
                    source: "FI_REMOTE_CQ_DATA of fi_rma(3) on a reliable endpoint"))
        }
        return OrderingGuarantees(
            promises: promises, completesInOrder: false,
            fenceScope: Known.queueFences.contains(base) ? .queue : .peer)
    }
}
