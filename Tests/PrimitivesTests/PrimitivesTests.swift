// The small tools that everything else trusts.

import Testing

@testable import PerseusPrimitives

@Suite struct PrimitivesTests {
    @Test func bfloat16RoundsToNearestEven() {
        #expect(bfloat16(1.0) == 0x3F80)
        #expect(bfloat16(Float(bitPattern: 0x3F80_8000)) == 0x3F80)
        #expect(bfloat16(Float(bitPattern: 0x3F81_8000)) == 0x3F82)
        #expect(bfloat16(.nan) & 0x7FFF == 0x7FC0)
        #expect(bfloat16(.infinity) == 0x7F80)
        for bits in 0...UInt16.max where bits & 0x7FFF <= 0x7F80 {
            #expect(bfloat16(float(bits)) == bits)
        }
    }

    @Test func streamsOfOneSeedDiffer() {
        var a = SeededRandom(seed: 1, stream: 1)
        var b = SeededRandom(seed: 1, stream: 2)
        #expect((0..<8).map { _ in a.next() } != (0..<8).map { _ in b.next() })
    }

    @Test func editDistanceCountsSwapsOnce() {
        #expect(NameSuggestion.editDistance("", "abc") == 3)
        #expect(NameSuggestion.editDistance("abc", "") == 3)
        #expect(NameSuggestion.editDistance("kitten", "sitting") == 3)
        #expect(NameSuggestion.editDistance("rign", "ring") == 1)
        #expect(NameSuggestion.nearest(to: "xyz", among: ["ring", "a"]) == nil)
    }
}
