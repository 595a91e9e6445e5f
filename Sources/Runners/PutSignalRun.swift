// The microbenchmark of the cause: concurrent transfers put alone, and put with signal under every scheme.

import CPerseusABI
import PerseusMegakernel
import PerseusMemory
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC

/// Ranks send `concurrency` transfers each to ranks of other nodes at the same time.
public struct PutSignalWorkload: Sendable, Equatable {
    /// Who sends.
    public enum Senders: String, CaseIterable, Sendable {
        /// Rank 0 alone: what one proxy and one NIC can do.
        case one
        /// Every rank: receivers' ports are contended too.
        case all
    }

    public var ranks: Int
    public var ranksPerNode: Int
    /// Transfers of each rank.
    public var concurrency: Int
    /// Bytes of one transfer; a multiple of 16.
    public var byteCount: Int
    public var senders = Senders.one
    public var seed: UInt64 = 1

    /// - Throws: `badInput` where the sizes leave nothing to send, or cannot be named by a command.
    public init(nodes: Int, ranksPerNode: Int, concurrency: Int, byteCount: Int) throws {
        guard nodes > 1 else {
            throw PerseusError(
                .badInput, "put-signal needs 2 nodes or more: ranks of one node use no proxy")
        }
        guard byteCount % 16 == 0, byteCount > 0, byteCount <= Int(PERSEUS_MAX_PUT_BYTES) else {
            throw PerseusError(
                .badInput,
                "put-signal: \(byteCount) bytes; a put takes a multiple of 16, up to \(PERSEUS_MAX_PUT_BYTES)"
            )
        }
        ranks = nodes * ranksPerNode
        self.ranksPerNode = ranksPerNode
        self.concurrency = concurrency
        self.byteCount = byteCount
    }

    var senderCount: Int { senders == .one ? 1 : ranks }

    /// Transfers of one rank to one destination, at most.
    package var mostPerDestination: Int {
        let destinations = ranks - ranksPerNode
        return (concurrency + destinations - 1) / destinations
    }

    /// - Throws: `badInput` where offsets exceed what a command can name.
    func makeLayout() throws -> perseus_arena_layout {
        let layout = perseus_arena_layout_make(
            UInt32(ranks), UInt32(concurrency), UInt32(byteCount), UInt32(mostPerDestination),
            UInt32(mostPerDestination * ranks))
        guard layout.data_byte_count >> 39 == 0 else {
            throw PerseusError(
                .badInput,
                "put-signal: \(ranks) ranks x \(concurrency) transfers x \(byteCount) bytes exceed the 512 GiB"
                    + " that a command can name")
        }
        return layout
    }
}

/// A finished microbenchmark.
public struct PutSignalRun: Sendable {
    /// From the first push to the last byte or word of a sender at its peers, averaged over the senders, nanoseconds.
    public var senderNanoseconds: Double
    public var outcome: RunOutcome
    public var setup: SchemeSetup
}

/// Runs the transfers of `workload` under `scheme`; nil: puts only, over the transport of `coupled`.
///
/// No bytes are moved: what is measured is posting, ordering and the NIC.
/// - Throws: `badInput` when the ordering is not proven on the profile's fabric.
public func runPutSignal(
    _ scheme: Scheme?, _ workload: PutSignalWorkload, _ settings: RunSettings
) throws -> PutSignalRun {
    let layout = try workload.makeLayout()
    let setup = try SchemeSetup(
        scheme ?? .coupled, profile: settings.profile, ranks: workload.ranks,
        groupWords: workload.mostPerDestination, options: settings.options)
    try setup.ordering.checkImmediates(
        layout: layout, messageByteCount: workload.byteCount, hint: "use fewer or smaller transfers"
    )
    let heaps = try (0..<workload.ranks).map { _ in
        try SymmetricHeap(layout: layout, hasData: false)
    }
    let transport = TransportJob(
        plan: settings.transportPlan(of: setup), memory: heaps.map(RankMemory.init),
        remoteRanks: { _ in workload.ranks - workload.ranksPerNode })
    let kernels = (0..<workload.ranks).map { rank in
        PutSignalKernel(
            rank: rank, layout: layout,
            transfers: TransferList(
                rank: rank, ranks: workload.ranks, ranksPerNode: workload.ranksPerNode,
                count: rank < workload.senderCount ? workload.concurrency : 0,
                isDestinationMajor: scheme != nil && setup.program.isDestinationMajor,
                seed: workload.seed),
            byteCount: workload.byteCount, program: scheme == nil ? nil : setup.program,
            port: transport.ports[rank],
            roundCount: settings.clock == .virtual ? 1 : 2)
    }
    // Receivers of plain writes have nothing to do, and on the machine's clock their idle steps would delay the sender.
    let active = setup.ordering.usesImmediates ? workload.ranks : workload.senderCount
    let outcome = settings.drive(
        transport, kernels, costs: CostModel(profile: settings.profile),
        activeRanks: Array(0..<active))
    let sum = (0..<workload.senderCount).reduce(0.0) {
        $0
            + Double(
                transport.engines[$1].lastPlacedAt &- (outcome.measuredFrom[$1] ?? 0))
    }
    return withExtendedLifetime(heaps) {
        PutSignalRun(
            senderNanoseconds: sum / Double(workload.senderCount), outcome: outcome, setup: setup)
    }
}
