// What the kernel side of a scheme does differently: when it signals, in which order it sends, where it stops.

import PerseusMoE
import PerseusPrimitives

/// How a rank's roles behave under one scheme. The proxy's side is `ProxyConfiguration` and `SignalOrdering`.
public struct LayerProgram: Sendable {
    /// How dispatch signals relate to puts.
    public enum Signaling: Sendable, Equatable {
        /// Every put is followed by its own signal.
        case coupled
        /// A counter finds the last put of a destination; the leader signals the whole group.
        case perDestination
        /// The same for every `size` consecutive transfers, whatever their destinations.
        case perTransfers(size: Int)
    }

    public var signaling = Signaling.coupled
    /// The signals of a group leave as one write of consecutive words.
    public var coalescesGroup = false
    /// Destination after destination, each rank starting behind itself; otherwise in a shuffled expert order,
    /// which stands for the arrival order of the CTAs of a megakernel.
    public var isDestinationMajor = false
    /// Bulk all-to-all: one put per peer, a wait for completion, and barriers between the stages.
    public var isStaged = false
    /// Signals are added to their words instead of being written.
    public var addsSignals = false
    /// A task may take its two segments from different sources; otherwise a tile holds rows of one source only, as in
    /// the megakernels that Perseus is measured against.
    public var pairsSources = false
    /// Arrivals are counted per signal word, so every word needs a put of its own.
    public var putsEveryWord = false
    /// Unordered fabrics: an old write must have landed before its word is written again.
    public var quietsBetweenRounds = false
    /// Seed of the shuffled order.
    public var orderSeed: UInt64 = 0
    /// Rounds that earlier layers have used: where this layer's epochs begin.
    public var firstRound = 0

    public init() {}

    /// The epoch of a round: 1 to 2^15 - 1, over and over. Zero is left out, because a word of zeros means "never
    /// written".
    func epoch(ofRound round: Int) -> UInt32 { UInt32((firstRound + round) % 0x7FFF + 1) }

    /// The experts in the order in which `rank` sends to them: fixed for the layer, different on each rank.
    public func sendingOrder(of rank: Int, _ geometry: LayerGeometry) -> [Int32] {
        if isDestinationMajor || isStaged {
            return (1...geometry.rankCount).flatMap { offset in
                geometry.placement.range(of: (rank + offset) % geometry.rankCount).map(Int32.init)
            }
        }
        var order = (0..<geometry.model.expertCount).map(Int32.init)
        var random = SeededRandom(seed: orderSeed, stream: 0x0DE4 &+ UInt64(rank))
        for last in stride(from: order.count - 1, to: 0, by: -1) {
            order.swapAt(last, random.next(below: last + 1))
        }
        return order
    }
}
