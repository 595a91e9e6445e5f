// What fits on a device beside the weights: arenas as large as the memory allows, rounds where that is too little.

import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives

/// Sizes a layer for a device's memory.
public struct DeviceGeometry: Sendable {
    public var ranksPerNode = 1
    /// Most bytes of one rank's arena, whatever the device has.
    public var heapByteLimit = Int.max
    /// Results take the place of the rows that they are computed from.
    public var computesInPlace = true
    /// For what is made after the layer's own memory: contexts, modules, mapped pages.
    private static let reserve = 2 << 30

    public init() {}

    /// The geometry of a layer.
    ///
    /// - Parameter available: free bytes of the device, once the weights are there.
    /// - Throws: `badInput` when not even one token per rank fits.
    public func layer(
        _ model: MoEModel, tokensPerRank: [Int], available: Int
    ) throws -> LayerGeometry {
        let ranks = tokensPerRank.count
        let limit = arenaByteLimit(
            model, ranks: ranks, tokens: tokensPerRank.reduce(0, +), available: available)
        return try LayerGeometry(
            model: model, rankCount: ranks, ranksPerNode: ranksPerNode,
            tokensPerRank: tokensPerRank, heapByteLimit: UInt64(min(limit, heapByteLimit)),
            computesInPlace: computesInPlace)
    }

    /// A rank's share of what is left when outputs, hidden states, tables and the shared expert's rows are there: that
    /// of its arena, beside which the activations between the two multiplications lie.
    func arenaByteLimit(_ model: MoEModel, ranks: Int, tokens: Int, available: Int) -> Int {
        let perToken = model.hidden * 8 + model.sharedIntermediate * 2 + model.topK * 32
        let budget = available - Self.reserve - tokens * perToken
        let received = computesInPlace ? ranks : 2 * ranks
        let row = (received + 2) * model.hidden * 2
        let share = Double(row) / Double(row + ranks * (model.intermediate * 2 + 16))
        return max(0, Int(Double(budget / ranks) * share))
    }
}
