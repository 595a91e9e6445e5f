// The named schemes: path, signaling and ordering, and what each means for kernel, proxy and NIC.

import CPerseusABI
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC
import PerseusTransport

/// A way to carry a layer's traffic.
public enum Scheme: String, CaseIterable, Sendable {
    case collective
    case coupled
    case decoupled
    case nicOrdered = "nic-ordered"
    case perseus
    case gpuDirect = "gpu-direct"
    case perseusPlus = "perseus-plus"

    public enum Path: String, Sendable {
        /// Commands go through rings to CPU proxies.
        case proxy
        /// The kernel's roles write work requests themselves.
        case gpuDirect = "gpu-direct"
        /// Bulk transfers with barriers between the stages.
        case collective
    }

    public var path: Path {
        switch self {
        case .collective: .collective
        case .gpuDirect: .gpuDirect
        default: .proxy
        }
    }

    /// The word for reports; `perseus-plus` settles on one of the two when the ordering is known.
    func signaling(ordering: SignalOrdering) -> String {
        switch self {
        case .collective: "per-peer"
        case .coupled, .nicOrdered, .gpuDirect: "coupled"
        case .decoupled, .perseus: "decoupled"
        case .perseusPlus: ordering.plan.ordersBySignal ? "adaptive (grouped)" : "adaptive (early)"
        }
    }

    /// The ordering that the scheme stands for; nil: the cheapest proven one.
    func definingOrdering(profile: Profile) -> SignalOrdering? {
        switch self {
        case .collective: .drainAll
        case .coupled, .decoupled: profile.vanillaDrain
        case .nicOrdered, .perseus: .fenceFlag
        // What GPU-initiated transports build on: the fabric's own order.
        case .gpuDirect: profile.hasProviderOrderOnRequest ? .providerOrder : .inOrder
        case .perseusPlus: nil
        }
    }
}

/// What a user may override.
public struct SchemeOptions: Sendable {
    public var ordering: SignalOrdering?
    /// Transfers per dispatch group; nil: one group per destination.
    public var groupSize: Int?
    /// Blocks per combine group; nil: as the scheme does.
    public var combineGroupSize: Int?
    public var proxyThreads = 1
    /// Run an ordering whose obligation the fabric does not meet.
    public var allowsUnproven = false
    /// What a refusal of such an ordering adds: how to run it all the same, where there is a way.
    public var unprovenHint: String?
    public var seed: UInt64 = 0
    /// Rounds that earlier layers have used (see `LayerProgram.firstRound`).
    public var firstRound = 0
    public var deadlineNanoseconds: UInt64 = 10_000_000_000

    public init() {}
}

/// A scheme on a fabric, every choice made.
public struct SchemeSetup: Sendable {
    public let scheme: Scheme
    public let ordering: SignalOrdering
    /// Why the ordering is correct here, or that it is not proven.
    public let proof: String
    public let isProven: Bool
    public let signaling: String
    public let program: LayerProgram
    package let transport: TransportPlan

    /// - Parameter groupWords: most signal words that one destination gets at once.
    /// - Throws: `badInput` with the reason when the ordering is not proven on this fabric and that was not
    ///   explicitly allowed.
    public init(
        _ scheme: Scheme, profile: Profile, ranks: Int, groupWords: Int, options: SchemeOptions
    ) throws {
        self.scheme = scheme
        let wanted = options.ordering ?? scheme.definingOrdering(profile: profile)
        let nic = profile.nic(for: wanted)
        let ordering = wanted ?? SignalOrdering.cheapest(on: nic.guarantees) ?? .drainAll
        let (isProven, reason) = ordering.proof(on: nic.guarantees)
        guard isProven || options.allowsUnproven else {
            throw PerseusError(
                .badInput,
                "scheme \(scheme.rawValue) on \(profile.name): \(reason)",
                hint: options.unprovenHint)
        }
        self.ordering = ordering
        self.isProven = isProven
        proof = reason
        signaling = scheme.signaling(ordering: ordering)
        program = Self.program(scheme, ordering: ordering, nic: nic, options)
        let threads = scheme.path == .gpuDirect ? 1 : options.proxyThreads
        let lanesPerThread = (ranks + threads - 1) / threads
        transport = TransportPlan(
            ordering: ordering, isDirect: scheme.path == .gpuDirect,
            proxy: Self.proxy(scheme, groupWords: groupWords, options), nic: nic,
            proxyThreads: threads,
            queueCount: scheme == .perseusPlus
                ? max(1, min(lanesPerThread, profile.queuePairLimit)) : profile.vanillaQueuePairs)
    }

