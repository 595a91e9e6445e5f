// What `bench layer --device cuda` computes from measured times; measuring needs a GPU.

import PerseusPrimitives
import PerseusRunners
import Testing

@testable import PerseusBenchmarks

@Suite struct DeviceLayerTests {
    private func row(_ samples: [Double]) -> DeviceLayerResultRow {
        DeviceLayerResultRow(
            model: "qwen3-30b", tokens: 1024, ranks: 8, nodes: 8, profile: "ideal",
            scheme: "perseus", ordering: "fence-flag", rounds: 1,
            layerNanoseconds: DeviceLayerTimes(samples), paperRatio: nil)
    }

    @Test func rowsRelateToCoupledAndToOneRank() {
        var row = row([400, 100, 200])
        #expect(row.layerNanoseconds.median == 200 && row.layerNanoseconds.count == 3)
        #expect(row.layerNanoseconds.minimum == 100 && row.layerNanoseconds.maximum == 400)
        row.relate(coupled: 500, single: DeviceSingleRank(layer: 150, multiply: 50))
        #expect(row.ratioToCoupled == 2.5 && row.tensorCoreUse == 0.25)
        #expect(row.singleRankNanoseconds == 150 && row.singleRankMultiplyNanoseconds == 50)
        row.relate(coupled: nil, single: nil)
        #expect(row.ratioToCoupled == nil && row.tensorCoreUse == nil)
    }

    @Test func thePapersRatiosAreFoundWhereThereAreAny() {
        func ratio(_ model: String, _ profile: String, _ scheme: Scheme, _ nodes: Int) -> String? {
            PaperRatio(model: model, profile: profile, scheme: scheme, nodes: nodes)?.text
        }
        let (slingshot, connectx) = ("perlmutter-slingshot11", "h100-connectx7")
        #expect(ratio("qwen3-30b", slingshot, .perseus, 8) == "1.5-3.5x")
        #expect(ratio("qwen3-30b", slingshot, .decoupled, 2) == "1.2-1.5x")
        #expect(ratio("qwen3-30b", slingshot, .perseus, 4) == "up to 10.3x")
        #expect(ratio("deepseek-v3", slingshot, .perseus, 8) == "up to 2.2x")
        #expect(ratio("gpt-oss-120b", connectx, .perseus, 8) == "up to 2.47x")
        #expect(ratio("qwen3-30b", slingshot, .coupled, 8) == nil)
        #expect(ratio("qwen3-30b", slingshot, .decoupled, 4) == nil)
        #expect(ratio("llama4-scout", slingshot, .perseus, 8) == nil)
        #expect(ratio("gpt-oss-120b", connectx, .perseusPlus, 8) == nil)
    }

    @Test func optionsOutOfRangeAreRefusedBeforeAGPUIsLookedFor() {
        var options = DeviceLayerOptions(profiles: [])
        options.rankCounts = [0]
        do {
            _ = try runDeviceLayerBenchmark(options)
            Issue.record("no ranks were accepted")
        } catch { #expect((error as? PerseusError)?.kind == .badInput) }
    }
}
