// What a cluster is made of, as far as a layer's time depends on it: NIC, proxy, GPU.

import PerseusProxy
import PerseusSoftNIC
import PerseusTransport

/// The cost model of one cluster. Values are from `docs/profiles.md`: data sheets, the paper's numbers, or guesses, each
/// marked there. Time from a profile is modelled time and reported as such.
public struct Profile: Sendable {
    public var name: String
    public var summary: String
    public var fabric = NICParameters()
    /// Provider order is there for the asking: other orderings run on unordered data.
    public var hasProviderOrderOnRequest = false
    /// Whether a GPU can write work requests into this NIC's queues; where not, `gpu-direct` is what if.
    public var hasGPUInitiatedTransport = true
    /// How this cluster's NVSHMEM proxy drains.
    public var vanillaDrain = SignalOrdering.drainAll
    /// Queue pairs that the vanilla proxy spreads its destinations over.
    public var vanillaQueuePairs = 1
    /// Most queue pairs that one proxy thread opens for its lanes.
    public var queuePairLimit = 64

    // MARK: Proxy
    public var posting = PostingCosts()
    /// Posting by a GPU thread instead of a proxy.
    public var directPosting = PostingCosts()
    /// Draining one command.
    public var drainNanoseconds: UInt64 = 20
    /// From a GPU's push to the proxy that sees it.
    public var ringNanoseconds: UInt64 = 1000
    /// An idle proxy notices a change after this.
    public var proxyPollNanoseconds: UInt64 = 100

    // MARK: GPU
    /// bf16 rate of all expert GEMMs of a rank, floating-point operations per nanosecond (= GFLOP/s).
    public var flopsPerNanosecond = 84_000.0
    /// Thread blocks that multiply; a 128-row block of one expert occupies hidden / 128 of them.
    public var multiprocessorSlots = 216
    public var memoryBytesPerNanosecond = 1500.0
    public var nvlinkBytesPerNanosecond = 250.0
    /// Fixed part of a layer: launch, routing, first tiles.
    public var layerNanoseconds: UInt64 = 20_000
    public var pushNanoseconds: UInt64 = 50
    public var packNanoseconds: UInt64 = 300
    /// A subscriber notices a signal after this.
    public var observeNanoseconds: UInt64 = 500
    public var taskNanoseconds: UInt64 = 1000
    /// One stage of a host-driven library: kernel launch, barrier over all ranks.
    public var stageNanoseconds: UInt64 = 60_000

    public init(name: String, summary: String) {
        self.name = name
        self.summary = summary
    }

    /// The NIC as it behaves when `ordering` is asked of it.
    func nic(for ordering: SignalOrdering?) -> NICParameters {
        var nic = fabric
        if hasProviderOrderOnRequest {
            nic.isProviderOrdered = true
            nic.mode = ordering == nil || ordering == .providerOrder ? .inOrder : .unordered
        }
        return nic
    }

    /// Parallel expert blocks of a rank.
    func processorCount(hidden: Int) -> Int {
        max(1, multiprocessorSlots / max(1, hidden / 128))
    }
}

extension Profile {
    /// All built-in profiles, the default first.
    public static let builtIn: [Profile] = [
        .perlmutter, .connectX7, .adaptiveRouting, .scalableDatagrams, .ideal,
    ]

    public static func named(_ name: String) -> Profile? { builtIn.first { $0.name == name } }

    /// Four A100 per node, Slingshot-11, libfabric's cxi provider; the paper's first machine.
    static var perlmutter: Profile {
        var profile = Profile(
            name: "perlmutter-slingshot11",
            summary:
                "A100, Slingshot-11 25 GB/s per GPU, libfabric cxi: queue-wide fence, software counters"
        )
        profile.fabric.bytesPerNanosecond = 25
        profile.fabric.latencyNanoseconds = 800
        profile.fabric.messageNanoseconds = 50
        profile.fabric.refillNanoseconds = 28_000
        profile.fabric.refillByteCount = 150_000
        profile.fabric.completionNanoseconds = 300
        profile.fabric.completionPerDestinationNanoseconds = 2170
        profile.fabric.fenceScope = .queue
        profile.fabric.reorderNanoseconds = 200
        profile.hasProviderOrderOnRequest = true
        profile.hasGPUInitiatedTransport = false
        profile.posting.putNanoseconds = 1250
        profile.posting.signalNanoseconds = 200
        profile.posting.doorbellNanoseconds = 100
        profile.directPosting.putNanoseconds = 150
        profile.directPosting.signalNanoseconds = 50
        return profile
    }

    /// Eight H100 per node, ConnectX-7 NDR, reliable connections; the paper's second machine.
    static var connectX7: Profile {
        var profile = Profile(
            name: "h100-connectx7",
            summary:
                "H100, ConnectX-7 50 GB/s per GPU, IBRC: in-order queue pairs, hardware completions"
        )
        profile.fabric.bytesPerNanosecond = 50
        profile.fabric.latencyNanoseconds = 800
        profile.fabric.messageNanoseconds = 5
        profile.fabric.refillNanoseconds = 15_000
        profile.fabric.refillByteCount = 150_000
        profile.fabric.completionNanoseconds = 4000
        // A reliable connection has one peer, so its fence holds back nobody else.
        profile.fabric.fenceScope = .peer
        profile.vanillaDrain = .drainPeer
        profile.vanillaQueuePairs = 4
        profile.posting.putNanoseconds = 600
        profile.posting.signalNanoseconds = 300
        profile.posting.doorbellNanoseconds = 100
        profile.directPosting.putNanoseconds = 150
        profile.directPosting.signalNanoseconds = 50
        profile.flopsPerNanosecond = 240_000
        profile.multiprocessorSlots = 264
        profile.memoryBytesPerNanosecond = 3000
        profile.nvlinkBytesPerNanosecond = 400
        return profile
    }

    /// Nothing costs anything but bytes: what remains is the protocol.
    static var ideal: Profile {
        var profile = Profile(
            name: "ideal", summary: "wire time only: no overheads, in-order queue pairs")
        profile.fabric.bytesPerNanosecond = 50
        profile.fabric.latencyNanoseconds = 500
        profile.fabric.messageNanoseconds = 1
        profile.fabric.completionNanoseconds = 0
        profile.fabric.fenceScope = .peer
        profile.drainNanoseconds = 0
        profile.ringNanoseconds = 0
        profile.proxyPollNanoseconds = 0
        profile.flopsPerNanosecond = 400_000
        profile.layerNanoseconds = 0
        profile.pushNanoseconds = 0
        profile.packNanoseconds = 0
        profile.observeNanoseconds = 0
        profile.taskNanoseconds = 0
        profile.stageNanoseconds = 0
        return profile
    }

    /// Reliable connections over a fabric that routes every packet on its own.
    static var adaptiveRouting: Profile {
        var profile = connectX7
        profile.name = "roce-adaptive"
        profile.summary =
            "as h100-connectx7 with adaptive routing: writes land out of order, immediates do not"
        profile.fabric.mode = .adaptiveRouting
        return profile
    }

    /// Scalable reliable datagrams as on EFA: no order, no fence, exactly once.
    static var scalableDatagrams: Profile {
        var profile = connectX7
        profile.name = "efa-srd"
        profile.summary = "as h100-connectx7 over unordered datagrams without a fence, as EFA's SRD"
        profile.fabric.mode = .unordered
        profile.fabric.honoursFence = false
        profile.fabric.latencyNanoseconds = 6000
        profile.vanillaDrain = .drainAll
        return profile
    }
}
