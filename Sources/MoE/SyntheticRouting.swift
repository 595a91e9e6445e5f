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
        var sum = 0.0
        cumulative = probability.map { value in
            sum += value
            return sum
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
    /// Every weight is `1 / topK`. Allocates nothing.
    public func route(
        tokens: Range<Int>, ids: UnsafeMutablePointer<Int32>, weights: UnsafeMutablePointer<Float>
    ) {
        let weight = 1 / Float(topK)
        for (row, token) in tokens.enumerated() {
            var random = SeededRandom(seed: seed, stream: UInt64(token) &+ 1 << 32)
            let drawn = ids + row * topK
            for slot in 0..<topK {
                drawn[slot] = draw(&random, excluding: drawn, slot)
                weights[row * topK + slot] = weight
            }
        }
    }

    /// One expert that is not among the first `count` of `drawn`.
    ///
    /// A draw from the table that hits a taken expert is replaced by one over the remaining
    /// probability, which has the same distribution and ends at once however skewed the popularity
    /// is.
    private func draw(
        _ random: inout SeededRandom, excluding drawn: UnsafeMutablePointer<Int32>, _ count: Int
    ) -> Int32 {
        func isTaken(_ expert: Int) -> Bool {
            (0..<count).contains { drawn[$0] == Int32(expert) }
        }
        let candidate = firstCumulative(above: random.nextUnit() * cumulative[expertCount - 1])
        if !isTaken(candidate) { return Int32(candidate) }
        var remaining = 0.0
        for expert in 0..<expertCount where !isTaken(expert) { remaining += probability[expert] }
        var target = random.nextUnit() * remaining
        var last = 0
        for expert in 0..<expertCount where !isTaken(expert) {
            last = expert
            target -= probability[expert]
            if target < 0 { break }
        }
        return Int32(last)
    }

    /// The lowest expert whose cumulative probability exceeds `target`.
    private func firstCumulative(above target: Double) -> Int {
        var (low, high) = (0, expertCount - 1)
        while low < high {
            let middle = (low + high) / 2
            if cumulative[middle] > target { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
