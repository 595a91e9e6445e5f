// The tensors that a run takes and gives: hidden states and routing in, outputs out.

import PerseusMoE
import PerseusPrimitives

/// Hidden states, and the caller's routing if the file has one.
///
/// Tensors: `hidden_states` `[tokens, hidden]` BF16, F16 or F32, and optionally both of `topk_ids`
/// `[tokens, topK]` I32 or I64 and `topk_weights` `[tokens, topK]` F32. The layer works on bf16:
/// F32 and F16 hidden states are rounded to the nearest bf16, ties to even, when they are read.
public struct LayerInput: Sendable {
    public let tokenCount: Int
    /// `[tokens, hidden]`
    public let hidden: BFloat16Buffer
    /// Nil when the layer's own router decides.
    public let routing: RoutingTable?

    /// Reads `path` for `model`.
    ///
    /// - Errors: `badInput` naming the file and the tensor, or the token at fault.
    public init(path: String, model: MoEModel) throws(PerseusError) {
        let file = try SafetensorsFile(path: path)
        guard let states = file.tensor("hidden_states") else {
            throw PerseusError(.badInput, "\(path): no tensor 'hidden_states'")
        }
        let tokens = states.shape.first ?? 0
        try states.require([.bfloat16, .float32, .float16], shape: [tokens, model.hidden])
        tokenCount = tokens
        hidden = try LayerInput.loadHidden(states)
        routing = try LayerInput.loadRouting(file, tokens: tokens, model: model)
    }

    private static func loadHidden(_ states: Tensor) throws(PerseusError) -> BFloat16Buffer {
        if states.elementType == .bfloat16 {
            return BFloat16Buffer(count: states.elementCount) { states.copyHalves(to: $0) }
        }
        let values = try states.floats()
        return BFloat16Buffer(count: values.count) { out in
            for index in values.indices { out[index] = bfloat16(values[index]) }
        }
    }

    private static func loadRouting(
        _ file: SafetensorsFile, tokens: Int, model: MoEModel
    ) throws(PerseusError) -> RoutingTable? {
        let (ids, weights) = (file.tensor("topk_ids"), file.tensor("topk_weights"))
        if ids == nil && weights == nil { return nil }
        guard let ids, let weights else {
            let missing = ids == nil ? "topk_ids" : "topk_weights"
            throw PerseusError(
                .badInput, "\(file.path): no tensor '\(missing)'; routing needs ids and weights")
        }
        try ids.require([.int32, .int64], shape: [tokens, model.topK])
        try weights.require([.float32], shape: [tokens, model.topK])
        do {
            return try RoutingTable(
                ids: integers(ids), weights: try weights.floats(), topK: model.topK,
                expertCount: model.expertCount)
        } catch {
            throw PerseusError(error.kind, "\(file.path): \(error.message)")
        }
    }

    private static func integers(_ tensor: Tensor) -> [Int64] {
        tensor.elementType == .int64
            ? tensor.elements(Int64.self) : tensor.elements(Int32.self).map { Int64($0) }
    }
}

/// What a run writes: `output` `[tokens, hidden]` BF16, `topk_ids` I32 and `topk_weights` F32
/// `[tokens, topK]`.
public struct LayerOutput: Sendable {
    public let tokenCount: Int
    public let model: MoEModel
    /// `[tokens, hidden]`
    public let output: BFloat16Buffer
    public let ids: [Int32]
    public let weights: [Float]

    public init(
        tokenCount: Int, model: MoEModel, output: BFloat16Buffer, ids: [Int32], weights: [Float]
    ) {
        self.tokenCount = tokenCount
        self.model = model
        self.output = output
        self.ids = ids
        self.weights = weights
    }

    /// Writes the file whole or not at all.
    ///
    /// The routing tensors have the names that `LayerInput` reads, so an output can route a later
    /// run.
    public func write(to path: String) throws(PerseusError) {
        let routingShape = [tokenCount, model.topK]
        try SafetensorsWriter().write(
            [
                OutputTensor(
                    name: "output", shape: [tokenCount, model.hidden], elements: .bfloat16(output)),
                OutputTensor(name: "topk_ids", shape: routingShape, elements: .int32(ids)),
                OutputTensor(
                    name: "topk_weights", shape: routingShape, elements: .float32(weights)),
            ], to: path)
    }
}
