// The profiles that come with the program have the values that published results were made with.

import PerseusProxy
import PerseusSoftNIC
import PerseusTransport
import Testing

@testable import PerseusRunners

@Suite struct BuiltInProfileTests {
    @Test func theNamesAreKnownAndTheDefaultIsFirst() {
        #expect(
            Profile.builtIn.map(\.name) == [
                "perlmutter-slingshot11", "h100-connectx7", "roce-adaptive", "efa-srd", "ideal",
                "h100-connectx7-one-qp",
            ])
        #expect(Profile.named("perlmutter") == nil)
        #expect(Profile.builtIn.allSatisfy { !$0.summary.isEmpty })
    }

    @Test func slingshotHasItsValues() throws {
        let profile = try #require(Profile.named("perlmutter-slingshot11"))
        #expect(profile.fabric.bytesPerNanosecond == 25)
        #expect(profile.fabric.messageNanoseconds == 50)
        #expect(profile.fabric.refillNanoseconds == 25_500)
        #expect(profile.fabric.refillByteCount == 50_200)
        #expect(profile.fabric.completionNanoseconds == 300)
        #expect(profile.fabric.completionPerDestinationNanoseconds == 2130)
        #expect(profile.fabric.reorderNanoseconds == 200)
        #expect(profile.fabric.fenceScope == .queue && profile.fabric.mode == .inOrder)
        #expect(profile.fabric.retryNanoseconds == 2_000_000)
        #expect(profile.fabric.queueDepth == 1024)
        #expect(profile.fabric.inlineCapacityByteCount == 256)
        #expect(profile.hasProviderOrderOnRequest && !profile.hasGPUInitiatedTransport)
        #expect(profile.vanillaDrain == .drainAll && profile.vanillaQueuePairs == 1)
        #expect(profile.posting.putNanoseconds == 1260)
        #expect(profile.posting.signalNanoseconds == 100)
        #expect(profile.directPosting.putNanoseconds == 150)
        #expect(profile.flopsPerNanosecond == 72_100 && profile.multiprocessorSlots == 216)
        #expect(profile.layerNanoseconds == 20_000 && profile.stageNanoseconds == 60_000)
    }

    @Test func connectX7HasItsValues() throws {
        let profile = try #require(Profile.named("h100-connectx7"))
        #expect(profile.fabric.bytesPerNanosecond == 50)
        #expect(profile.fabric.messageNanoseconds == 5)
        #expect(profile.fabric.refillNanoseconds == 16_300)
        #expect(profile.fabric.completionNanoseconds == 4000)
        #expect(profile.fabric.fenceScope == .peer)
        #expect(profile.vanillaDrain == .drainPeer && profile.vanillaQueuePairs == 4)
        #expect(profile.posting.putNanoseconds == 600)
        #expect(profile.flopsPerNanosecond == 228_000 && profile.multiprocessorSlots == 264)
        #expect(profile.memoryBytesPerNanosecond == 3000)
        #expect(profile.nvlinkBytesPerNanosecond == 400)
    }

    /// A variant differs from its base in what its file names and nowhere else.
    @Test func variantsDifferInWhatTheyStandFor() throws {
        func expected(_ name: String, _ change: (inout Profile) -> Void) throws -> Profile {
            var profile = try #require(Profile.named("h100-connectx7"))
            profile.name = name
            profile.summary = try #require(Profile.named(name)).summary
            change(&profile)
            return profile
        }
        #expect(
            try Profile.named("roce-adaptive")
                == expected("roce-adaptive") { $0.fabric.mode = .adaptiveRouting })
        #expect(
            try Profile.named("efa-srd")
                == expected("efa-srd") {
                    $0.fabric.mode = .unordered
                    $0.fabric.honoursFence = false
                    $0.fabric.latencyNanoseconds = 6000
                    $0.vanillaDrain = .drainAll
                })
        #expect(
            try Profile.named("h100-connectx7-one-qp")
                == expected("h100-connectx7-one-qp") {
                    $0.vanillaDrain = .inOrder
                    $0.vanillaQueuePairs = 1
                })
    }

    @Test func idealCostsNothingButTheWire() throws {
        let profile = try #require(Profile.named("ideal"))
        #expect(profile.posting == PostingCosts() && profile.directPosting == PostingCosts())
        #expect(profile.fabric.latencyNanoseconds == 500 && profile.fabric.messageNanoseconds == 1)
        for name in ["layer", "push", "pack", "observe", "task", "stage"] {
            #expect(ProfileParameter.named("gpu.\(name)")?.text(in: profile) == "0 ns")
        }
    }

    @Test func everyValueNamesItsSource() {
        for document in ProfileDocument.builtIn {
            for parameter in ProfileParameter.all {
                #expect(
                    document.source(of: parameter) != "no source given",
                    "\(document.profile.name): \(parameter.key)")
            }
        }
    }
}
