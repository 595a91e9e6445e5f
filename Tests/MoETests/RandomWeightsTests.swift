// Random weights as pure functions of seed and index, with the spread that they promise.

import PerseusMoE
import PerseusPrimitives
import Testing

struct RandomWeightsTests {
    func filled(_ count: Int, seed: UInt64, scale: Float = 1) -> [UInt16] {
        [UInt16](unsafeUninitializedCapacity: count) { buffer, initialized in
            if let out = buffer.baseAddress {
                fillRandomBFloat16(out, count: count, seed: seed, scale: scale)
            }
            initialized = count
        }
    }

    @Test(arguments: [0, 1, 2, 7, 33])
    func fillEqualsItsDefinition(count: Int) {
        let expected = (0..<count).map { randomBFloat16($0, seed: 4, scale: 0.7) }
        #expect(filled(count, seed: 4, scale: 0.7) == expected)
    }

    @Test func fillIsFrozen() {
        // Published results name seeds: a change of these values changes them all.
        #expect(filled(4, seed: 1) == [16253, 49039, 16386, 16404])
    }

    @Test func fillHasThePromisedMeanAndSpread() {
        let values = filled(20000, seed: 2, scale: 0.25).map { Double(float($0)) }
        let mean = values.reduce(0, +) / 20000
        let variance = values.map { $0 * $0 }.reduce(0, +) / 20000
        #expect(abs(mean) < 0.006)
        #expect(abs(variance.squareRoot() - 0.25) < 0.005)
    }

    @Test func hiddenStatesDependOnTheGlobalTokenIndex() {
        let weights = RandomWeights(model: MoEModel.qwen3, seed: 8)
        let width = MoEModel.qwen3.hidden
        let all = BFloat16Buffer(count: 3 * width) { weights.fillHidden($0, tokens: 10..<13) }
        let last = BFloat16Buffer(count: width) { weights.fillHidden($0, tokens: 12..<13) }
        #expect((0..<width).allSatisfy { all.elements[2 * width + $0] == last.elements[$0] })
        #expect((0..<width).contains { all.elements[$0] != last.elements[$0] })
    }

    @Test func expertsAndMatricesDiffer() throws {
        var model = MoEModel.gptOSS
        (model.hidden, model.intermediate, model.sharedIntermediate) = (16, 8, 8)
        let layer = RandomWeights(model: model, seed: 3).makeLayerWeights()
        let storage = ExpertWeightStorage(dimensions: model.expertDimensions, hasBias: true)
        var prefixes: Set<[UInt16]> = []
        for source in [layer.experts, try #require(layer.shared)] {
            for expert in 0..<min(2, source.expertCount) {
                try source.load(expert: expert, into: storage.buffer)
                for matrix in [storage.buffer.gate, storage.buffer.up, storage.buffer.down] {
                    prefixes.insert((0..<8).map { matrix[$0] })
                }
            }
        }
        #expect(prefixes.count == 9)
        #expect(layer.router.bias?.count == 128)
    }

    @Test func presetsAreValidAndFoundByName() throws {
        for model in MoEModel.presets {
            try model.validate()
            #expect(MoEModel.preset(model.name) == model)
        }
        #expect(MoEModel.preset("mixtral") == nil)
    }

    @Test func impossibleModelsAreRefused() {
        func message(_ change: (inout MoEModel) -> Void) -> String? {
            var model = MoEModel.deepSeekV3
            change(&model)
            return failureMessage { try model.validate() }
        }
        #expect(message { $0.hidden = 0 }?.contains("hidden size 0") == true)
        #expect(message { $0.intermediate = -1 }?.contains("intermediate size -1") == true)
        #expect(message { $0.topK = 257 }?.contains("top-k 257 is outside 1 to 256") == true)
        #expect(message { $0.expertCount = 0 }?.contains("expert count 0") == true)
        #expect(message { $0.expertCount = 255 }?.contains("8 equal groups") == true)
        #expect(message { $0.sharedIntermediate = -1 }?.contains("shared") == true)
        let groups = RouterKind.GroupedSigmoid(
            groupCount: 8, keptGroupCount: 9, renormalizes: true, scalingFactor: 1)
        #expect(message { $0.router = .groupedSigmoid(groups) }?.contains("kept groups 9") == true)
    }
}
