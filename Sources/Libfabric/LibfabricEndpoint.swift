// Stage 7 of 10 — post: work requests to a libfabric provider.
// Upstream:   ProxyLoop+Post.swift
// Downstream: Subscriber.swift (the words that the provider writes)

import CFabric
import Glibc
import PerseusPrimitives
import PerseusTransport

/// One endpoint of one proxy thread.
///
/// Progress is manual: `poll` moves this rank's requests and those of others that write here, so a rank polls as long as
/// anybody may write to it.
public struct LibfabricEndpoint: Transport, ~Copyable {
    private let endpoint: OpaquePointer
    public let provider: LibfabricProvider
    public let guarantees: OrderingGuarantees
    private let rank: UInt32
    private let completions: UnsafeMutablePointer<perseus_fabric_completion>
    private static let pollLimit = 64
    /// Arrivals that `poll` found, until `pollReceive` takes them.
    private let arrivals: UnsafeMutablePointer<ReceiveCompletion>
    private var firstArrival = 0
    private var arrivalCount = 0
    private static let arrivalLimit = 4096

    public var queueCount: Int { 1 }
    public var queueDepth: Int { provider.queueDepth }
    public var inlineCapacityByteCount: Int { provider.inlineByteCount }

    /// Opens an endpoint that writes to ranks `0 ..< rankCount`.
    ///
    /// - Parameter provider: "tcp", "shm", "sockets", "udp", "efa", "cxi", "verbs".
    /// - Errors: `environment` when libfabric or the provider is not there, or gives too little.
    public init(provider name: String, rank: Int, rankCount: Int) throws(PerseusError) {
        let (opened, found) = try Self.open(name, rankCount: rankCount)
        endpoint = opened
        provider = found
        guarantees = found.guarantees
        self.rank = UInt32(rank)
        completions = .allocate(capacity: Self.pollLimit)
        arrivals = .allocate(capacity: Self.arrivalLimit)
    }

