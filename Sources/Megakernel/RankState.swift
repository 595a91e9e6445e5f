// What the roles of one rank share: its plan, its counters, its tokens, and where its peers' memory is.

import CPerseusABI
import CPerseusShims
import PerseusExpertKernels
import PerseusMemory
import PerseusMoE
import PerseusPrimitives

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

/// What the roles of all ranks read and none writes: one copy, so that it stays in a cache however many ranks there are.
///
/// - Threading: immutable.
public final class LayerShared: @unchecked Sendable {
    public let geometry: LayerGeometry
    public let program: LayerProgram
    let layout: perseus_arena_layout
    public let compute: LayerCompute?
    public let heaps: [SymmetricHeap]
    let routing: RoutingSource
    /// [rank]: the signal words of its heap.
    let signalWords: UnsafeMutablePointer<UnsafeMutablePointer<UInt64>>
    /// [rank]: the first of its tokens among all of the layer.
    let firstTokens: UnsafeMutablePointer<Int>

    public init(
        geometry: LayerGeometry, program: LayerProgram, compute: LayerCompute?,
        heaps: [SymmetricHeap], routing: RoutingSource
    ) {
        self.geometry = geometry
        self.program = program
        layout = geometry.layout
        self.compute = compute
        self.heaps = heaps
        self.routing = routing
        signalWords = .allocate(capacity: heaps.count)
        firstTokens = .allocate(capacity: heaps.count)
        var token = 0
        for (rank, heap) in heaps.enumerated() {
            (signalWords + rank).initialize(to: heap.signalWords)
            (firstTokens + rank).initialize(to: token)
            token += geometry.tokensPerRank[rank]
        }
    }

    deinit {
        signalWords.deallocate()
        firstTokens.deallocate()
    }
}

/// The state of one rank that more than one of its roles touches. What steps look at comes first and lies together.
///
/// - Threading: plain fields belong to the roles of the rank's own thread (dispatcher, subscriber, scheduler);
///   words that processors on other threads touch are atomic and say so.
public final class RankState: @unchecked Sendable {
    public let shared: LayerShared
    /// This rank's own words.
    let signalWords: UnsafeMutablePointer<UInt64>
    /// Counters that processors add to (atomic): expert, shared and combine tasks finished in this round. A task takes
    /// microseconds, so they share a line.
    let finished: UnsafeMutablePointer<UInt64>
    static let expertCounter = 0
    static let sharedCounter = 1
    static let combineCounter = 2

    public internal(set) var epoch: UInt32 = 0
    /// The round's plan exists and return blocks may be looked for.
    public internal(set) var isPlanned = false
    public internal(set) var isLayerDone = false
    /// Dispatch words that a round brings, and those observed so far in this one.
    let dispatchWordCount: Int
    public internal(set) var observedDispatchWords = 0
    /// Rows announced by observed dispatch words that no task covers yet.
    var openDispatchRows = 0
    /// Expert tasks that the scheduler has made and rows they cover, in this round.
    var producedExpertTasks: UInt64 = 0
    var returnBlockCount = 0
    public internal(set) var observedReturnBlocks = 0
    /// Blocks of up to 64 tokens of this round that combine (and the shared expert) work on.
    private(set) var tokenBlockCount = 0
    public let experts: Range<Int>
    /// The ranks of this rank's node, itself among them.
    let localRanks: Range<Int>
    public let rank: Int
    /// The round in progress, from 0, and its tokens.
    public private(set) var round = 0
    public private(set) var roundTokenRange: Range<Int>

    /// Blocks that come back in this round, in packed order; [returnWordCount] maps a word to its block or -1.
    let returnBlocks: UnsafeMutablePointer<ReturnBlock>
    let blockOfWord: UnsafeMutablePointer<Int32>
    let returnWordCount: Int
    /// Row tables of the current round; rebuilt by the dispatcher.
    let plan: UnsafeMutablePointer<DispatchPlan>
    /// [tokens of this rank, topK]; one batch of the dispatcher where the routing is not kept.
    let ids: UnsafeMutablePointer<Int32>
    /// Who asks for the routing later finds it in `ids`. Without, it can be drawn again, and no row has to be placed.
    let keepsRouting: Bool
    /// nil in a run with modelled compute, which weighs nothing.
    public let weights: UnsafeMutablePointer<Float>?
    /// [tokens of this rank, hidden] bf16; nil in a run with modelled compute.
    let hidden: UnsafePointer<UInt16>?
    /// [tokens of this rank, hidden] F32 and the routing that led to it; nil in a run with modelled compute.
    let output: UnsafeMutablePointer<Float>?
    let sharedRows: UnsafeMutablePointer<UInt16>?

