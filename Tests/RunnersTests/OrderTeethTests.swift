// The checker must see what a missing order does: every ordering is broken here, on purpose, and must be caught.

import PerseusMegakernel
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC
import PerseusTransport
import Testing

/// An ordering on a fabric that does not give it what it needs.
struct BrokenOrdering: Sendable, CustomTestStringConvertible {
    let ordering: SignalOrdering
    let mode: DeliveryMode
    var honoursFence = true

    var testDescription: String {
        "\(ordering.rawValue) on \(mode.rawValue), fence \(honoursFence)"
    }

    static let all = [
        BrokenOrdering(ordering: .none, mode: .adaptiveRouting),
        BrokenOrdering(ordering: .none, mode: .unordered),
        BrokenOrdering(ordering: .inOrder, mode: .adaptiveRouting),
        BrokenOrdering(ordering: .inOrder, mode: .unordered),
        BrokenOrdering(ordering: .providerOrder, mode: .unordered),
        BrokenOrdering(ordering: .fenceFlag, mode: .adaptiveRouting, honoursFence: false),
        BrokenOrdering(ordering: .fenceFlag, mode: .unordered, honoursFence: false),
        BrokenOrdering(ordering: .immediateLast, mode: .unordered),
        BrokenOrdering(ordering: .atomic, mode: .unordered),
    ]
}

@Suite struct OrderTeethTests {
    /// Large delays of single fragments, so that a signal has every chance to be first.
    private func settings(_ broken: BrokenOrdering, seed: UInt64, clock: RunClock) throws
        -> RunSettings
    {
        var settings = PerseusRunnersTestSettings.fabric(
            broken.mode, honoursFence: broken.honoursFence)
        settings.clock = clock
        settings.options.ordering = broken.ordering
        settings.options.allowsUnproven = true
        settings.faults = try FaultPlan(
            parsing: "seed=\(seed),reorder=0.8@300us", rankCount: 3)
        return settings
    }

    @Test(arguments: BrokenOrdering.all)
    func aBrokenOrderingIsCaught(_ broken: BrokenOrdering) throws {
        let layer = FixtureLayer.named("qwen3")
        var caught = 0
        for seed in 1...3 as ClosedRange<UInt64> {
            let run = try runScheme(
                .coupled, layer.workload(ranks: 3), settings(broken, seed: seed, clock: .virtual))
            caught += (run.checker?.violationCount ?? 0) > 0 ? 1 : 0
        }
        #expect(caught > 0, "stale data went unnoticed")
    }

    @Test(arguments: [BrokenOrdering.all[0], BrokenOrdering.all[5]])
    func aBrokenOrderingIsCaughtInRealTime(_ broken: BrokenOrdering) throws {
        let layer = FixtureLayer.named("qwen3")
        var caught = 0
        for seed in 1...4 as ClosedRange<UInt64> {
            let run = try runScheme(
                .coupled, layer.workload(ranks: 3),
                settings(broken, seed: seed, clock: .real(threads: 2)))
            caught += (run.checker?.violationCount ?? 0) > 0 ? 1 : 0
        }
        #expect(caught > 0, "stale data went unnoticed")
    }

    @Test(arguments: DeliveryMode.allCases)
    func whatTheFabricHonoursIsNeverCaught(_ mode: DeliveryMode) throws {
        let layer = FixtureLayer.named("qwen3")
        let alone = try layer.alone()
        for ordering in SignalOrdering.allCases {
            var settings = PerseusRunnersTestSettings.fabric(mode, honoursFence: true)
            guard ordering.proof(on: settings.profile.fabric.guarantees).isProven else { continue }
            settings.options.ordering = ordering
            settings.faults = try FaultPlan(
                parsing: "seed=5,reorder=0.8@300us,delay=0.2@50us,drop=0.1", rankCount: 3)
            for scheme in [Scheme.coupled, .perseus, .perseusPlus] {
                let run = try runScheme(scheme, layer.workload(ranks: 3), settings)
                let context = "\(scheme.rawValue), \(ordering.rawValue), \(mode.rawValue)"
                #expect(run.checker?.violationCount == 0, "\(context)")
                #expect((run.checker?.checkCount ?? 0) > 100, "\(context)")
                #expect(run.hasSameOutput(as: alone), "\(context)")
            }
        }
    }

    @Test func anUnprovenOrderingIsRefusedWithTheReason() throws {
        let layer = FixtureLayer.named("qwen3")
        for (scheme, profile, word) in [
            (Scheme.gpuDirect, "roce-adaptive", "posting order"),
            (.perseus, "efa-srd", "fence flag"),
        ] {
            let settings = RunSettings(profile: Profile.named(profile)!)
            let error = #expect(throws: PerseusError.self) {
                try runScheme(scheme, layer.workload(ranks: 2), settings)
            }
            #expect(error?.kind == .badInput)
            #expect(error?.message.contains(word) == true, "\(error!.message)")
        }
    }

    @Test func theCheapestProvenOrderingIsChosen() throws {
        let layer = FixtureLayer.named("qwen3")
        for (profile, ordering) in [
            ("h100-connectx7", SignalOrdering.inOrder), ("perlmutter-slingshot11", .providerOrder),
            ("roce-adaptive", .immediateLast), ("efa-srd", .countedImmediate),
        ] {
            let run = try runScheme(.perseusPlus, layer.workload(ranks: 2), settings(profile))
            #expect(run.setup.ordering == ordering, "\(profile)")
        }
    }

    private func settings(_ profile: String) -> RunSettings {
        RunSettings(profile: Profile.named(profile)!)
    }
}

/// Fabrics that exist only in tests.
enum PerseusRunnersTestSettings {
    static func fabric(_ mode: DeliveryMode, honoursFence: Bool) -> RunSettings {
        var profile = Profile.named("h100-connectx7")!
        profile.fabric.mode = mode
        profile.fabric.honoursFence = honoursFence
        profile.fabric.packetByteCount = 64
        var settings = RunSettings(profile: profile)
        settings.poisons = true
        return settings
    }
}
