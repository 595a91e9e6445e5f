// Configurations, sharded directories, layers and inputs: what is accepted, and each error by name.

import Foundation
import PerseusMoE
import PerseusPrimitives
import Testing

@testable import PerseusCheckpoints

struct ConfigurationTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    /// The fixture's configuration after `change`, read back; errors lose the folder's path.
    func message(_ family: String, _ change: (inout [String: Any]) -> Void) throws -> String? {
        let file = try write(family, change)
        return failureMessage { _ = try ModelConfiguration(path: file) }?
            .replacingOccurrences(of: folder.path + "/", with: "")
    }

    func write(_ family: String, _ change: (inout [String: Any]) -> Void) throws -> String {
        let path = PublishedLayer.folder + "/\(family).config.json"
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        var fields = try #require(
            try JSONSerialization.jsonObject(with: data) as? [String: Any])
        change(&fields)
        return try folder.write(
            "config.json", try JSONSerialization.data(withJSONObject: fields))
    }

    @Test func publishedFieldsBecomeTheModel() throws {
        let model = try PublishedLayer("deepseek_v3").model
        let groups = RouterKind.GroupedSigmoid(
            groupCount: 8, keptGroupCount: 4, renormalizes: true, scalingFactor: 2.5)
        #expect(
            model
                == MoEModel(
                    name: "deepseek_v3", hidden: 128, intermediate: 64, expertCount: 32, topK: 4,
                    router: .groupedSigmoid(groups), sharedIntermediate: 64))
    }

    @Test func absentFieldsTakeTheKnownDefaults() throws {
        let file = try write("gpt_oss") {
            $0["swiglu_alpha"] = nil
            $0["swiglu_limit"] = NSNull()
        }
        let activation = try ModelConfiguration(path: file).model.activation
        #expect(activation == .clampedSwiGLU(alpha: 1.702, limit: 7))
        let qwen = try write("qwen3") { $0["norm_topk_prob"] = nil }
        #expect(
            try ModelConfiguration(path: qwen).model.router == .softmaxTopK(renormalizes: false))
    }

    @Test func nestedTextConfigurationIsRead() throws {
        let file = try write("llama4") { fields in
            var text = fields
            text["num_hidden_layers"] = 48
            fields = ["model_type": "llama4", "text_config": text]
        }
        let configuration = try ModelConfiguration(path: folder.path)
        #expect(configuration.model == (try PublishedLayer("llama4").model))
        #expect(configuration.layerCount == 48)
        _ = file
    }

    @Test(arguments: [
        ("qwen3", "num_experts"), ("qwen3", "hidden_size"), ("qwen3", "moe_intermediate_size"),
        ("gpt_oss", "num_local_experts"), ("gpt_oss", "num_experts_per_tok"),
        ("deepseek_v3", "n_group"), ("deepseek_v3", "topk_group"),
        ("deepseek_v3", "routed_scaling_factor"), ("deepseek_v3", "n_shared_experts"),
        ("llama4", "intermediate_size"), ("llama4", "model_type"),
    ])
    func missingAndMalformedFieldsAreNamed(family: String, field: String) throws {
        #expect(
            try message(family) { $0[field] = nil } == "config.json: field '\(field)' is missing")
        let malformed = try message(family) { $0[field] = ["x"] }
        #expect(malformed?.hasPrefix("config.json: field '\(field)' is not a") == true)
    }

    @Test func unsupportedVariantsAreRefused() throws {
        #expect(
            try message("qwen3") { $0["hidden_act"] = "gelu" }
                == "config.json: field 'hidden_act' is 'gelu'; supported is 'silu'")
        #expect(
            try message("deepseek_v3") { $0["scoring_func"] = "softmax" }
                == "config.json: field 'scoring_func' is 'softmax'; supported is 'sigmoid'")
        #expect(
            try message("qwen3") { $0["model_type"] = "mixtral" }?.hasPrefix(
                "config.json: field 'model_type' is 'mixtral'; supported are qwen3_moe") == true)
        #expect(
            try message("qwen3") { $0["num_experts_per_tok"] = 33 }
                == "config.json: model qwen3_moe: top-k 33 is outside 1 to 32, the number of"
                + " experts"
        )
        #expect(
            try message("llama4") { $0 = ["model_type": "llama4"] }
                == "config.json: field 'text_config' is not an object")
        #expect(
            try message("deepseek_v3") { $0["n_shared_experts"] = Int.max }
                == "config.json: field 'n_shared_experts' is too large")
    }

    @Test func unreadableConfigurationsAreRefused() throws {
        #expect(
            failureMessage { _ = try ModelConfiguration(path: folder.path) }
                == "\(folder.path)/config.json: cannot be read: No such file or directory")
        let file = try folder.write("config.json", "{")
        #expect(
            failureMessage { _ = try ModelConfiguration(path: file) }
                == "\(file): is not a JSON object")
    }
}

