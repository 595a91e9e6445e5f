// The bits of a row depend on nothing but the row: not on count, position or neighbours.

import PerseusMoE
import PerseusPrimitives
import Testing

@testable import PerseusExpertKernels

struct RowInvarianceTests {
    static let dimensions = ExpertDimensions(hidden: 72, intermediate: 40)

    static func experts(_ variant: ExpertKernelVariant) throws -> PackedExperts {
        let source = RandomExperts(expertCount: 2, dimensions: dimensions, hasBias: true, seed: 11)
        return try PackedExperts(source: source, activation: .silu, variant: variant)
    }

    static func row(_ output: [BFloat16Bits], _ index: Int) -> ArraySlice<BFloat16Bits> {
        output[index * dimensions.hidden..<(index + 1) * dimensions.hidden]
    }

    /// One row among 0 … 127 neighbours, at a random place; a quarter of the neighbours is NaN.
    @Test(arguments: ExpertKernelVariant.available)
    func rowAmongAnyNeighboursHasTheSameBits(variant: ExpertKernelVariant) throws {
        let experts = try Self.experts(variant)
        let hidden = Self.dimensions.hidden
        let probe = randomRows(1, hidden: hidden, seed: 1)
        let alone = multiply(experts, probe)
        for rows in Array(1...40) + [63, 64, 65, 127, 128] {
            let seed = UInt64(rows)
            var random = SeededRandom(seed: seed)
            var input = randomRows(rows, hidden: hidden, seed: seed + 1000)
            for neighbour in 0..<rows where random.chance(0.25) {
                input[neighbour * hidden + random.next(below: hidden)] = 0x7FC0
            }
            let position = random.next(below: rows)
            input.replaceSubrange(position * hidden..<(position + 1) * hidden, with: probe)
            let output = multiply(experts, input)
            #expect(
                Self.row(output, position) == alone[...],
                "replay: rows \(rows), position \(position)")
        }
    }

    @Test(arguments: ExpertKernelVariant.available)
    func positionsOfOneCountGiveTheSameBits(variant: ExpertKernelVariant) throws {
        let experts = try Self.experts(variant)
        let probe = randomRows(1, hidden: Self.dimensions.hidden, seed: 2)
        let output = multiply(experts, (0..<64).flatMap { _ in probe })
        for position in 0..<64 {
            #expect(Self.row(output, position) == Self.row(output, 0), "position \(position)")
        }
    }

    @Test(arguments: ExpertKernelVariant.available)
    func nanStaysInItsRow(variant: ExpertKernelVariant) throws {
        let experts = try Self.experts(variant)
        var input = randomRows(17, hidden: Self.dimensions.hidden, seed: 3)
        let clean = multiply(experts, input)
        input[7 * Self.dimensions.hidden + 5] = 0x7FC0
        let output = multiply(experts, input)
        for row in 0..<17 {
            if row == 7 {
                #expect(Self.row(output, row).allSatisfy { float($0).isNaN })
            } else {
                #expect(Self.row(output, row) == Self.row(clean, row), "row \(row)")
            }
        }
    }

    /// Two segments of different sources in one call equal a call for each.
    @Test(arguments: ExpertKernelVariant.available)
    func segmentsTogetherEqualSegmentsApart(variant: ExpertKernelVariant) throws {
        let experts = try Self.experts(variant)
        let hidden = Self.dimensions.hidden
        let segments = [
            randomRows(64, hidden: hidden, seed: 21), randomRows(37, hidden: hidden, seed: 22),
        ]
        let apart = segments.map { multiply(experts, expert: 1, $0) }
        let together = multiplySegments(experts, expert: 1, segments)
        #expect(together == apart)
        #expect(multiply(experts, expert: 0, segments[0]) != apart[0], "experts must differ")
    }

    /// The form with pointers, over segments that lie in different arrays.
    private func multiplySegments(
        _ experts: PackedExperts, expert: Int, _ segments: [[BFloat16Bits]]
    ) -> [[BFloat16Bits]] {
        let hidden = Self.dimensions.hidden
        let scratch = UnsafeMutableRawPointer.allocate(
            byteCount: experts.scratchByteCount, alignment: 64)
        defer { scratch.deallocate() }
        let inputs = segments.map { segment in
            let copy = UnsafeMutableBufferPointer<BFloat16Bits>.allocate(capacity: segment.count)
            _ = copy.initialize(from: segment)
            return copy
        }
        let outputs = segments.map {
            UnsafeMutableBufferPointer<BFloat16Bits>.allocate(capacity: $0.count)
        }
        defer { (inputs + outputs).forEach { $0.deallocate() } }
        func rows(_ buffers: [UnsafeMutableBufferPointer<BFloat16Bits>])
            -> [UnsafeMutablePointer<BFloat16Bits>]
        {
            buffers.flatMap { buffer in
                (0..<buffer.count / hidden).map { buffer.baseAddress! + $0 * hidden }
            }
        }
        let inputRows = rows(inputs).map { UnsafePointer($0) }
        experts.multiply(
            expert: expert, rowPointers: inputRows, rows: inputRows.count,
            outputPointers: rows(outputs), scratch: scratch)
        return outputs.map { Array($0) }
    }
}
