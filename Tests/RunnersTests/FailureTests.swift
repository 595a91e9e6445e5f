// Dead ranks and passed deadlines: an end in bounded time, and a report that says who waits for what.

import PerseusMegakernel
import PerseusRunners
import PerseusSoftNIC
import Testing

@Suite struct FailureTests {
    @Test(arguments: [RunClock.virtual, .real(threads: 2)])
    func aDeadRankEndsTheLayerWithAReport(clock: RunClock) throws {
        let layer = FixtureLayer.named("qwen3")
        for at in ["0us", "20us", "60us"] {
            for scheme in Scheme.allCases {
                var settings = settings("perlmutter-slingshot11", clock: clock)
                settings.options.deadlineNanoseconds = 300_000_000
                settings.faults = try FaultPlan(parsing: "kill=1@\(at)", rankCount: 4)
                let run = try runScheme(scheme, layer.workload(ranks: 4), settings)
                let failure = try #require(run.outcome.failure, "\(scheme) survived a dead rank")
                #expect(failure.cause.contains("rank 1 died"), "\(failure)")
                #expect(failure.lines.contains { $0.contains("peer 1") }, "\(failure)")
                #expect(failure.lines.allSatisfy { !$0.hasPrefix("rank 1:") }, "\(failure)")
                #expect(run.checker?.violationCount == 0)
            }
        }
    }

    @Test func aPutToADeadPeerIsNamedWithOperationStageAndAge() throws {
        let layer = FixtureLayer.named("qwen3")
        var settings = settings("h100-connectx7")
        settings.faults = try FaultPlan(parsing: "kill=2@0us", rankCount: 4)
        let run = try runScheme(.perseus, layer.workload(ranks: 4), settings)
        let failure = try #require(run.outcome.failure)
        let line = try #require(failure.lines.first { $0.contains("lane 2") }, "\(failure)")
        #expect(
            line.contains("put of") && line.contains("posted") && line.contains("age"), "\(line)")
        #expect(line.contains("does not answer"), "\(line)")
    }

    @Test func aClogIsLateAndNotFatal() throws {
        let layer = FixtureLayer.named("qwen3")
        var settings = settings("h100-connectx7")
        settings.faults = try FaultPlan(parsing: "clog=1@10us..900us", rankCount: 4)
        let run = try runScheme(.perseusPlus, layer.workload(ranks: 4), settings)
        #expect(run.outcome.failure == nil)
        #expect(run.outcome.layerNanoseconds > 900_000)
        #expect(run.hasSameOutput(as: try layer.alone()))
    }

    @Test func aDeadlineThatIsTooShortIsNamed() throws {
        let layer = FixtureLayer.named("qwen3")
        var settings = settings("perlmutter-slingshot11")
        settings.options.deadlineNanoseconds = 30_000
        let run = try runScheme(.coupled, layer.workload(ranks: 4), settings)
        let failure = try #require(run.outcome.failure)
        #expect(failure.cause.contains("deadline"), "\(failure)")
        #expect(
            failure.lines.contains { $0.contains("waits for the dispatch signal") }, "\(failure)")
    }
}