struct CheckpointTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    typealias Entry = (name: String, type: String, shape: [Int])

    /// A GPT-OSS layer of 2 experts, hidden 4, intermediate 3.
    static let model = MoEModel(
        name: "tiny", hidden: 4, intermediate: 3, expertCount: 2, topK: 1, router: .topKSoftmax,
        activation: .clampedSwiGLU(alpha: 1.702, limit: 7), hasBias: true)
    static let stem = "model.layers.2.mlp."
    static let entries: [Entry] = [
        (stem + "router.weight", "BF16", [2, 4]), (stem + "router.bias", "BF16", [2]),
        (stem + "experts.gate_up_proj", "BF16", [2, 4, 6]),
        (stem + "experts.gate_up_proj_bias", "BF16", [2, 6]),
        (stem + "experts.down_proj", "BF16", [2, 3, 4]),
        (stem + "experts.down_proj_bias", "BF16", [2, 4]),
    ]

    func message(_ entries: [Entry], layer: Int = 2) throws -> String? {
        let store = try TensorStore(path: try folder.zeros("m.safetensors", entries))
        return failureMessage {
            _ = try CheckpointWeights(store: store, model: Self.model, layer: layer)
        }?.replacingOccurrences(of: folder.path + "/", with: "")
    }

    @Test func layersAreFoundByNumberAndPrefix() throws {
        #expect(try message(Self.entries) == nil)
        #expect(try message(Self.entries.map { ("language_model." + $0, $1, $2) }) == nil)
        #expect(
            try message(Self.entries, layer: 0) == "m.safetensors: no tensor"
                + " 'model.layers.0.mlp.router.weight': this layer is absent or has no experts")
    }

    @Test(arguments: entries.indices)
    func wrongTensorsAreNamed(index: Int) throws {
        let name = Self.entries[index].name
        var entries = Self.entries
        entries.remove(at: index)
        #expect(try message(entries)?.hasPrefix("m.safetensors: no tensor '\(name)'") == true)
        entries = Self.entries
        entries[index].type = "I16"
        #expect(
            try message(entries)?.hasPrefix(
                "m.safetensors: tensor '\(name)' has element type I16, needed is ") == true)
        entries = Self.entries
        entries[index].shape[0] = 3
        let needed = Self.entries[index].shape
        #expect(
            try message(entries) == "m.safetensors: tensor '\(name)' has shape"
                + " \(entries[index].shape), needed is \(needed)")
    }

    @Test func microscaledExpertsAreRefusedClearly() throws {
        var entries = Self.entries
        entries[2] = (Self.stem + "experts.gate_up_proj_blocks", "U8", [2, 6, 1, 16])
        entries[4] = (Self.stem + "experts.down_proj_blocks", "U8", [2, 4, 1, 16])
        #expect(try message(entries)?.contains("is MXFP4; convert the checkpoint to bf16") == true)
    }

    @Test func shardsAreFoundThroughTheIndex() throws {
        let layer = try PublishedLayer("qwen3")
        let source = try Data(
            contentsOf: URL(fileURLWithPath: PublishedLayer.folder + "/qwen3.weights.safetensors"))
        let shards = ["a.safetensors", "b.safetensors"]
        for shard in shards { try folder.write(shard, source) }
        // Both files hold every tensor; the index alone decides which file is used.
        let names = try SafetensorsFile(path: folder.path + "/" + shards[0]).names
        let map = Dictionary(
            uniqueKeysWithValues: names.enumerated().map { ($0.element, shards[$0.offset % 2]) })
        let index = try JSONSerialization.data(withJSONObject: ["weight_map": map])
        try folder.write("model.safetensors.index.json", index)
        let store = try TensorStore(path: folder.path)
        _ = try CheckpointWeights(store: store, model: layer.model, layer: 0)
        for (position, name) in names.enumerated() {
            #expect(try store.tensor(name).file.path.hasSuffix(shards[position % 2]))
        }
    }

    @Test func directoriesWithoutAnIndexAreRead() throws {
        #expect(
            failureMessage { _ = try TensorStore(path: folder.path) }
                == "\(folder.path): no safetensors file in this directory")
        _ = try folder.zeros("b.safetensors", [("b", "F32", [1])])
        _ = try folder.zeros("a.safetensors", [("a", "F32", [1])])
        let store = try TensorStore(path: folder.path)
        #expect(try store.tensor("a").file.path == folder.path + "/a.safetensors")
        #expect(store.contains("b") && !store.contains("c"))
        _ = try folder.zeros("c.safetensors", [("a", "F32", [1])])
        #expect(
            failureMessage { _ = try TensorStore(path: folder.path) }
                == "\(folder.path)/c.safetensors: tensor 'a' is also in"
                + " \(folder.path)/a.safetensors"
        )
        #expect(
            failureMessage { _ = try TensorStore(path: folder.path + "/none") }
                == "\(folder.path)/none: no such file or directory")
    }

    @Test func anIndexThatLiesIsReported() throws {
        let index = "model.safetensors.index.json"
        func message(_ text: String) throws -> String? {
            try folder.write(index, text)
            return failureMessage {
                let store = try TensorStore(path: folder.path)
                _ = try store.tensor("t")
            }?.replacingOccurrences(of: folder.path + "/", with: "")
        }
        #expect(try message("[]") == "\(index): is not a JSON object")
        #expect(try message("{}") == "\(index): field 'weight_map' is missing or malformed")
        #expect(
            try message("{\"weight_map\":{\"t\":\"../x\"}}")
                == "\(index): '../x' is not a plain file name")
        #expect(
            try message("{\"weight_map\":{\"t\":\"s\"}}")
                == "s: cannot be opened: No such file or directory")
        _ = try folder.zeros("s", [("u", "F32", [1])])
        #expect(
            try message("{\"weight_map\":{\"t\":\"s\"}}")
                == "s: no tensor 't', although the index says it is here")
        #expect(try message("{\"weight_map\":{}}") == "\(folder.path): no tensor 't'")
    }
}

