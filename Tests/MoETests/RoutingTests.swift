// Routing that the caller gives, and routing made up for modelled runs.

import PerseusPrimitives
import Testing

@testable import PerseusMoE

struct RoutingTests {
    func table(_ ids: [Int64], _ weights: [Float]? = nil) throws -> RoutingTable {
        try RoutingTable(
            ids: ids, weights: weights ?? ids.map { _ in 0.5 }, topK: 2, expertCount: 8)
    }

    @Test func validRoutingIsTakenAsItIs() throws {
        let routing = try table([7, 0, 3, 4], [0.5, -2, 0, 1])
        #expect(routing.tokenCount == 2)
        #expect(routing.ids == [7, 0, 3, 4])
        #expect(routing.weights == [0.5, -2, 0, 1])
        #expect(try table([]).tokenCount == 0)
    }

    @Test func faultsNameTokenSlotAndValue() {
        let cases: [([Int64], [Float]?, String)] = [
            ([1, 2, 3, 8], nil, "routing: token 1, slot 1: expert 8 is outside 0 to 7"),
            ([-1, 2], nil, "routing: token 0, slot 0: expert -1 is outside 0 to 7"),
            ([1 << 32, 2], nil, "routing: token 0, slot 0: expert 4294967296 is outside 0 to 7"),
            ([1, 2, 5, 5], nil, "routing: token 1, slot 1: expert 5 appears twice"),
            ([1, 2], [1, .nan], "routing: token 0, slot 1: weight nan is not finite"),
            ([1, 2], [.infinity, 1], "routing: token 0, slot 0: weight inf is not finite"),
            ([1, 2, 3], nil, "routing: 3 ids and 3 weights are not [tokens, 2]"),
            ([1, 2], [1], "routing: 2 ids and 1 weights are not [tokens, 2]"),
        ]
        for (ids, weights, message) in cases {
            #expect(failureMessage { _ = try table(ids, weights) } == message)
        }
    }

    func draw(_ routing: SyntheticRouting, _ tokens: Range<Int>) -> [Int32] {
        var ids = [Int32](repeating: -1, count: tokens.count * routing.topK)
        var weights = [Float](repeating: 0, count: ids.count)
        routing.route(tokens: tokens, ids: &ids, weights: &weights)
        #expect(weights.allSatisfy { $0 == 1 / Float(routing.topK) })
        return ids
    }

    @Test(arguments: [0, 1.5, 40])
    func syntheticIDsAreDistinctAndDependOnTheTokenOnly(exponent: Double) {
        let routing = SyntheticRouting(expertCount: 16, topK: 5, seed: 9, zipfExponent: exponent)
        let ids = draw(routing, 0..<64)
        for token in 0..<64 {
            let chosen = ids[token * 5..<(token + 1) * 5]
            #expect(Set(chosen).count == 5 && chosen.allSatisfy { (0..<16).contains($0) })
        }
        #expect(draw(routing, 20..<64) == Array(ids[100...]))
    }

    /// The definition, written out: a search from the first expert on, and one sum over those that are not taken.
    @Test(arguments: [
        (128, 8, 0), (256, 8, 0), (16, 16, 0), (1, 1, 0), (128, 8, 1.5), (256, 8, 0.5), (16, 16, 1),
        (5000, 3, 2),
    ])
    func syntheticDrawsFollowTheirDefinition(experts: Int, topK: Int, exponent: Double) {
        let routing = SyntheticRouting(
            expertCount: experts, topK: topK, seed: 11, zipfExponent: exponent)
        var expected: [Int32] = []
        for token in 0..<300 {
            var random = SeededRandom(seed: 11, stream: UInt64(token) &+ 1 << 32)
            var chosen: [Int] = []
            for _ in 0..<topK {
                let target = random.nextUnit() * routing.cumulative[experts - 1]
                let first = routing.cumulative.firstIndex { $0 > target } ?? experts - 1
                guard chosen.contains(first) else {
                    chosen.append(first)
                    continue
                }
                let others = (0..<experts).filter { !chosen.contains($0) }
                var left =
                    random.nextUnit() * others.reduce(0.0) { $0 + routing.probability[$1] }
                let place = others.firstIndex {
                    left -= routing.probability[$0]
                    return left < 0
                }
                chosen.append(others[place ?? others.count - 1])
            }
            expected += chosen.map { Int32($0) }
        }
        #expect(draw(routing, 0..<300) == expected)
    }

    @Test func syntheticRoutingMayUseEveryExpert() {
        let routing = SyntheticRouting(expertCount: 6, topK: 6, seed: 1, zipfExponent: 3)
        #expect(draw(routing, 0..<1).sorted() == [0, 1, 2, 3, 4, 5])
    }

    @Test func zipfExponentSkewsFirstChoices() {
        // Exponent 1.5 over 128 experts gives the ten most popular 82 % of the draws.
        let routing = SyntheticRouting(expertCount: 128, topK: 1, seed: 3, zipfExponent: 1.5)
        var counts = [Int](repeating: 0, count: 128)
        for id in draw(routing, 0..<4000) { counts[Int(id)] += 1 }
        let top = counts.sorted(by: >).prefix(10).reduce(0, +)
        #expect((3140...3420).contains(top), "top ten drawn \(top) of 4000")
    }
}
