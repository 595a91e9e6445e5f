// What each scheme counts: the numbers that a reader of the table relies on.

import PerseusMegakernel
import PerseusMoE
import PerseusProxy
import PerseusRunners
import Testing

@Suite struct SchemeTests {
    private func run(
        _ scheme: Scheme, ranks: Int = 4, profile: String = "perlmutter-slingshot11",
        _ change: (inout SchemeOptions) -> Void = { _ in }
    ) throws -> SchemeRun {
        var settings = settings(profile)
        change(&settings.options)
        return try runScheme(scheme, FixtureLayer.named("qwen3").workload(ranks: ranks), settings)
    }

    /// Transfers of non-empty (source, remote expert) pairs, from the routing itself.
    private func expectedDispatchPuts(_ run: SchemeRun) -> Int {
        let geometry = run.job.geometry
        let ids = run.job.routing.ids
        let topK = geometry.model.topK
        var token = 0
        var count = 0
        for rank in 0..<geometry.rankCount {
            var experts: Set<Int32> = []
            for _ in 0..<geometry.tokensPerRank[rank] {
                experts.formUnion(ids[token * topK..<(token + 1) * topK])
                token += 1
            }
            count += experts.count { geometry.placement.owner(of: Int($0)) != rank }
        }
        return count
    }

    @Test func coupledFencesEveryPut() throws {
        let run = try run(.coupled)
        let counters = run.outcome.counters
        #expect(Int(counters.dispatchPuts) == expectedDispatchPuts(run))
        #expect(counters.dispatchFences == counters.dispatchPuts)
        #expect(counters.combineFences == counters.combinePuts)
        #expect(counters.drains == counters.dispatchFences + counters.combineFences)
        #expect(counters.drainNanoseconds > 0)
    }

    @Test func decoupledFencesOncePerDestination() throws {
        for scheme in [Scheme.decoupled, .perseus] {
            let counters = try run(scheme).outcome.counters
            #expect(counters.dispatchFences == 4 * 3, "\(scheme)")
            #expect(
                counters.combineFences == counters.combinePuts, "\(scheme): combine is not grouped")
        }
        #expect(try run(.perseus).outcome.counters.drains == 0)
    }

    @Test func flaggedSchemesNeverWait() throws {
        let counters = try run(.nicOrdered).outcome.counters
        #expect(counters.dispatchFences == counters.dispatchPuts)
        #expect(counters.drains == 0)
        #expect(counters.drainNanoseconds == 0)
    }

    @Test func orderThatIsFreeFencesNothing() throws {
        for (scheme, profile) in [
            (Scheme.gpuDirect, "h100-connectx7"), (.perseusPlus, "h100-connectx7"),
            (.perseusPlus, "perlmutter-slingshot11"),
        ] {
            let run = try run(scheme, profile: profile)
            #expect(run.outcome.counters.dispatchFences + run.outcome.counters.combineFences == 0)
            #expect((run.outcome.counters.commands == 0) == (scheme == .gpuDirect))
        }
    }

    @Test func groupSizeInterpolatesBetweenCoupledAndOneFence() throws {
        var last = UInt64.max
        for size in [1, 4, 8, 1000] {
            let counters = try run(.decoupled) { $0.groupSize = size }.outcome.counters
            #expect(counters.dispatchFences <= last, "group size \(size)")
            if size == 1 { #expect(counters.dispatchFences == counters.dispatchPuts) }
            if size == 1000 { #expect(counters.dispatchFences == 4) }
            last = counters.dispatchFences
        }
    }

    @Test func combineGroupsSaveFences() throws {
        let single = try run(.perseus).outcome.counters
        let grouped = try run(.perseus) { $0.combineGroupSize = 16 }.outcome.counters
        #expect(grouped.combineFences < single.combineFences)
        #expect(grouped.combinePuts == single.combinePuts)
    }

    @Test func collectiveSendsOnePutPerPeer() throws {
        let counters = try run(.collective).outcome.counters
        #expect(counters.dispatchPuts == 4 * 3)
        #expect(counters.combinePuts == 4 * 3)
    }

    @Test func perseusPlusJoinsSignalsThatAreReadyTogether() throws {
        let plus = try run(.perseusPlus).outcome.counters
        #expect(plus.signals < plus.signalWords)
        let coupled = try run(.coupled).outcome.counters
        #expect(plus.signalWords == coupled.signalWords)
    }

    @Test(arguments: [1, 2, 3])
    func proxyThreadsShareTheWork(threads: Int) throws {
        let alone = try FixtureLayer.named("qwen3").alone()
        for scheme in Scheme.allCases {
            let run = try run(scheme, ranks: 5) { $0.proxyThreads = threads }
            #expect(run.hasSameOutput(as: alone), "\(scheme), \(threads) threads")
        }
    }

    @Test func schemesRankAsThePaperSays() throws {
        func time(_ scheme: Scheme) throws -> UInt64 {
            try run(scheme, ranks: 8).outcome.layerNanoseconds
        }
        let coupled = try time(.coupled)
        #expect(try time(.decoupled) < coupled)
        #expect(try time(.perseus) < time(.decoupled))
        #expect(try time(.perseusPlus) < time(.perseus))
    }
}