struct LayerTensorsTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    static let model = MoEModel(
        name: "tiny", hidden: 4, intermediate: 3, expertCount: 2, topK: 1, router: .inputSigmoid)

    func message(_ entries: [CheckpointTests.Entry]) throws -> String? {
        let file = try folder.zeros("in", entries)
        return failureMessage { _ = try LayerInput(path: file, model: Self.model) }?
            .replacingOccurrences(of: folder.path + "/", with: "")
    }

    @Test func hiddenStatesOfEachFloatTypeAreRead() throws {
        for type in ["BF16", "F16", "F32"] {
            #expect(try message([("hidden_states", type, [3, 4])]) == nil)
            #expect(try message([("hidden_states", type, [0, 4])]) == nil)
        }
    }

    @Test func float32IsRoundedToNearestEven() throws {
        let file = folder.path + "/f32"
        let values: [Float] = [1.00390625, 1.01171875, -3.3, 0]
        try SafetensorsWriter().write(
            [OutputTensor(name: "hidden_states", shape: [1, 4], elements: .float32(values))],
            to: file)
        let input = try LayerInput(path: file, model: Self.model)
        #expect((0..<4).map { input.hidden.elements[$0] } == [0x3F80, 0x3F82, 0xC053, 0])
        #expect(input.routing == nil && input.tokenCount == 1)
    }

    @Test func wrongInputsAreNamed() throws {
        let states: CheckpointTests.Entry = ("hidden_states", "BF16", [3, 4])
        #expect(try message([]) == "in: no tensor 'hidden_states'")
        #expect(
            try message([("hidden_states", "F64", [3, 4])]) == "in: tensor 'hidden_states' has"
                + " element type F64, needed is BF16 or F32 or F16")
        #expect(
            try message([("hidden_states", "BF16", [3, 5])])
                == "in: tensor 'hidden_states' has shape [3, 5], needed is [3, 4]")
        #expect(
            try message([("hidden_states", "BF16", [])])
                == "in: tensor 'hidden_states' has shape [], needed is [0, 4]")
        #expect(
            try message([states, ("topk_ids", "I32", [3, 1])])
                == "in: no tensor 'topk_weights'; routing needs ids and weights")
        #expect(
            try message([states, ("topk_weights", "F32", [3, 1])])
                == "in: no tensor 'topk_ids'; routing needs ids and weights")
        #expect(
            try message([states, ("topk_ids", "I32", [3, 2]), ("topk_weights", "F32", [3, 1])])
                == "in: tensor 'topk_ids' has shape [3, 2], needed is [3, 1]")
        #expect(
            try message([states, ("topk_ids", "I32", [3, 1]), ("topk_weights", "BF16", [3, 1])])
                == "in: tensor 'topk_weights' has element type BF16, needed is F32")
    }

    @Test func routingIsReadAndChecked() throws {
        let states = OutputTensor(
            name: "hidden_states", shape: [2, 4],
            elements: .bfloat16(BFloat16Buffer(count: 8) { _ in }))
        let weights = OutputTensor(
            name: "topk_weights", shape: [2, 1], elements: .float32([1, 2]))
        func read(_ ids: [Int32]) throws -> RoutingTable? {
            let file = folder.path + "/r"
            let tensor = OutputTensor(name: "topk_ids", shape: [2, 1], elements: .int32(ids))
            try SafetensorsWriter().write([states, weights, tensor], to: file)
            return try LayerInput(path: file, model: Self.model).routing
        }
        #expect(try read([1, 0])?.ids == [1, 0])
        #expect(
            failureMessage { _ = try read([1, 2]) } == "\(folder.path)/r: routing: token 1, slot 0:"
                + " expert 2 is outside 0 to 1")
        #expect(
            try message([
                ("topk_ids", "I64", [3, 1]), ("hidden_states", "BF16", [3, 4]),
                ("topk_weights", "F32", [3, 1]),
            ]) == nil)
    }

    @Test func anOutputCanRouteALaterRun() throws {
        let output = LayerOutput(
            tokenCount: 2, model: Self.model, output: BFloat16Buffer(count: 8) { $0[7] = 0x3F80 },
            ids: [1, 0], weights: [0.5, 0.25])
        let path = folder.path + "/out"
        try output.write(to: path)
        let file = try SafetensorsFile(path: path)
        #expect(file.names == ["output", "topk_ids", "topk_weights"])
        #expect(file.tensor("output")?.elements(UInt16.self).last == 0x3F80)
        #expect(file.tensor("topk_weights")?.elements(Float.self) == [0.5, 0.25])
    }
}
