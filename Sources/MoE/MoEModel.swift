// What a MoE layer is: its shape, its router and its activation.

import PerseusPrimitives

/// How a token's logits become experts and weights; each case is one publisher's definition.
public enum RouterKind: Sendable, Equatable {
    /// Qwen3: softmax over all experts, the largest `topK`, divided by their sum when
    /// `renormalizes`.
    case softmaxTopK(renormalizes: Bool)
    /// GPT-OSS: biased logits, the largest `topK`, softmax over the selected.
    case topKSoftmax
    /// DeepSeek-V3: sigmoid scores, selection by corrected score inside the best groups.
    case groupedSigmoid(GroupedSigmoid)
    /// Llama4: the largest logits; the sigmoid multiplies the expert's *input*, and combine adds
    /// plainly.
    case inputSigmoid

    /// The constants of DeepSeek-V3's group-limited selection.
    public struct GroupedSigmoid: Sendable, Equatable {
        /// Groups of equal size into which the experts fall, in index order.
        public var groupCount: Int
        /// Groups that stay eligible for a token.
        public var keptGroupCount: Int
        /// Whether the selected scores are divided by their sum.
        public var renormalizes: Bool
        /// Factor on every weight after normalisation.
        public var scalingFactor: Double

        public init(
            groupCount: Int, keptGroupCount: Int, renormalizes: Bool, scalingFactor: Double
        ) {
            self.groupCount = groupCount
            self.keptGroupCount = keptGroupCount
            self.renormalizes = renormalizes
            self.scalingFactor = scalingFactor
        }
    }
}

/// The description of one MoE layer; weights and tokens are given separately.
public struct MoEModel: Sendable, Equatable {
    public var name: String
    /// Width of a token, H.
    public var hidden: Int
    /// Width inside a routed expert, I.
    public var intermediate: Int
    /// Routed experts, E.
    public var expertCount: Int
    /// Experts per token, k.
    public var topK: Int
    public var router: RouterKind
    public var activation: ExpertActivation
    /// Whether the experts' projections have biases.
    public var hasBias: Bool
    /// Width inside the shared expert that every token visits; 0 when there is none.
    public var sharedIntermediate: Int

    public init(
        name: String, hidden: Int, intermediate: Int, expertCount: Int, topK: Int,
        router: RouterKind, activation: ExpertActivation = .silu, hasBias: Bool = false,
        sharedIntermediate: Int = 0
    ) {
        self.name = name
        self.hidden = hidden
        self.intermediate = intermediate
        self.expertCount = expertCount
        self.topK = topK
        self.router = router
        self.activation = activation
        self.hasBias = hasBias
        self.sharedIntermediate = sharedIntermediate
    }

    /// Whether a token's weight multiplies the row sent to the expert; its combine weight is then
    /// 1.
    public var scalesInput: Bool { router == .inputSigmoid }

    /// Whether the router adds a bias to its logits or a correction to its scores.
    public var hasRouterBias: Bool {
        switch router {
        case .topKSoftmax, .groupedSigmoid: true
        case .softmaxTopK, .inputSigmoid: false
        }
    }

    /// The shape of a routed expert.
    public var expertDimensions: ExpertDimensions {
        ExpertDimensions(hidden: hidden, intermediate: intermediate)
    }

    /// Refuses a description that no layer can have, with the field at fault.
    public func validate() throws(PerseusError) {
        try require(hidden > 0, "hidden size \(hidden) is not positive")
        try require(intermediate > 0, "intermediate size \(intermediate) is not positive")
        try require(expertCount > 0, "expert count \(expertCount) is not positive")
        try require(
            (1...max(1, expertCount)).contains(topK),
            "top-k \(topK) is outside 1 to \(expertCount), the number of experts")
        try require(sharedIntermediate >= 0, "shared intermediate size is negative")
        if case .groupedSigmoid(let groups) = router { try validate(groups) }
    }

    private func validate(_ groups: RouterKind.GroupedSigmoid) throws(PerseusError) {
        let count = groups.groupCount
        try require(
            count > 0 && expertCount % count == 0 && expertCount / count >= 2,
            "\(expertCount) experts do not fall into \(count) equal groups of at least 2")
        try require(
            (1...count).contains(groups.keptGroupCount),
            "kept groups \(groups.keptGroupCount) are outside 1 to \(count)")
    }

    private func require(_ condition: Bool, _ message: String) throws(PerseusError) {
        if !condition { throw PerseusError(.badInput, "model \(name): \(message)") }
    }
}
