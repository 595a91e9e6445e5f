// The one line that replays a fault plan: what is printed can be read, what is wrong is named.

import PerseusPrimitives
import PerseusSoftNIC
import Testing

@Suite struct FaultPlanTests {
    @Test(arguments: 1...200)
    func whatIsPrintedCanBeRead(seed: Int) throws {
        let plan = FaultPlan.random(seed: UInt64(seed), rankCount: 8)
        #expect(try FaultPlan(parsing: plan.description, rankCount: 8) == plan, "\(plan)")
    }

    @Test(arguments: [
        "delay", "delay=0.5", "delay=2@1us", "drop=x", "reorder=0.1@5", "clog=1@5us",
        "clog=9@1us..2us",
        "clog=1@9us..2us", "kill=8@1us", "kill=1", "melt=1", "seed=", "jitter=-1us",
    ])
    func aBadItemIsNamed(text: String) {
        let error = #expect(throws: PerseusError.self) {
            try FaultPlan(parsing: text, rankCount: 8)
        }
        #expect(error?.kind == .badInput)
        #expect(error?.message.contains("'\(text)'") == true, "\(error!.message)")
    }
}
