// Routing decided by the caller: expert ids and weights as an input of the layer.

import PerseusPrimitives

/// Validated expert ids and weights, both `[tokens, topK]`.
///
/// The weights are used as they are: nothing is normalised. For a model whose router scales the
/// input they scale the input.
public struct RoutingTable: Sendable, Equatable {
    public let tokenCount: Int
    public let topK: Int
    public let ids: [Int32]
    public let weights: [Float]

    /// Checks and takes over `ids` and `weights`.
    ///
    /// - Errors: `badInput` when a size is wrong, an id names no expert or appears twice for its
    ///   token, or a weight is not finite; the message names the token, the slot and the value.
    public init(ids: [Int64], weights: [Float], topK: Int, expertCount: Int) throws(PerseusError) {
        precondition(topK > 0, "RoutingTable: topK is not positive")
        guard ids.count == weights.count, ids.count % topK == 0 else {
            throw PerseusError(
                .badInput,
                "routing: \(ids.count) ids and \(weights.count) weights are not [tokens, \(topK)]")
        }
        for index in ids.indices {
            let fault = RoutingTable.fault(
                ids, weights, index, topK: topK, expertCount: expertCount)
            guard let fault else { continue }
            throw PerseusError(
                .badInput, "routing: token \(index / topK), slot \(index % topK): \(fault)")
        }
        self.topK = topK
        self.weights = weights
        self.ids = ids.map { Int32($0) }
        tokenCount = ids.count / topK
    }

    /// What is wrong with one (token, slot), or nil.
    private static func fault(
        _ ids: [Int64], _ weights: [Float], _ index: Int, topK: Int, expertCount: Int
    ) -> String? {
        let id = ids[index]
        if id < 0 || id >= Int64(expertCount) {
            return "expert \(id) is outside 0 to \(expertCount - 1)"
        }
        let tokenStart = index - index % topK
        if ids[tokenStart..<index].contains(id) { return "expert \(id) appears twice" }
        if !weights[index].isFinite { return "weight \(weights[index]) is not finite" }
        return nil
    }
}
