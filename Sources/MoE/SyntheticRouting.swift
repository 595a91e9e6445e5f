// Routing without a router, for modelled runs: a chosen skew, the same for every rank count.

import Glibc
import PerseusPrimitives

/// Draws `topK` distinct experts for each token; the popularity of experts falls as
/// `rank^-exponent` (Zipf).
///
/// Token `t`'s draw is a function of (seed, global index `t`). Which expert is popular is a random
/// permutation of the seed, so the load does not always hit rank 0. Exponent 0 is uniform; 1.5
/// sends 82 % of first choices to 10 of 128 experts.
///
/// Threading: immutable.
public struct SyntheticRouting: Sendable {
    public let expertCount: Int
    public let topK: Int
    let seed: UInt64
    /// Probability of each expert.
    let probability: [Double]
    /// `cumulative[e]` = probability of the experts `0 ... e`.
    let cumulative: [Double]
    /// `guide[b]` = the expert of the smallest number that falls into part `b` of the unit interval: where the search
    /// for an expert begins. 1,024 parts and 128 to 256 experts leave one comparison, mostly.
    let guide: [Int32]

    /// Experts are equally popular and a power of two: every sum of probabilities is exact, and needs no table.
    let isEven: Bool

    static let guideCount = 1024

    /// - Precondition: `zipfExponent` is finite and not negative.
    public init(expertCount: Int, topK: Int, seed: UInt64, zipfExponent: Double = 0) {
        precondition(
            topK > 0 && topK <= expertCount, "SyntheticRouting: topK is out of range")
        precondition(
            zipfExponent >= 0 && zipfExponent.isFinite, "SyntheticRouting: exponent is negative")
        self.expertCount = expertCount
        self.topK = topK
        self.seed = seed
        probability = SyntheticRouting.makeProbability(expertCount, seed, zipfExponent)
        isEven =
            expertCount.nonzeroBitCount == 1
            && probability.allSatisfy { $0 == 1 / Double(expertCount) }
        var sum = 0.0
        cumulative = probability.map { value in
            sum += value
            return sum
        }
        let (table, total) = (cumulative, sum)
        guide = (0..<Self.guideCount).map { part in
            let least = Double(part) / Double(Self.guideCount) * total
            return Int32(table.firstIndex { $0 > least } ?? expertCount - 1)
        }
    }

    private static func makeProbability(
        _ count: Int, _ seed: UInt64, _ exponent: Double
    ) -> [Double] {
        // The smallest positive weight keeps every expert reachable when the power underflows.
        var values = (1...count).map { max(pow(Double($0), -exponent), .leastNormalMagnitude) }
        let total = values.reduce(0, +)
        var random = SeededRandom(seed: seed, stream: 0x5EED)
        for last in stride(from: count - 1, to: 0, by: -1) {
            values.swapAt(last, random.next(below: last + 1))
        }
        return values.map { $0 / total }
    }

    /// Writes ids and weights `[tokens.count, topK]` of the tokens with the given global indices.
    ///
    /// Every weight is `1 / topK`; nobody has to want them. Allocates nothing.
    public func route(
        tokens: Range<Int>, ids: UnsafeMutablePointer<Int32>, weights: UnsafeMutablePointer<Float>?
    ) {
        weights?.update(repeating: 1 / Float(topK), count: tokens.count * topK)
        probability.withUnsafeBufferPointer { probability in
            cumulative.withUnsafeBufferPointer { cumulative in
                guide.withUnsafeBufferPointer { guide in
                    let tables = DrawTables(
                        probability: probability, cumulative: cumulative, guide: guide)
                    for (row, token) in tokens.enumerated() {
                        var random = SeededRandom(seed: seed, stream: UInt64(token) &+ 1 << 32)
                        let drawn = ids + row * topK
                        for slot in 0..<topK {
                            drawn[slot] =
                                isEven
                                ? tables.drawEven(&random, excluding: drawn, slot)
                                : tables.draw(&random, excluding: drawn, slot)
                        }
                    }
                }
            }
        }
    }
}

