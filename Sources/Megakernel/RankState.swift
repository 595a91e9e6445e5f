// What the roles of one rank share: its plan, its counters, its tokens, and where its peers' memory is.

import CPerseusABI
import CPerseusShims
import PerseusExpertKernels
import PerseusMemory
import PerseusMoE

/// Where a rank's routing decisions come from.
public enum RoutingSource: Sendable {
    /// The layer's own router, on the rank's hidden states.
    case router(Router)
    /// The caller's ids and weights, [all tokens, topK].
    case external(RoutingTable)
    /// Drawn from a seed, for runs with modelled compute.
    case synthetic(SyntheticRouting)
}

/// The arithmetic of a layer; absent in a run with modelled compute.
public struct LayerCompute: Sendable {
    public var experts: PackedExperts
    public var shared: PackedExperts?

    public init(experts: PackedExperts, shared: PackedExperts?) {
        self.experts = experts
        self.shared = shared
    }
}

/// A return block that a rank waits for.
@frozen
public struct ReturnBlock: BitwiseCopyable {
    public var wordIndex: Int32
    public var expert: Int32
    public var firstRow: Int32
    public var rows: Int32
}

/// The state of one rank that more than one of its roles touches.
///
/// - Threading: plain fields belong to the roles of the rank's own thread (dispatcher, subscriber, scheduler);
///   words that processors on other threads touch are atomic and say so.
public final class RankState: @unchecked Sendable {
    public let rank: Int
    public let geometry: LayerGeometry
    public let program: LayerProgram
    public let compute: LayerCompute?
    public let heaps: [SymmetricHeap]
    let routing: RoutingSource
    /// [tokens of this rank, hidden] bf16; nil in a run with modelled compute.
    let hidden: UnsafePointer<UInt16>?
    /// [tokens of this rank, hidden] F32 and the routing that led to it; nil in a run with modelled compute.
    let output: UnsafeMutablePointer<Float>?
    public let ids: UnsafeMutablePointer<Int32>
    public let weights: UnsafeMutablePointer<Float>
    /// Row tables of the current round; rebuilt by the dispatcher.
    let plan: UnsafeMutablePointer<DispatchPlan>
    let sharedRows: UnsafeMutablePointer<UInt16>?

    /// The round in progress, from 0.
    public internal(set) var round = 0
    public internal(set) var epoch: UInt32 = 0
    /// The round's plan exists and return blocks may be looked for.
    public internal(set) var isPlanned = false
    /// Blocks that come back in this round, in packed order; [returnWordCount] maps a word to its block or -1.
    let returnBlocks: UnsafeMutablePointer<ReturnBlock>
    var returnBlockCount = 0
    let blockOfWord: UnsafeMutablePointer<Int32>
    let returnWordCount: Int
    /// Observed so far in this round.
    public internal(set) var observedDispatchWords = 0
    public internal(set) var observedReturnBlocks = 0
    /// Expert tasks that the scheduler has made and rows they cover, in this round.
    var producedExpertTasks: UInt64 = 0
    public internal(set) var isLayerDone = false

    /// Counters that processors add to (atomic): expert, shared and combine tasks finished in this round.
    let finished: UnsafeMutablePointer<UInt64>
    static let expertCounter = 0
    static let sharedCounter = 16
    static let combineCounter = 32

    public init(
        rank: Int, geometry: LayerGeometry, program: LayerProgram, compute: LayerCompute?,
        heaps: [SymmetricHeap], routing: RoutingSource, hidden: UnsafePointer<UInt16>?,
        output: UnsafeMutablePointer<Float>?
    ) {
        self.rank = rank
        self.geometry = geometry
        self.program = program
        self.compute = compute
        self.heaps = heaps
        self.routing = routing
        self.hidden = hidden
        self.output = output
        let model = geometry.model
        let slots = max(1, geometry.tokensPerRank[rank] * model.topK)
        ids = .allocate(capacity: slots)
        weights = .allocate(capacity: slots)
        let tokenCapacity = min(geometry.roundTokens, geometry.tokensPerRank[rank])
        plan = .allocate(capacity: 1)
        plan.initialize(
            to: DispatchPlan(
                expertCount: model.expertCount, topK: model.topK, tokenCapacity: tokenCapacity))
        let rows = tokenCapacity * model.topK
        returnWordCount = Int(perseus_return_word_count(UInt64(rows), UInt32(model.expertCount)))
        returnBlocks = .allocate(capacity: returnWordCount)
        blockOfWord = .allocate(capacity: returnWordCount)
        blockOfWord.initialize(repeating: -1, count: returnWordCount)
        sharedRows =
            compute?.shared != nil ? .allocate(capacity: max(1, tokenCapacity * model.hidden)) : nil
        finished = .allocate(capacity: 48)
        finished.initialize(repeating: 0, count: 48)
    }

    deinit {
        ids.deallocate()
        weights.deallocate()
        plan.deinitialize(count: 1)
        plan.deallocate()
        returnBlocks.deallocate()
        blockOfWord.deallocate()
        sharedRows?.deallocate()
        finished.deallocate()
    }

    var layout: perseus_arena_layout { geometry.layout }
    public var heap: SymmetricHeap { heaps[rank] }
    public var experts: Range<Int> { geometry.placement.range(of: rank) }
    public var roundTokenRange: Range<Int> { geometry.tokens(of: rank, round: round) }
    var dispatchWordCount: Int { geometry.dispatchWordCount(of: rank) * geometry.rankCount }
    /// Blocks of up to 64 tokens that combine (and the shared expert) work on.
    var tokenBlockCount: Int {
        (roundTokenRange.count + LayerGeometry.blockRows - 1) / LayerGeometry.blockRows
    }
    /// The model has a shared expert: with modelled compute it takes time too.
    var hasShared: Bool { geometry.model.sharedIntermediate > 0 }

    func finish(_ counter: Int) { _ = perseus_fetch_add_acquire_release(finished + counter, 1) }
    public func finishedCount(_ counter: Int) -> UInt64 { perseus_load_acquire(finished + counter) }

    /// Every dispatch word of this round was seen and every expert task that follows from them is done.
    public var isExpertSideDone: Bool {
        observedDispatchWords == dispatchWordCount && openDispatchRows == 0
            && finishedCount(Self.expertCounter) == producedExpertTasks
    }
    /// Rows announced by observed dispatch words that no task covers yet.
    var openDispatchRows = 0

    /// This rank's tokens of this round are combined.
    public var isOwnerSideDone: Bool {
        isPlanned && finishedCount(Self.combineCounter) == UInt64(tokenBlockCount)
    }

    public var hasAllReturns: Bool { isPlanned && observedReturnBlocks == returnBlockCount }

    /// The row at `offset` of the data region of `rank`, as bf16; nil in a run with modelled compute.
    @inline(__always)
    func row(of rank: Int, at offset: UInt64) -> UnsafeMutablePointer<UInt16>? {
        heaps[rank].data.map { ($0 + Int(offset)).assumingMemoryBound(to: UInt16.self) }
    }
}