    /// The setup for a layer.
    ///
    /// - Throws: `badInput` also where immediates cannot name the layer's words and rows.
    public init(
        _ scheme: Scheme, profile: Profile, geometry: LayerGeometry, options: SchemeOptions
    ) throws {
        try self.init(
            scheme, profile: profile, ranks: geometry.rankCount,
            groupWords: geometry.placement.maxExpertsPerRank, options: options)
        try ordering.checkImmediates(
            layout: geometry.layout,
            messageByteCount: geometry.roundTokens * Int(geometry.layout.row_stride),
            hint: "use a smaller --heap-limit (more rounds) or another --ordering")
        if ordering == .countedImmediate && program.isStaged {
            throw PerseusError(
                .badInput,
                "scheme collective sends one put for several experts, which counted-immediate does not count"
            )
        }
    }

    private static func program(
        _ scheme: Scheme, ordering: SignalOrdering, nic: NICParameters, _ options: SchemeOptions
    ) -> LayerProgram {
        var program = LayerProgram()
        program.orderSeed = options.seed
        program.firstRound = options.firstRound
        program.addsSignals = ordering == .atomic
        program.putsEveryWord = ordering == .countedImmediate
        program.quietsBetweenRounds = nic.mode != .inOrder
        switch scheme {
        case .collective: program.isStaged = true
        case .coupled, .nicOrdered: program.signaling = .coupled
        case .gpuDirect:
            program.signaling = options.groupSize.map { .perTransfers(size: $0) } ?? .coupled
        case .decoupled, .perseus:
            program.signaling = options.groupSize.map { .perTransfers(size: $0) } ?? .perDestination
        case .perseusPlus:
            program.isDestinationMajor = true
            program.coalescesGroup = true
            program.pairsSources = true
            // Where order is free every signal leaves early and the proxy joins those that are ready together.
            program.signaling = ordering.plan.ordersBySignal ? .perDestination : .coupled
            if let size = options.groupSize { program.signaling = .perTransfers(size: size) }
        }
        return program
    }

    private static func proxy(
        _ scheme: Scheme, groupWords: Int, _ options: SchemeOptions
    ) -> ProxyConfiguration {
        var proxy = ProxyConfiguration()
        proxy.deadlineNanoseconds = options.deadlineNanoseconds
        proxy.stallsOnDrain = scheme != .perseusPlus
        proxy.stallsWhenFull = scheme != .perseusPlus
        proxy.signalWordCapacity = max(32, groupWords)
        proxy.coalesces = scheme == .perseusPlus || (options.combineGroupSize ?? 1) > 1
        proxy.groupsCombineOnly = scheme != .perseusPlus
        proxy.groupWordLimit = options.combineGroupSize ?? 32
        return proxy
    }
}

extension SignalOrdering {
    /// Refuses, before anything starts, what the 32 bits of an immediate cannot name.
    func checkImmediates(
        layout: perseus_arena_layout, messageByteCount: Int, hint: String
    ) throws {
        guard usesImmediates else { return }
        let words = Int(layout.signal_byte_count / 8)
        let isCounted = self == .countedImmediate
        if words > Immediate.signalWordLimit
            || (isCounted && layout.data_byte_count > Immediate.dataRegionByteLimit)
            || (isCounted && messageByteCount > Int(PERSEUS_MAX_PUT_BYTES))
        {
            throw PerseusError(
                .badInput,
                "ordering \(rawValue): 32-bit immediates cannot name \(words) signal words,"
                    + " \(layout.data_byte_count) bytes per rank or messages of \(messageByteCount) bytes",
                hint: hint)
        }
    }
}