    public init(
        rank: Int, shared: LayerShared, hidden: UnsafePointer<UInt16>?,
        output: UnsafeMutablePointer<Float>?
    ) {
        self.shared = shared
        self.rank = rank
        self.hidden = hidden
        self.output = output
        let geometry = shared.geometry
        let model = geometry.model
        signalWords = shared.signalWords[rank]
        dispatchWordCount = geometry.dispatchWordCount(of: rank) * geometry.rankCount
        experts = geometry.placement.range(of: rank)
        localRanks = geometry.localRanks(of: rank)
        roundTokenRange = geometry.tokens(of: rank, round: 0)
        let slots = max(1, geometry.tokensPerRank[rank] * model.topK)
        if case .synthetic = shared.routing, shared.compute == nil {
            keepsRouting = false
        } else {
            keepsRouting = true
        }
        ids = .allocateDense(capacity: keepsRouting ? slots : Dispatcher.routeBatch * model.topK)
        weights = shared.compute != nil ? .allocate(capacity: slots) : nil
        let tokenCapacity = min(geometry.roundTokens, geometry.tokensPerRank[rank])
        plan = .allocateDense(capacity: 1)
        plan.initialize(
            to: DispatchPlan(
                expertCount: model.expertCount, topK: model.topK, tokenCapacity: tokenCapacity,
                placesRows: shared.compute != nil))
        let rows = tokenCapacity * model.topK
        returnWordCount = Int(perseus_return_word_count(UInt64(rows), UInt32(model.expertCount)))
        returnBlocks = .allocateDense(capacity: returnWordCount)
        blockOfWord = .allocateDense(capacity: returnWordCount)
        blockOfWord.initialize(repeating: -1, count: returnWordCount)
        sharedRows =
            shared.compute?.shared != nil
            ? .allocate(capacity: max(1, tokenCapacity * model.hidden)) : nil
        finished = .allocateDense(capacity: 3)
        finished.initialize(repeating: 0, count: 3)
        tokenBlockCount = Self.blockCount(roundTokenRange)
    }

    deinit {
        ids.deallocateDense()
        weights?.deallocate()
        plan.deinitialize(count: 1)
        plan.deallocateDense()
        returnBlocks.deallocateDense()
        blockOfWord.deallocateDense()
        sharedRows?.deallocate()
        finished.deallocateDense()
    }

    /// Where the rank's tokens were routed, [tokens, topK]; after the run.
    public var routedIDs: [Int32] {
        let tokens = geometry.tokensPerRank[rank]
        let count = tokens * geometry.model.topK
        guard !keepsRouting, case .synthetic(let synthetic) = shared.routing else {
            return Array(UnsafeBufferPointer(start: ids, count: count))
        }
        let first = shared.firstTokens[rank]
        return Array(unsafeUninitializedCapacity: count) { drawn, drawnCount in
            drawnCount = count
            guard let ids = drawn.baseAddress else { return }
            synthetic.route(tokens: first..<first + tokens, ids: ids, weights: nil)
        }
    }

    private static func blockCount(_ tokens: Range<Int>) -> Int {
        (tokens.count + LayerGeometry.blockRows - 1) / LayerGeometry.blockRows
    }

    func advanceRound() {
        round += 1
        roundTokenRange = geometry.tokens(of: rank, round: round)
        tokenBlockCount = Self.blockCount(roundTokenRange)
    }

    public var geometry: LayerGeometry { @inline(__always) _read { yield shared.geometry } }
    public var program: LayerProgram { @inline(__always) _read { yield shared.program } }
    public var compute: LayerCompute? { @inline(__always) _read { yield shared.compute } }
    var layout: perseus_arena_layout { @inline(__always) _read { yield shared.layout } }
    /// The model has a shared expert: with modelled compute it takes time too.
    var hasShared: Bool { geometry.model.sharedIntermediate > 0 }
    /// Ranks of this rank's node are reached directly.
    @inline(__always)
    func isLocal(_ other: Int) -> Bool { localRanks.contains(other) }

    func finish(_ counter: Int) { _ = perseus_fetch_add_acquire_release(finished + counter, 1) }
    public func finishedCount(_ counter: Int) -> UInt64 { perseus_load_acquire(finished + counter) }

    /// Every dispatch word of this round was seen and every expert task that follows from them is done.
    public var isExpertSideDone: Bool {
        observedDispatchWords == dispatchWordCount && openDispatchRows == 0
            && finishedCount(Self.expertCounter) == producedExpertTasks
    }

    /// This rank's tokens of this round are combined.
    public var isOwnerSideDone: Bool {
        isPlanned && finishedCount(Self.combineCounter) == UInt64(tokenBlockCount)
    }

    public var hasAllReturns: Bool { isPlanned && observedReturnBlocks == returnBlockCount }

    /// The row at `offset` of the data region of `rank`, as bf16; nil in a run with modelled compute.
    @inline(__always)
    func row(of rank: Int, at offset: UInt64) -> UnsafeMutablePointer<UInt16>? {
        guard compute != nil else { return nil }
        return shared.heaps[rank].data.map {
            ($0 + Int(offset)).assumingMemoryBound(to: UInt16.self)
        }
    }
}