    private static func open(
        _ name: String, rankCount: Int
    ) throws(PerseusError) -> (OpaquePointer, LibfabricProvider) {
        if case .failure(let error) = LibfabricProvider.library { throw error }
        var traits = perseus_fabric_traits()
        let (opened, reason) = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) {
            text in
            text[0] = 0
            let opened = perseus_fabric_open(
                name, UInt32(rankCount), &traits, text.baseAddress, text.count)
            return (opened, String(cString: text.baseAddress!))
        }
        guard let opened else {
            throw PerseusError(
                .environment, "libfabric:\(name): \(reason)",
                hint: "fi_info lists what this machine has")
        }
        let provider = LibfabricProvider(traits)
        guard provider.inlineByteCount >= 8 else {
            perseus_fabric_close(opened)
            throw PerseusError(
                .environment, "libfabric:\(name): \(provider.name) injects no signal word")
        }
        return (opened, provider)
    }

    deinit {
        perseus_fabric_close(endpoint)
        completions.deallocate()
        arrivals.deallocate()
    }

    // MARK: Meeting the others

    /// Lets peers write to a region, and this endpoint send from there.
    ///
    /// - Returns: what peers need to know of it, for `LibfabricAddress`.
    /// - Errors: `environment` when the provider refuses.
    public func register(
        region: Int, base: UnsafeMutableRawPointer, byteCount: Int
    ) throws(PerseusError) -> LibfabricAddress.Region {
        var (key, remoteBase) = (UInt64(0), UInt64(0))
        let status = perseus_fabric_register(
            endpoint, Int32(region), base, UInt64(byteCount), &key, &remoteBase)
        guard status == 0 else { throw failure(status, "cannot register \(byteCount) bytes") }
        return LibfabricAddress.Region(index: UInt8(region), key: key, base: remoteBase)
    }

    /// Where this endpoint is, with its regions: what `connect` of the others takes.
    public func address(_ regions: [LibfabricAddress.Region]) throws(PerseusError)
        -> LibfabricAddress
    {
        var bytes = [UInt8](repeating: 0, count: Int(PERSEUS_FABRIC_ADDRESS_BYTES))
        let count = perseus_fabric_address(endpoint, &bytes)
        guard count > 0 else { throw failure(count, "has no address") }
        return LibfabricAddress(name: bytes, regions: regions)
    }

    /// Makes a rank known.
    public func connect(_ peer: Int, _ address: LibfabricAddress) throws(PerseusError) {
        let status = perseus_fabric_connect(endpoint, UInt32(peer), address.name)
        guard status == 0 else { throw failure(status, "cannot take the address of rank \(peer)") }
        for region in address.regions {
            perseus_fabric_set_remote(
                endpoint, UInt32(peer), Int32(region.index), region.key, region.base)
        }
    }

    private func failure(_ status: Int32, _ what: String) -> PerseusError {
        PerseusError(
            .environment,
            "libfabric: \(provider.name) \(what): \(String(cString: perseus_fabric_error(status)))")
    }

    // MARK: Transport

    public mutating func post(_ request: WorkRequest) -> PostOutcome {
        precondition(
            request.operation != .fetchAdd,
            "LibfabricEndpoint: no ordering promised needs an atomic")
        var wanted = perseus_fabric_request()
        wanted.context = request.identifier
        wanted.local_offset = request.localOffset
        wanted.remote_offset = request.remoteOffset
        wanted.peer = request.peer
        wanted.byte_count = request.byteCount
        wanted.local_region = request.localRegion
        wanted.remote_region = request.remoteRegion
        wanted.is_inline = request.isInline ? 1 : 0
        wanted.is_fenced = request.isFenced ? 1 : 0
        if request.operation == .writeWithImmediate {
            wanted.has_remote_data = 1
            wanted.remote_data = UInt64(rank) << 32 | UInt64(request.immediate)
        }
        return perseus_fabric_post(endpoint, &wanted, request.payload) == 0 ? .accepted : .full
    }

    public mutating func ringDoorbell() { perseus_fabric_ring(endpoint) }

    public mutating func poll(_ found: UnsafeMutablePointer<WorkCompletion>, limit: Int) -> Int {
        let room = min(limit, Self.pollLimit, Self.arrivalLimit - arrivalCount)
        let count = Int(perseus_fabric_poll(endpoint, completions, Int32(room)))
        var result = 0
        for index in 0..<count {
            let completion = completions[index]
            if completion.is_arrival == 1 {
                arrive(completion.context)
            } else {
                found[result] = WorkCompletion(
                    identifier: completion.context, status: Self.status(completion.error))
                result += 1
            }
        }
        return result
    }

    public mutating func pollReceive(
        _ found: UnsafeMutablePointer<ReceiveCompletion>, limit: Int
    ) -> Int {
        let count = min(limit, arrivalCount)
        for index in 0..<count {
            found[index] = arrivals[firstArrival]
            firstArrival = (firstArrival + 1) % Self.arrivalLimit
        }
        arrivalCount -= count
        return count
    }

    private mutating func arrive(_ data: UInt64) {
        arrivals[(firstArrival + arrivalCount) % Self.arrivalLimit] = ReceiveCompletion(
            source: UInt32(data >> 32), immediate: UInt32(truncatingIfNeeded: data))
        arrivalCount += 1
    }

    private static func status(_ error: Int32) -> WorkCompletion.Status {
        switch error {
        case 0: .success
        case ECANCELED: .flushed
        case EACCES, EFAULT, EINVAL: .remoteAccessError
        default: .retryExceeded
        }
    }
}

/// What a rank tells the others of its endpoint.
public struct LibfabricAddress: Equatable, Sendable {
    public struct Region: Equatable, Sendable {
        let index: UInt8
        let key: UInt64
        let base: UInt64
    }

    let name: [UInt8]
    let regions: [Region]
}