/// The tables of a routing as plain memory, for the length of one call.
private struct DrawTables {
    let probability: UnsafeBufferPointer<Double>
    let cumulative: UnsafeBufferPointer<Double>
    let guide: UnsafeBufferPointer<Int32>

    var expertCount: Int { probability.count }

    /// One expert that is not among the first `count` of `drawn`.
    ///
    /// A draw from the table that hits a taken expert is replaced by one over the remaining
    /// probability, which has the same distribution and ends at once however skewed the popularity
    /// is.
    @inline(__always)
    func draw(
        _ random: inout SeededRandom, excluding drawn: UnsafeMutablePointer<Int32>, _ count: Int
    ) -> Int32 {
        let candidate = firstCumulative(at: random.nextUnit())
        for index in 0..<count where drawn[index] == candidate {
            return redraw(random.nextUnit(), excluding: drawn, count)
        }
        return candidate
    }

    /// As `draw`, where every expert has the probability 1 / 2^n: the same numbers, without sums.
    @inline(__always)
    func drawEven(
        _ random: inout SeededRandom, excluding drawn: UnsafeMutablePointer<Int32>, _ count: Int
    ) -> Int32 {
        let candidate = Int32(truncatingIfNeeded: evenPart(of: random.nextUnit()))
        for index in 0..<count where drawn[index] == candidate {
            let remaining = Double(expertCount - count) / Double(expertCount)
            // The product may be rounded up to all that remains.
            let part = min(evenPart(of: random.nextUnit() * remaining), expertCount - count - 1)
            return untaken(part, drawn, count)
        }
        return candidate
    }

    @inline(__always)
    private func evenPart(of unit: Double) -> Int { Int(unit * Double(expertCount)) }

    /// The expert with `index` others that are not taken below it.
    private func untaken(
        _ index: Int, _ drawn: UnsafeMutablePointer<Int32>, _ count: Int
    ) -> Int32 {
        var expert = index
        var taken = nextTaken(from: 0, drawn, count)
        while taken <= expert {
            expert += 1
            taken = nextTaken(from: taken + 1, drawn, count)
        }
        return Int32(expert)
    }

    /// The lowest expert whose cumulative probability exceeds `unit`, from 0 to below 1, of the whole.
    @inline(__always)
    private func firstCumulative(at unit: Double) -> Int32 {
        let target = unit * cumulative[expertCount - 1]
        // A power of two: the part is exact, and its least number is at most `target` after rounding too.
        var expert = Int(guide[Int(unit * Double(SyntheticRouting.guideCount))])
        while expert < expertCount - 1 && cumulative[expert] <= target { expert += 1 }
        return Int32(truncatingIfNeeded: expert)
    }

    /// A draw over the experts that are not taken, in the order of their numbers. Sums and differences are taken one
    /// by one: their rounding decides which expert it is.
    private func redraw(
        _ unit: Double, excluding drawn: UnsafeMutablePointer<Int32>, _ count: Int
    ) -> Int32 {
        var taken = nextTaken(from: 0, drawn, count)
        var remaining = taken > 0 ? cumulative[taken - 1] : 0
        while taken < expertCount {
            let begin = taken + 1
            taken = nextTaken(from: begin, drawn, count)
            for expert in begin..<taken { remaining += probability[expert] }
        }
        var target = unit * remaining
        var last = 0
        var begin = 0
        while begin < expertCount {
            taken = nextTaken(from: begin, drawn, count)
            for expert in begin..<taken {
                last = expert
                target -= probability[expert]
                if target < 0 { return Int32(last) }
            }
            begin = taken + 1
        }
        return Int32(last)
    }

    /// The lowest taken expert that is not below `first`; `expertCount` when there is none.
    private func nextTaken(
        from first: Int, _ drawn: UnsafeMutablePointer<Int32>, _ count: Int
    ) -> Int {
        var next = expertCount
        for index in 0..<count where drawn[index] >= first { next = min(next, Int(drawn[index])) }
        return next
    }
}
