// Published layers, every scheme, every number of ranks, both clocks: right, and bit for bit the same.

import PerseusMegakernel
import PerseusProxy
import PerseusRunners
import Testing

@Suite struct FixtureTests {
    @Test(arguments: FixtureLayer.names, [1, 2, 3, 4, 8])
    func everySchemeOnBothClocksMatchesThePublishedOutput(name: String, ranks: Int) throws {
        let layer = FixtureLayer.named(name)
        let alone = try layer.alone()
        #expect(layer.relativeError(of: alone.output) < 1e-2)
        for clock in [RunClock.virtual, .real(threads: 2)] {
            for scheme in Scheme.allCases {
                let run = try runScheme(
                    scheme, layer.workload(ranks: ranks),
                    settings("perlmutter-slingshot11", clock: clock))
                let context = "\(name), \(ranks) ranks, \(scheme.rawValue), \(clock)"
                #expect(run.outcome.failure == nil, "\(context): \(run.outcome.failure!)")
                #expect(run.job.routing.ids == layer.expectedIDs, "\(context)")
                #expect(run.hasSameOutput(as: alone), "\(context)")
                #expect(run.checker?.violationCount == 0, "\(context)")
            }
        }
    }

    @Test(arguments: ["h100-connectx7", "roce-adaptive", "efa-srd", "ideal"])
    func everyFabricGivesTheSameBits(profile: String) throws {
        let layer = FixtureLayer.named("deepseek_v3")
        let alone = try layer.alone()
        for clock in [RunClock.virtual, .real(threads: 2)] {
            let run = try runScheme(
                .perseusPlus, layer.workload(ranks: 4), settings(profile, clock: clock))
            #expect(run.hasSameOutput(as: alone), "\(profile), \(clock), \(run.setup.ordering)")
        }
    }

    @Test(arguments: FixtureLayer.names)
    func localPeersBypassTheProxy(name: String) throws {
        let layer = FixtureLayer.named(name)
        let alone = try layer.alone()
        for (ranks, perNode, hasRemote) in [(4, 4, false), (4, 2, true), (5, 2, true)] {
            let run = try runScheme(
                .perseus, layer.workload(ranks: ranks, ranksPerNode: perNode),
                settings("h100-connectx7"))
            #expect(run.hasSameOutput(as: alone), "\(ranks) ranks, \(perNode) per node")
            let puts = run.outcome.counters.dispatchPuts + run.outcome.counters.combinePuts
            #expect((puts > 0) == hasRemote, "\(ranks) ranks, \(perNode) per node: \(puts) puts")
        }
    }
}
