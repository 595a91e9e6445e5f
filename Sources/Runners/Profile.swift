// What a cluster is made of, as far as a layer's time depends on it: NIC, proxy, GPU.

import PerseusProxy
import PerseusSoftNIC
import PerseusTransport

/// The cost model of one cluster. Time from a profile is modelled time and reported as such.
///
/// Values come from files, each with its source (`Profiles/*.profile`, docs/profiles.md); `ProfileParameter.all` lists
/// them with their meanings and ranges. The zeros here are what a file replaces.
public struct Profile: Equatable, Sendable {
    public var name = ""
    public var summary = ""
    public var fabric = NICParameters()
    /// Provider order is there for the asking: other orderings run on unordered data.
    public var hasProviderOrderOnRequest = false
    /// Whether a GPU can write work requests into this NIC's queues; where not, `gpu-direct` is what if.
    public var hasGPUInitiatedTransport = false
    /// How this cluster's NVSHMEM proxy drains.
    public var vanillaDrain = SignalOrdering.drainAll
    /// Queue pairs that the vanilla proxy spreads its destinations over.
    public var vanillaQueuePairs = 1
    /// Most queue pairs that one proxy thread opens for its lanes.
    public var queuePairLimit = 1

    // MARK: Proxy
    public var posting = PostingCosts()
    /// Posting by a GPU thread instead of a proxy.
    public var directPosting = PostingCosts()
    /// Draining one command.
    public var drainNanoseconds: UInt64 = 0
    /// From a GPU's push to the proxy that sees it.
    public var ringNanoseconds: UInt64 = 0
    /// An idle proxy notices a change after this.
    public var proxyPollNanoseconds: UInt64 = 0

    // MARK: GPU
    /// bf16 rate of all expert GEMMs of a rank, floating-point operations per nanosecond (= GFLOP/s).
    public var flopsPerNanosecond = 0.0
    /// Thread blocks that multiply; a 128-row block of one expert occupies hidden / 128 of them.
    public var multiprocessorSlots = 0
    public var memoryBytesPerNanosecond = 0.0
    public var nvlinkBytesPerNanosecond = 0.0
    /// Fixed part of a layer: launch, routing, first tiles.
    public var layerNanoseconds: UInt64 = 0
    public var pushNanoseconds: UInt64 = 0
    public var packNanoseconds: UInt64 = 0
    /// A subscriber notices a signal after this.
    public var observeNanoseconds: UInt64 = 0
    public var taskNanoseconds: UInt64 = 0
    /// One stage of a host-driven library: kernel launch, barrier over all ranks.
    public var stageNanoseconds: UInt64 = 0

    /// For the parser, which sets everything.
    init() {}

    /// The NIC as it behaves when `ordering` is asked of it.
    public func nic(for ordering: SignalOrdering?) -> NICParameters {
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
