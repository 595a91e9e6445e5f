// The helpers around the kernels against plain Swift: bit for bit, since their order of operations
// is fixed.

import CExpertKernels
import PerseusPrimitives
import Testing

struct VectorOperationTests {
    /// Odd lengths, so that whole vectors and remainders are both met.
    static let lengths = [1, 7, 8, 31, 77, 264]

    static func row(_ count: Int, seed: UInt64) -> [BFloat16Bits] {
        randomRows(1, hidden: count, seed: seed)
    }

    @Test(arguments: lengths)
    func combineAddsInSlotOrder(length: Int) {
        let rows = (0..<5).map { Self.row(length, seed: UInt64($0)) }
        let shared = Self.row(length, seed: 9)
        let weights: [Float] = [0.3, 0.25, 0.2, 0.15, 0.1]
        for k in 0...5 {
            let expected = (0..<length).map { h in
                (0..<k).reduce(Float(0)) { $0 + weights[$1] * float(rows[$1][h]) }
                    + float(shared[h])
            }
            #expect(Self.combine(rows, weights, k, shared) == expected, "k \(k)")
        }
        #expect(Self.combine(rows, weights, 0, nil) == [Float](repeating: 0, count: length))
    }

    static func combine(
        _ rows: [[BFloat16Bits]], _ weights: [Float], _ k: Int, _ shared: [BFloat16Bits]?
    ) -> [Float] {
        let length = rows[0].count
        let copies = rows.map { row in
            let copy = UnsafeMutableBufferPointer<BFloat16Bits>.allocate(capacity: length)
            _ = copy.initialize(from: row)
            return copy
        }
        defer { copies.forEach { $0.deallocate() } }
        let addresses = copies.map { UnsafePointer($0.baseAddress) }
        var out = [Float](repeating: .nan, count: length)
        if let shared {
            perseus_combine_row(&out, addresses, weights, Int32(k), shared, Int32(length))
        } else {
            perseus_combine_row(&out, addresses, weights, Int32(k), nil, Int32(length))
        }
        return out
    }

    @Test(arguments: lengths)
    func scaleRoundsToNearestEven(length: Int) {
        var row = Self.row(length, seed: 3)
        row[length / 2] = 0xFFFF
        var out = [BFloat16Bits](repeating: 0, count: length)
        perseus_scale_row_bf16(&out, row, 0.7, Int32(length))
        let expected = row.map { bfloat16(float($0) * 0.7) }
        #expect(out == expected)
        #expect(out[length / 2] == 0xFFC0, "a NaN keeps its sign")
    }

    @Test(arguments: lengths)
    func dotFollowsItsWrittenOrder(length: Int) {
        let x = Self.row(length, seed: 4)
        let w = randomRows(6, hidden: length, seed: 5)
        var out = [Double](repeating: .nan, count: 6)
        perseus_dot_bf16_f64(&out, x, w, 6, Int32(length))
        for e in 0..<6 {
            var lanes = [Double](repeating: 0, count: 8)
            for h in 0..<length {
                lanes[h % 8] += Double(float(x[h])) * Double(float(w[e * length + h]))
            }
            let even = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6])
            #expect(out[e] == even + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7])))
        }
    }

    @Test func dotPassesNaNOn() {
        var x = Self.row(24, seed: 6)
        x[17] = 0x7FC0
        var out = [Double](repeating: 0, count: 2)
        perseus_dot_bf16_f64(&out, x, randomRows(2, hidden: 24, seed: 7), 2, 24)
        #expect(out[0].isNaN && out[1].isNaN)
    }

    static func random(_ count: Int, seed: UInt64, from first: UInt64, scale: Float = 1)
        -> [BFloat16Bits]
    {
        var out = [BFloat16Bits](repeating: 0, count: count)
        perseus_fill_random_bf16(&out, UInt64(count), seed, first, scale)
        return out
    }

    /// Also across the carry into the upper half of the index.
    @Test func anElementDependsOnSeedAndIndexAlone() {
        for first in [0, 1 << 32 - 40] as [UInt64] {
            let whole = Self.random(100, seed: 8, from: first)
            for cut in [1, 17, 40, 63] {
                let pieces =
                    Self.random(cut, seed: 8, from: first)
                    + Self.random(100 - cut, seed: 8, from: first + UInt64(cut))
                #expect(pieces == whole, "first \(first), cut \(cut)")
            }
            #expect(Self.random(100, seed: 9, from: first) != whole)
        }
    }

    /// The first elements of a sequence never change: recorded outputs rest on them.
    @Test func sequenceIsTheRecordedOne() {
        let expected: [BFloat16Bits] = [16253, 49039, 16386, 16404, 16320, 16031, 49010, 49039]
        #expect(Self.random(8, seed: 1, from: 0) == expected)
    }

    @Test func momentsAreThoseOfTheDistribution() {
        let count = 1 << 16
        for seed in 0..<4 as Range<UInt64> {
            let values = Self.random(count, seed: seed, from: seed << 20, scale: 0.5)
                .map { Double(float($0)) }
            let mean = values.reduce(0, +) / Double(count)
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
            let neighbours = zip(values, values.dropFirst()).reduce(0) { $0 + $1.0 * $1.1 }
            // Five standard errors of each estimate.
            #expect(abs(mean) < 0.5 * 5 / 256, "mean \(mean), seed \(seed)")
            #expect(abs(variance.squareRoot() - 0.5) < 0.007, "variance \(variance), seed \(seed)")
            #expect(abs(neighbours / Double(count)) < 0.25 * 5 / 256, "seed \(seed)")
            let largest = values.map(abs).max() ?? 0
            #expect(largest < 0.5 * 3.46)
        }
    }
}
