// Stage 1 of 10 — route: a hidden state becomes expert ids and weights, as published.
// Upstream:   the caller's hidden states
// Downstream: Dispatcher.swift, DispatchPlan.swift

import CExpertKernels
import PerseusPrimitives

/// The router of one layer.
///
/// Logits are float64 sums in a fixed order (`routerLogits`); selection is by descending score,
/// ties to the lowest index, as `torch.topk` returns them. A NaN score counts as -infinity for
/// selection, so that ids are always valid and distinct; the weight of such an expert, and under a
/// softmax every weight of the token, is NaN.
///
/// Threading: immutable; any number of threads, each with its own scratch.
public struct Router: Sendable {
    public let model: MoEModel
    let parameters: RouterParameters

    /// - Precondition: the parameters have the model's shapes.
    public init(model: MoEModel, parameters: RouterParameters) {
        precondition(
            parameters.gateWeight.count == model.expertCount * model.hidden,
            "Router: gate weight is not [experts, hidden]")
        if let bias = parameters.bias {
            precondition(bias.count == model.expertCount, "Router: bias is not [experts]")
        }
        self.model = model
        self.parameters = parameters
    }

    /// Routes `tokens` rows of `hidden` `[tokens, hidden]` bf16 into `ids` and `weights`, both
    /// `[tokens, topK]`.
    ///
    /// Allocates nothing. Zero tokens are allowed. A token's result depends on its own row only, so
    /// a batch may be routed in blocks of any size.
    public func route(
        hidden: UnsafePointer<UInt16>, tokens: Int, ids: UnsafeMutablePointer<Int32>,
        weights: UnsafeMutablePointer<Float>, scratch: inout RouterScratch
    ) {
        precondition(scratch.expertCount == model.expertCount, "Router: scratch of another model")
        let topK = model.topK
        for token in 0..<tokens {
            routerLogits(
                scratch.logits, x: hidden + token * model.hidden,
                weight: parameters.gateWeight.elements, expertCount: model.expertCount,
                hidden: model.hidden)
            select(&scratch, ids: ids + token * topK, weights: weights + token * topK)
        }
    }

    /// From one token's logits to its ids and weights.
    private func select(
        _ scratch: inout RouterScratch, ids: UnsafeMutablePointer<Int32>,
        weights: UnsafeMutablePointer<Float>
    ) {
        switch model.router {
        case .softmaxTopK(let renormalizes):
            selectSoftmax(&scratch, renormalizes: renormalizes, ids: ids, weights: weights)
        case .topKSoftmax:
            addBias(to: scratch.logits)
            selectBiased(&scratch, ids: ids, weights: weights)
        case .groupedSigmoid(let groups):
            selectGrouped(&scratch, groups: groups, ids: ids, weights: weights)
        case .inputSigmoid:
            selectInput(&scratch, ids: ids, weights: weights)
        }
    }

    /// Adds the router's bias, if there is one, to one value per expert.
    func addBias(to values: UnsafeMutablePointer<Double>) {
        guard let bias = parameters.bias else { return }
        for expert in 0..<model.expertCount { values[expert] += Double(bias[expert]) }
    }
}

/// The memory that routing one token needs, allocated once.
///
/// Threading: one owner at a time.
public struct RouterScratch: ~Copyable {
    let expertCount: Int
    /// Logits, then whatever the router makes of them, `[experts]`.
    let logits: UnsafeMutablePointer<Double>
    /// Scores by which experts are selected, `[experts]`, free of NaN.
    let choice: UnsafeMutablePointer<Double>
    /// Scores of the groups, and the indices of the kept ones.
    let groupScores: UnsafeMutablePointer<Double>
    let keptGroups: UnsafeMutablePointer<Int32>

    public init(model: MoEModel) {
        expertCount = model.expertCount
        logits = .allocate(capacity: expertCount)
        choice = .allocate(capacity: expertCount)
        groupScores = .allocate(capacity: expertCount)
        keptGroups = .allocate(capacity: expertCount)
        logits.initialize(repeating: 0, count: expertCount)
        choice.initialize(repeating: 0, count: expertCount)
        groupScores.initialize(repeating: 0, count: expertCount)
        keptGroups.initialize(repeating: 0, count: expertCount)
    }

    deinit {
        logits.deallocate()
        choice.deallocate()
        groupScores.deallocate()
        keptGroups.deallocate()
    }
}

/// `output[h] = bfloat16(weight · input[h])`: the row that a router of kind `inputSigmoid` sends to
/// the expert.
///
/// One fp32 product and one rounding per element. `input` and `output` may be the same row.
public func scaleRow(
    _ input: UnsafePointer<UInt16>, by weight: Float, into output: UnsafeMutablePointer<UInt16>,
    count: Int
) {
    perseus_scale_row_bf16(output, input, weight, Int32(count))
}
