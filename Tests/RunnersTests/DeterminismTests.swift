// Same seed, same everything; and a first handful of the scenarios that CI runs by the thousand.

import PerseusMegakernel
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC
import Testing

@Suite struct DeterminismTests {
    @Test(arguments: Scheme.allCases)
    func virtualTimeIsTheSameOnEveryRun(scheme: Scheme) throws {
        let layer = FixtureLayer.named("qwen3")
        func once() throws -> (RunOutcome, String) {
            var settings = settings("perlmutter-slingshot11")
            settings.faults = try FaultPlan(
                parsing: "seed=3,delay=0.3@20us,drop=0.1,jitter=2us", rankCount: 4)
            let trace = TraceRecorder()
            let run = try runScheme(scheme, layer.workload(ranks: 4), settings, trace: trace)
            return (run.outcome, TraceRecorder.chromeTrace([("x", trace)]))
        }
        let (first, firstTrace) = try once()
        let (second, secondTrace) = try once()
        #expect(first.layerNanoseconds == second.layerNanoseconds)
        #expect(first.stepCount == second.stepCount)
        #expect(first.computeNanoseconds == second.computeNanoseconds)
        #expect("\(first.counters)" == "\(second.counters)")
        #expect(firstTrace == secondTrace)
        #expect(firstTrace.contains("STALL") == [.coupled, .decoupled].contains(scheme))
    }

    @Test func anotherSeedIsAnotherRun() throws {
        let layer = FixtureLayer.named("qwen3")
        let times = try (1...3).map { seed in
            var settings = settings("h100-connectx7")
            settings.faults = try FaultPlan(parsing: "seed=\(seed),jitter=5us", rankCount: 4)
            return try runScheme(.perseus, layer.workload(ranks: 4), settings).outcome
                .layerNanoseconds
        }
        #expect(Set(times).count == 3)
    }

    @Test(arguments: 1...60)
    func aRandomScenarioHolds(seed: Int) throws {
        let scenario = SeedScenario(seed: UInt64(seed))
        let verdict = try scenario.run()
        #expect(
            verdict.problem == nil,
            "\(verdict.problem!)\n\(scenario.description)\n\(scenario.replayLine)")
    }

    /// Seeds that found bugs: a queue pair filled by a flush, a kernel that nobody woke, a word announced twice.
    @Test(arguments: [0x12ab, 0xe57, 0xe6a5_e627_8b2c])
    func aSeedThatFoundABugHolds(seed: Int) throws {
        let scenario = SeedScenario(seed: UInt64(seed))
        let verdict = try scenario.run()
        #expect(verdict.problem == nil, "\(verdict.problem!)\n\(scenario.replayLine)")
    }
}
