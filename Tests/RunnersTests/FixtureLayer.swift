// The four published-layout layers of Tests/Fixtures, loaded once and shared by the tests.

import Foundation
@testable import PerseusCheckpoints
import PerseusExpertKernels
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusRunners

/// One layer with weights, tokens and the outputs that the reference modules of transformers computed in float64.
struct FixtureLayer: @unchecked Sendable {
    static let names = ["qwen3", "gpt_oss", "deepseek_v3", "llama4"]

    let name: String
    let weights: LayerWeights
    let compute: LayerCompute
    let input: LayerInput
    let expectedOutput: [Float]
    let expectedIDs: [Int32]

    private static let cache: [String: FixtureLayer] = Dictionary(
        uniqueKeysWithValues: names.map { ($0, try! FixtureLayer(loading: $0)) })

    static func named(_ name: String) -> FixtureLayer { cache[name]! }

    private init(loading name: String) throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Fixtures/moe-layers").path
        self.name = name
        let model = try ModelConfiguration(path: "\(folder)/\(name).config.json").model
        let path = "\(folder)/\(name).weights.safetensors"
        weights = try CheckpointWeights(
            store: TensorStore(path: path, files: [path]), model: model, layer: 0
        ).layerWeights
        compute = LayerCompute(
            experts: try PackedExperts(
                source: weights.experts, activation: model.activation, threads: 1),
            shared: try weights.shared.map {
                try PackedExperts(source: $0, activation: .silu, threads: 1)
            })
        input = try LayerInput(path: "\(folder)/\(name).io.safetensors", model: model)
        let file = try SafetensorsFile(path: "\(folder)/\(name).io.safetensors")
        expectedOutput = try file.tensor("expected_output")!.floats()
        expectedIDs = file.tensor("expected_topk_ids")!.elements(Int32.self)
    }

    /// The layer's tokens split over `ranks` in order.
    func workload(
        ranks: Int, ranksPerNode: Int = 1, heapByteLimit: UInt64 = .max,
        tokensPerRank: [Int]? = nil, routing: RoutingTable? = nil
    ) throws -> LayerWorkload {
        let count = input.tokenCount
        let split = (0..<ranks).map { ($0 + 1) * count / ranks - $0 * count / ranks }
        return LayerWorkload(
            geometry: try LayerGeometry(
                model: weights.model, rankCount: ranks, ranksPerNode: ranksPerNode,
                tokensPerRank: tokensPerRank ?? split, heapByteLimit: heapByteLimit),
            input: JobInput(
                hidden: input.hidden.elements,
                routing: routing.map { .external($0) }
                    ?? .router(Router(model: weights.model, parameters: weights.router))),
            compute: compute)
    }

    /// ‖output − expected‖ / ‖expected‖ over all tokens.
    func relativeError(of output: UnsafeBufferPointer<Float>) -> Double {
        var difference = 0.0
        var norm = 0.0
        for (got, expected) in zip(output, expectedOutput) {
            difference += Double(got - expected) * Double(got - expected)
            norm += Double(expected) * Double(expected)
        }
        return (difference / norm).squareRoot()
    }

    /// The layer on one rank: what every other run must equal bit for bit.
    func alone() throws -> SchemeRun {
        try runScheme(.coupled, workload(ranks: 1), RunSettings(profile: .named("ideal")!))
    }
}

/// Settings for a fabric and a clock.
func settings(_ profile: String, clock: RunClock = .virtual) -> RunSettings {
    var settings = RunSettings(profile: Profile.named(profile)!)
    settings.clock = clock
    settings.poisons = true
    settings.options.deadlineNanoseconds = 20_000_000_000
    return settings
}
