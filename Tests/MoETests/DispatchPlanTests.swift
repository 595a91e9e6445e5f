// The plan as a permutation, stable and rebuilt in place; placement as a partition.

import PerseusMoE
import PerseusPrimitives
import Testing

struct DispatchPlanTests {
    /// Checks every invariant of a plan against `ids`; returns what is broken, or nil.
    func fault(_ plan: borrowing DispatchPlan, _ ids: [Int32], tokens: Int) -> String? {
        let count = tokens * plan.topK
        if plan.rowCount != count || Int(plan.firstRow[plan.expertCount]) != count {
            return "row count"
        }
        var seen = [Bool](repeating: false, count: count)
        for index in 0..<count {
            let row = Int(plan.rowOf[index])
            if row < 0 || row >= count || seen[row] { return "rowOf is no permutation at \(index)" }
            seen[row] = true
            let isInverse =
                Int(plan.tokenOf[row]) == index / plan.topK
                && Int(plan.slotOf[row]) == index % plan.topK
            if !isInverse { return "inverse of row \(row)" }
            let expert = Int(ids[index])
            if !plan.rowRange(ofExperts: expert..<expert + 1).contains(row) {
                return "row \(row) is not its expert's"
            }
        }
        for expert in 0..<plan.expertCount {
            let range = plan.rowRange(ofExperts: expert..<expert + 1)
            if range.count != Int(plan.rows[expert]) { return "rows of expert \(expert)" }
            for row in range.dropFirst() {
                let before = Int(plan.tokenOf[row - 1]) * plan.topK + Int(plan.slotOf[row - 1])
                let here = Int(plan.tokenOf[row]) * plan.topK + Int(plan.slotOf[row])
                if before >= here { return "order within expert \(expert)" }
            }
        }
        return nil
    }

    @Test(arguments: [UInt64(1), 2, 3, 4, 5, 6, 7, 8])
    func planIsAStablePermutation(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let experts = 1 + random.next(below: 40)
        let topK = 1 + random.next(below: min(8, experts))
        let capacity = 1 + random.next(below: 60)
        var plan = DispatchPlan(expertCount: experts, topK: topK, tokenCapacity: capacity)
        // The same storage is rebuilt, so that leftovers of a larger plan would show.
        for _ in 0..<4 {
            let tokens = random.next(below: capacity + 1)
            let ids = (0..<tokens * topK).map { _ in Int32(random.next(below: experts)) }
            plan.rebuild(ids: ids, tokens: tokens)
            #expect(fault(plan, ids, tokens: tokens) == nil, "replay: seed \(seed)")
        }
    }

    @Test func noTokensMakeAnEmptyPlan() {
        var plan = DispatchPlan(expertCount: 3, topK: 2, tokenCapacity: 0)
        plan.rebuild(ids: [], tokens: 0)
        #expect(fault(plan, [], tokens: 0) == nil)
        #expect(plan.rowRange(ofExperts: 0..<3).isEmpty)
    }

    @Test func exampleInPackedOrder() {
        var plan = DispatchPlan(expertCount: 4, topK: 2, tokenCapacity: 3)
        plan.rebuild(ids: [2, 0, 2, 1, 0, 2], tokens: 3)
        #expect((0..<6).map { plan.rowOf[$0] } == [3, 0, 4, 2, 1, 5])
        #expect((0..<5).map { plan.firstRow[$0] } == [0, 2, 3, 6, 6])
    }

    @Test func everyExpertHasOneOwner() {
        for experts in 1...20 {
            for ranks in 1...24 {
                let placement = ExpertPlacement(experts: experts, ranks: ranks)
                let ranges = (0..<ranks).map { placement.range(of: $0) }
                #expect(ranges.first?.lowerBound == 0 && ranges.last?.upperBound == experts)
                #expect(
                    zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
                #expect(ranges.map(\.count).max() == placement.maxExpertsPerRank)
                for (rank, range) in ranges.enumerated() {
                    #expect(range.allSatisfy { placement.owner(of: $0) == rank })
                }
            }
        }
    }
}
