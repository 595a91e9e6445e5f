// One layer's weights under their published tensor names.

import PerseusMoE
import PerseusPrimitives

/// The router, experts and shared expert of one layer of a checkpoint.
///
/// Names and layouts are those of the four publishers; each tensor's element type and shape is
/// checked here, so that loading an expert later cannot fail. Names may start with
/// `language_model.`, as in multimodal checkpoints.
///
/// Threading: immutable.
public struct CheckpointWeights: Sendable {
    public let layerWeights: LayerWeights

    /// Finds layer `layer` of `model` in `store`.
    ///
    /// - Errors: `badInput` naming the file and the tensor that is missing, of another type or of
    ///   another shape.
    public init(store: TensorStore, model: MoEModel, layer: Int) throws(PerseusError) {
        let names = LayerNames(store: store, model: model, layer: layer)
        let router = try names.loadRouter()
        let experts = try names.findExperts()
        layerWeights = LayerWeights(
            model: model, router: router, experts: experts, shared: try names.findShared())
    }
}

/// The names of one layer's tensors.
private struct LayerNames {
    let store: TensorStore
    let model: MoEModel
    /// For example `model.layers.3.mlp.`
    let prefix: String

    init(store: TensorStore, model: MoEModel, layer: Int) {
        self.store = store
        self.model = model
        let block = model.router == .inputSigmoid ? "feed_forward" : "mlp"
        let plain = "model.layers.\(layer).\(block)."
        let router = LayerNames.routerName(model)
        let isNested = store.contains("language_model." + plain + router + ".weight")
        prefix = isNested ? "language_model." + plain : plain
    }

    private static func routerName(_ model: MoEModel) -> String {
        switch model.router {
        case .softmaxTopK, .groupedSigmoid: "gate"
        case .topKSoftmax, .inputSigmoid: "router"
        }
    }

    func loadRouter() throws(PerseusError) -> RouterParameters {
        let name = prefix + LayerNames.routerName(model)
        let shape = [model.expertCount, model.hidden]
        if !store.contains(name + ".weight") {
            throw PerseusError(
                .badInput,
                "\(store.path): no tensor '\(name).weight': this layer is absent or has no experts")
        }
        let weight = try tensor(name + ".weight", [.bfloat16], shape)
        let gateWeight = BFloat16Buffer(count: weight.elementCount) { weight.copyHalves(to: $0) }
        return RouterParameters(gateWeight: gateWeight, bias: try loadRouterBias(name))
    }

    private func loadRouterBias(_ name: String) throws(PerseusError) -> [Float]? {
        let biasName: String
        switch model.router {
        case .topKSoftmax: biasName = name + ".bias"
        case .groupedSigmoid: biasName = name + ".e_score_correction_bias"
        case .softmaxTopK, .inputSigmoid: return nil
        }
        return try tensor(biasName, [.float32, .bfloat16], [model.expertCount]).floats()
    }

    func findExperts() throws(PerseusError) -> any ExpertWeightSource {
        switch model.router {
        case .softmaxTopK, .groupedSigmoid:
            let stems = (0..<model.expertCount).map { prefix + "experts.\($0)" }
            return try separate(stems, intermediate: model.intermediate)
        case .topKSoftmax: return try fused(interleaved: true)
        case .inputSigmoid: return try fused(interleaved: false)
        }
    }

    func findShared() throws(PerseusError) -> (any ExpertWeightSource)? {
        guard model.sharedIntermediate > 0 else { return nil }
        let name = model.router == .inputSigmoid ? "shared_expert" : "shared_experts"
        return try separate([prefix + name], intermediate: model.sharedIntermediate)
    }

    /// Experts with three `[out, in]` tensors each.
    private func separate(
        _ stems: [String], intermediate: Int
    ) throws(PerseusError) -> SeparateExperts {
        var projections: [SeparateExperts.Projections] = []
        let (inner, outer) = ([intermediate, model.hidden], [model.hidden, intermediate])
        for stem in stems {
            projections.append(
                SeparateExperts.Projections(
                    gate: try tensor(stem + ".gate_proj.weight", [.bfloat16], inner),
                    up: try tensor(stem + ".up_proj.weight", [.bfloat16], inner),
                    down: try tensor(stem + ".down_proj.weight", [.bfloat16], outer)))
        }
        let dimensions = ExpertDimensions(hidden: model.hidden, intermediate: intermediate)
        return SeparateExperts(dimensions: dimensions, projections: projections)
    }

    /// All experts in two `[experts, in, out]` tensors.
    private func fused(interleaved: Bool) throws(PerseusError) -> FusedExperts {
        let (count, hidden, inner) = (model.expertCount, model.hidden, model.intermediate)
        let stem = prefix + "experts."
        if store.contains(stem + "gate_up_proj_blocks") {
            throw PerseusError(
                .badInput,
                "\(store.path): tensor '\(stem)gate_up_proj_blocks' is MXFP4; convert the"
                    + " checkpoint to bf16, so that '\(stem)gate_up_proj' exists")
        }
        let bias: (gateUp: Tensor, down: Tensor)? =
            model.hasBias
            ? (
                try tensor(stem + "gate_up_proj_bias", [.bfloat16, .float32], [count, 2 * inner]),
                try tensor(stem + "down_proj_bias", [.bfloat16, .float32], [count, hidden])
            ) : nil
        return FusedExperts(
            dimensions: model.expertDimensions, expertCount: count, isInterleaved: interleaved,
            gateUp: try tensor(stem + "gate_up_proj", [.bfloat16], [count, hidden, 2 * inner]),
            down: try tensor(stem + "down_proj", [.bfloat16], [count, inner, hidden]),
            gateUpBias: try bias?.gateUp.floats(), downBias: try bias?.down.floats())
    }

    private func tensor(
        _ name: String, _ types: [TensorElementType], _ shape: [Int]
    ) throws(PerseusError) -> Tensor {
        let tensor = try store.tensor(name)
        try tensor.require(types, shape: shape)
        return tensor
    }
}
