// What fits beside the weights, and what the device path refuses, without a GPU.

import CPerseusABI
import PerseusDeviceRuns
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import Testing

@Suite struct DeviceGeometryTests {
    private let tokens = Array(repeating: 1024, count: 4)

    @Test func lessMemoryMeansMoreRounds() throws {
        let fit = DeviceGeometry()
        let roomy = try fit.layer(.qwen3, tokensPerRank: tokens, available: 64 << 30)
        let tight = try fit.layer(.qwen3, tokensPerRank: tokens, available: 3 << 30)
        #expect(roomy.roundCount == 1)
        #expect(tight.roundCount > 1)
        #expect(tight.layout.data_byte_count < roomy.layout.data_byte_count)
    }

    @Test func whatDoesNotFitIsRefused() {
        #expect(throws: PerseusError.self) {
            try DeviceGeometry().layer(.qwen3, tokensPerRank: tokens, available: 1 << 30)
        }
    }

    /// Results lie where the rows lay that they are computed from, and nothing else moves together.
    @Test func resultsTakeThePlaceOfTheirRows() throws {
        var fit = DeviceGeometry()
        let inPlace = try fit.layer(.qwen3, tokensPerRank: tokens, available: 64 << 30).layout
        fit.computesInPlace = false
        let apart = try fit.layer(.qwen3, tokensPerRank: tokens, available: 64 << 30).layout
        #expect(inPlace.result_data == inPlace.dispatch_data)
        #expect(apart.result_data > apart.dispatch_data)
        #expect(
            inPlace.return_data - inPlace.dispatch_data == apart.return_data - apart.result_data)
        #expect(inPlace.send_data == apart.send_data)
    }

    @Test(arguments: [("efa-srd", "counted-immediate"), ("h100-connectx7", "atomic")])
    func orderingsThatNeedAReceiverAreRefused(profile: String, ordering: String) throws {
        let profile = try #require(Profile.named(profile))
        let geometry = try DeviceGeometry().layer(
            .qwen3, tokensPerRank: [16, 16], available: 16 << 30)
        var options = SchemeOptions()
        options.ordering = .init(rawValue: ordering)
        options.allowsUnproven = true
        let setup = try SchemeSetup(
            .perseusPlus, profile: profile, geometry: geometry, options: options)
        #expect(throws: PerseusError.self) { try DeviceLayer.requireSupported(setup) }
    }
}
