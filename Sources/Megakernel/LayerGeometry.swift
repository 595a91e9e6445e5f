// Who owns which tokens and experts, in how many rounds, and where everything lies: fixed before a layer starts.

import CPerseusABI
import PerseusMoE
import PerseusPrimitives

/// The shape of one distributed layer; equal on all ranks.
public struct LayerGeometry: Sendable {
    /// Rows of one block: what a task segment covers and one return word announces.
    public static let blockRows = 1 << Int(PERSEUS_RETURN_BLOCK_SHIFT)

    public let model: MoEModel
    public let rankCount: Int
    public let ranksPerNode: Int
    /// Tokens of each rank; may differ and may be zero.
    public let tokensPerRank: [Int]
    public let placement: ExpertPlacement
    /// Most tokens that a rank sends in one round.
    public let roundTokens: Int
    /// Rounds of the layer: 1 when the dropless worst case fits the heap.
    public let roundCount: Int
    public let layout: perseus_arena_layout

    /// - Parameters:
    ///   - heapByteLimit: most bytes of one rank's data region; smaller limits mean more rounds.
    ///   - residentByteLimit: most bytes that rows may take over all ranks; the regions are mapped lazily, so this
    ///     is less than their sizes.
    ///   - computesInPlace: results take the place of the rows that they are computed from.
    /// - Throws: `badInput` when not even one token fits, or a size exceeds what a signal word can name.
    public init(
        model: MoEModel, rankCount: Int, ranksPerNode: Int, tokensPerRank: [Int],
        heapByteLimit: UInt64, residentByteLimit: UInt64 = .max, computesInPlace: Bool = false
    ) throws {
        precondition(tokensPerRank.count == rankCount, "LayerGeometry: one token count per rank")
        self.model = model
        self.rankCount = rankCount
        self.ranksPerNode = ranksPerNode
        self.tokensPerRank = tokensPerRank
        placement = ExpertPlacement(experts: model.expertCount, ranks: rankCount)
        let most = tokensPerRank.max() ?? 0
        let stride = (model.hidden * 2 + 15) & ~15
        let experts = placement.maxExpertsPerRank
        func layout(tokens: Int) -> perseus_arena_layout {
            let layout = perseus_arena_layout_make(
                UInt32(rankCount), UInt32(max(1, tokens * model.topK)), UInt32(stride),
                UInt32(experts), UInt32(model.expertCount))
            return computesInPlace ? perseus_arena_layout_in_place(layout) : layout
        }
        guard layout(tokens: 1).data_byte_count <= heapByteLimit else {
            throw PerseusError(
                .badInput,
                "--heap-limit \(heapByteLimit) is too small: one token per rank needs"
                    + " \(layout(tokens: 1).data_byte_count) bytes")
        }
        // Each row exists four times: packed, received, multiplied, returned.
        func resident(tokens: Int) -> UInt64 {
            UInt64(4 * rankCount * tokens * model.topK * stride)
        }
        var tokens = max(1, most)
        while tokens > 1,
            layout(tokens: tokens).data_byte_count > heapByteLimit
                || resident(tokens: tokens) > residentByteLimit
        {
            tokens = (tokens + 1) / 2
        }
        guard tokens * model.topK < 1 << Int(PERSEUS_SIGNAL_ROWS_WIDTH) else {
            throw PerseusError(
                .badInput,
                "\(tokens) tokens x top-\(model.topK) exceed the 2^24 rows of a signal word")
        }
        roundTokens = tokens
        roundCount = max(1, (most + tokens - 1) / tokens)
        self.layout = layout(tokens: tokens)
    }

    public var nodeCount: Int { (rankCount + ranksPerNode - 1) / ranksPerNode }

    /// Ranks of one node reach each other's memory directly; the proxy is for the others.
    @inline(__always)
    public func isLocal(_ a: Int, _ b: Int) -> Bool { a / ranksPerNode == b / ranksPerNode }

    /// Every token of the layer, counted over the ranks in order.
    public var allTokens: Range<Int> { 0..<tokensPerRank.reduce(0, +) }

    /// The tokens of `rank` among all of the layer.
    public func tokens(of rank: Int) -> Range<Int> {
        let begin = tokensPerRank[..<rank].reduce(0, +)
        return begin..<begin + tokensPerRank[rank]
    }

    /// Tokens of `rank` that `round` sends, counted from its first.
    public func tokens(of rank: Int, round: Int) -> Range<Int> {
        let begin = min(round * roundTokens, tokensPerRank[rank])
        return begin..<min(begin + roundTokens, tokensPerRank[rank])
    }

    /// Dispatch words that a source writes to `rank`: one per expert, and one to say "I have begun this round"
    /// where the rank owns none and more than one round is to be kept apart.
    public func dispatchWordCount(of rank: Int) -> Int {
        let experts = placement.range(of: rank).count
        return experts == 0 && roundCount > 1 ? 1 : experts
    }

    /// The ranks of the node of `rank`, itself among them.
    public func localRanks(of rank: Int) -> Range<Int> {
        let first = rank / ranksPerNode * ranksPerNode
        return first..<min(first + ranksPerNode, rankCount)
    }

    /// Destinations of `rank` that the proxy serves.
    public func remoteRanks(of rank: Int) -> Int { rankCount - localRanks(of: rank).count }
}
