// Litmus tests: promises hold, and what is not promised is seen to break.

import PerseusExperiments
import PerseusLibfabric
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import Testing

@Suite struct LitmusTests {
    private func plan(_ profile: String, trials: Int = 100) throws -> LitmusPlan {
        var plan = LitmusPlan(.softNIC(try #require(Profile.named(profile))))
        plan.trials = trials
        plan.seed = UInt64.random(in: 1...1 << 40)
        return plan
    }

    @Test(arguments: ["perlmutter-slingshot11", "h100-connectx7", "efa-srd", "roce-adaptive"])
    func promisesOfTheSoftNICHold(profile: String) throws {
        let plan = try plan(profile)
        let results = try plan.run()
        #expect(results.contains { $0.ordering == "drain-peer" })
        for result in results {
            #expect(
                result.verdict == .proven && result.violations == 0 && result.trials == 100
                    && result.guarantee != nil, "\(result), seed \(plan.seed)")
        }
    }

    @Test func aRemovedOrderingIsViolated() throws {
        var plan = try plan("roce-adaptive", trials: 300)
        plan.orderings = [.none]
        #expect(try plan.run().isEmpty, "without --unproven nothing that is not promised runs")
        plan.triesUnproven = true
        let result = try #require(try plan.run().first)
        #expect(result.verdict == .violated && result.violations > 0, "seed \(plan.seed)")
        #expect(!result.isBrokenPromise && result.guarantee == nil)
        #expect(try plan.run().first == result, "the same trials find the same")
    }

    /// Nobody promises order there, and on shared memory nobody has seen it broken.
    @Test func whatIsNotContradictedIsNotCalledProven() throws {
        let providers = LibfabricProvider.available.map(\.name)
        guard providers.contains("shm") else { return }
        var plan = LitmusPlan(.libfabric("shm"))
        plan.orderings = [.providerOrder]
        plan.triesUnproven = true
        plan.trials = 100
        let result = try #require(try plan.run().first)
        #expect(result.guarantee == nil && result.verdict != .proven)
    }

    @Test func aFabricThatIsNotThereIsNamed() {
        let error = #expect(throws: PerseusError.self) {
            _ = try LitmusPlan(.libfabric("nonsense")).run()
        }
        #expect(error?.kind == .environment)
    }
}
