// The small layers in published formats, with the outputs of the publishers' own modules.

import Foundation
import PerseusCheckpoints
import PerseusMoE
import PerseusPrimitives

/// One fixture: weights, inputs and what the reference module computed in float64.
struct PublishedLayer {
    static let names = ["qwen3", "gpt_oss", "deepseek_v3", "llama4"]

    let model: MoEModel
    let weights: LayerWeights
    let input: LayerInput
    let expectedIDs: [Int32]
    let expectedWeights: [Float]
    let expectedOutput: [Float]

    init(_ name: String) throws {
        let stem = PublishedLayer.folder + "/" + name
        model = try ModelConfiguration(path: stem + ".config.json").model
        let store = try TensorStore(path: stem + ".weights.safetensors")
        weights = try CheckpointWeights(store: store, model: model, layer: 0).layerWeights
        let inputPath = stem + ".io.safetensors"
        input = try LayerInput(path: inputPath, model: model)
        let file = try SafetensorsFile(path: inputPath)
        expectedIDs = PublishedLayer.values(file, "expected_topk_ids")
        expectedWeights = PublishedLayer.values(file, "expected_topk_weights")
        expectedOutput = PublishedLayer.values(file, "expected_output")
    }

    static var folder: String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/moe-layers").path
    }

    private static func values<Value: BitwiseCopyable>(
        _ file: SafetensorsFile, _ name: String
    ) -> [Value] {
        guard let tensor = file.tensor(name) else { return [] }
        return tensor.withBytes { bytes in
            (0..<tensor.elementCount).map {
                bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Value>.size, as: Value.self)
            }
        }
    }
}

/// Routes all tokens of `hidden` in one call.
func routeAll(
    _ router: Router, hidden: UnsafePointer<UInt16>, tokens: Int
) -> (ids: [Int32], weights: [Float]) {
    var scratch = RouterScratch(model: router.model)
    var ids = [Int32](repeating: -1, count: tokens * router.model.topK)
    var weights = [Float](repeating: -1, count: ids.count)
    router.route(hidden: hidden, tokens: tokens, ids: &ids, weights: &weights, scratch: &scratch)
    return (ids, weights)
}

/// The message of the `PerseusError` that `body` throws, or nil when it throws none.
func failureMessage(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch let error as PerseusError {
        return error.message
    } catch {
        return "another error: \(error)"
    }
}
