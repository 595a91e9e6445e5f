// A published config.json as the description of its MoE layers.

import Foundation
import PerseusMoE
import PerseusPrimitives

/// What a checkpoint's `config.json` says about its MoE layers.
///
/// Families: `qwen3_moe`, `gpt_oss`, `deepseek_v3`, `llama4_text`, and `llama4`, whose text model
/// is nested. A field may be absent only where the published configurations leave it out and
/// `transformers` has one known value.
public struct ModelConfiguration: Sendable, Equatable {
    public let model: MoEModel
    /// Layers of the whole model, when the file says so.
    public let layerCount: Int?

    /// Reads `path`: a `config.json`, or a model directory that holds one.
    ///
    /// - Errors: `badInput` naming the file and the field.
    public init(path: String) throws(PerseusError) {
        var isDirectory: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        let file = exists && isDirectory.boolValue ? path + "/config.json" : path
        let outer = try JSONObject(path: file)
        let family = try outer.string("model_type")
        let fields = family == "llama4" ? try outer.object("text_config") : outer
        switch family {
        case "qwen3_moe": model = try ModelConfiguration.qwen3(fields)
        case "gpt_oss": model = try ModelConfiguration.gptOSS(fields)
        case "deepseek_v3": model = try ModelConfiguration.deepSeekV3(fields)
        case "llama4", "llama4_text": model = try ModelConfiguration.llama4(fields)
        default:
            throw PerseusError(
                .badInput,
                "\(file): field 'model_type' is '\(family)'; supported are qwen3_moe, gpt_oss,"
                    + " deepseek_v3, llama4 and llama4_text")
        }
        layerCount =
            fields.fields["num_hidden_layers"] == nil
            ? nil : try fields.integer("num_hidden_layers")
        do {
            try model.validate()
        } catch {
            throw PerseusError(.badInput, "\(file): \(error.message)")
        }
    }

    private static func qwen3(_ fields: JSONObject) throws(PerseusError) -> MoEModel {
        try requireChoice(fields, "hidden_act", "silu")
        return MoEModel(
            name: "qwen3_moe", hidden: try fields.integer("hidden_size"),
            intermediate: try fields.integer("moe_intermediate_size"),
            expertCount: try fields.integer("num_experts"),
            topK: try fields.integer("num_experts_per_tok"),
            router: .softmaxTopK(
                renormalizes: try fields.boolean("norm_topk_prob", fallback: false)))
    }

    private static func gptOSS(_ fields: JSONObject) throws(PerseusError) -> MoEModel {
        // The published file has the limit; alpha is a constant of the module and seldom written.
        let limit = Float(try fields.number("swiglu_limit", fallback: 7))
        let alpha = Float(try fields.number("swiglu_alpha", fallback: 1.702))
        return MoEModel(
            name: "gpt_oss", hidden: try fields.integer("hidden_size"),
            intermediate: try fields.integer("intermediate_size"),
            expertCount: try fields.integer("num_local_experts"),
            topK: try fields.integer("num_experts_per_tok"), router: .topKSoftmax,
            activation: .clampedSwiGLU(alpha: alpha, limit: limit), hasBias: true)
    }

    private static func deepSeekV3(_ fields: JSONObject) throws(PerseusError) -> MoEModel {
        try requireChoice(fields, "hidden_act", "silu")
        try requireChoice(fields, "scoring_func", "sigmoid")
        try requireChoice(fields, "topk_method", "noaux_tc")
        let intermediate = try fields.integer("moe_intermediate_size")
        let groups = RouterKind.GroupedSigmoid(
            groupCount: try fields.integer("n_group"),
            keptGroupCount: try fields.integer("topk_group"),
            renormalizes: try fields.boolean("norm_topk_prob", fallback: true),
            scalingFactor: try fields.number("routed_scaling_factor"))
        let sharedCount = try fields.integer("n_shared_experts")
        let shared = intermediate.multipliedReportingOverflow(by: sharedCount)
        guard !shared.overflow else {
            throw PerseusError(.badInput, "\(fields.path): field 'n_shared_experts' is too large")
        }
        return MoEModel(
            name: "deepseek_v3", hidden: try fields.integer("hidden_size"),
            intermediate: intermediate, expertCount: try fields.integer("n_routed_experts"),
            topK: try fields.integer("num_experts_per_tok"), router: .groupedSigmoid(groups),
            sharedIntermediate: shared.partialValue)
    }

    private static func llama4(_ fields: JSONObject) throws(PerseusError) -> MoEModel {
        try requireChoice(fields, "hidden_act", "silu")
        let intermediate = try fields.integer("intermediate_size")
        return MoEModel(
            name: "llama4", hidden: try fields.integer("hidden_size"), intermediate: intermediate,
            expertCount: try fields.integer("num_local_experts"),
            topK: try fields.integer("num_experts_per_tok"), router: .inputSigmoid,
            sharedIntermediate: intermediate)
    }

    /// Refuses a file that asks for a variant of the layer that this library does not compute.
    private static func requireChoice(
        _ fields: JSONObject, _ name: String, _ supported: String
    ) throws(PerseusError) {
        let value = try fields.string(name, fallback: supported)
        if value != supported {
            throw PerseusError(
                .badInput,
                "\(fields.path): field '\(name)' is '\(value)'; supported is '\(supported)'")
        }
    }
}
