// The shapes, floors and lengths of `bench gemm --device cuda`; measuring needs a GPU.

import PerseusMoE
import PerseusPrimitives
import Testing

@testable import PerseusBenchmarks

@Suite struct DeviceGEMMTests {
    @Test func shapesAreTheRoutedExpertsOfOneRank() throws {
        let options = DeviceGEMMOptions()
        let shapes = try options.models.map(options.shape)
        #expect(
            shapes.map(\.name) == ["qwen3-30b", "gpt-oss-120b", "deepseek-v3/32", "llama4-scout"])
        #expect(shapes.map(\.expertCount) == [128, 128, 32, 16])
        #expect(shapes.allSatisfy { $0.sharedIntermediate == 0 })
        for shape in shapes { try shape.validate() }
        // 1.21, 6.37, 2.82 and 4.03 GB of weights.
        let weights = shapes.map { $0.weightByteCount(experts: $0.expertCount) / 1e7 }
        #expect(weights.map { Int($0.rounded()) } == [121, 637, 282, 403])
        #expect(throws: PerseusError.self) { try options.shape("qwen") }
    }

    @Test func theFloorIsTheLongerOfProductsAndWeights() throws {
        let model = MoEModel.qwen3
        let rates = DeviceRates(product: 791_000, productSource: "", copy: 4300)
        func floor(tokens: Int) -> Double? {
            rates.floor(
                operations: model.operationCount(rows: tokens * model.topK),
                bytes: model.weightByteCount(experts: model.expertCount))
        }
        // 0.281 ms and 1.564 ms.
        #expect(try Int((#require(floor(tokens: 128)) / 1000).rounded()) == 281)
        #expect(try Int((#require(floor(tokens: 16384)) / 1000).rounded()) == 1564)
        let blind = DeviceRates(product: nil, productSource: "none", copy: 4300)
        #expect(blind.floor(operations: 1, bytes: 1) == nil)
    }

    @Test func launchesFillTheirAimWithinBounds() {
        #expect(BurstLength(layerNanoseconds: 300_000, aim: 40e6) == BurstLength(30, 10))
        #expect(BurstLength(layerNanoseconds: 4e6, aim: 40e6) == BurstLength(10, 3))
        #expect(BurstLength(layerNanoseconds: 15e6, aim: 40e6) == BurstLength(6, 2))
        #expect(BurstLength(layerNanoseconds: 0, aim: 40e6) == BurstLength(30, 10))
    }

    @Test func optionsOutOfRangeAreRefusedBeforeAGPUIsLookedFor() {
        var options = DeviceGEMMOptions()
        options.deepSeekExpertCount = 4
        #expect(throws: PerseusError.self) { try runDeviceGEMMBenchmark(options) }
        do {
            _ = try runDeviceGEMMBenchmark(options)
        } catch { #expect((error as? PerseusError)?.kind == .badInput) }
    }
}

extension BurstLength {
    fileprivate init(_ count: Int, _ warm: Int) {
        self.init(layerNanoseconds: 1, aim: 1)
        (self.count, self.warm) = (count, warm)
    }
}
