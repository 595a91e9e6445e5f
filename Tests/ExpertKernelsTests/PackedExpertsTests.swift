// Packing: what it refuses, in which words, and that threads do not change its result.

import PerseusMoE
import PerseusPrimitives
import Testing

@testable import PerseusExpertKernels

struct PackedExpertsTests {
    static let dimensions = ExpertDimensions(hidden: 24, intermediate: 16)

    @Test func portableIsAlwaysAvailable() {
        #expect(ExpertKernelVariant.available.last == .portable)
        #expect(ExpertKernelVariant.available.first == .best)
    }

    @Test func refusesSizesThatAreNotMultiplesOf8() {
        let source = RandomExperts(
            dimensions: ExpertDimensions(hidden: 24, intermediate: 12), seed: 1)
        let expected = PerseusError(
            .badInput, "intermediate size 12 of the experts is not a multiple of 8 in 8...1048576")
        #expect(throws: expected) { try PackedExperts(source: source, activation: .silu) }
    }

    @Test func refusesWithOneLineWhenMemoryIsShort() throws {
        let source = RandomExperts(
            expertCount: 1 << 20, dimensions: ExpertDimensions(hidden: 1024, intermediate: 1024),
            seed: 1)
        let error = #expect(throws: PerseusError.self) {
            try PackedExperts(
                source: source, activation: .silu, variant: .portable, threads: 1,
                availableByteCount: 12 << 30)
        }
        #expect(error?.kind == .environment)
        #expect(error?.message.hasSuffix(" GiB for expert weights, 12.0 GiB available") == true)
    }

    @Test func refusesWhenTheMachineLacksMemory() {
        // 6 TiB per expert row of the table below: more than any machine has, less than overflows.
        let source = RandomExperts(
            expertCount: 1 << 24, dimensions: ExpertDimensions(hidden: 1024, intermediate: 1024),
            seed: 1)
        #expect(throws: PerseusError.self) {
            try PackedExperts(source: source, activation: .silu)
        }
    }

    @Test func readsTheMemoryOfThisMachine() {
        #expect(availableMemory() > 1 << 20)
        #expect(availableMemory() < 1 << 50)
        #expect(readableByteCount(22_548_578_304) == "21.0 GiB")
        #expect(readableByteCount(3_670_016) == "3.5 MiB")
        #expect(readableByteCount(512) == "0.5 KiB")
    }

    /// Experts 3 and 5 fail on different threads; the lower one is always the one reported.
    @Test func reportsTheLowestFailingExpert() {
        struct Failing: ExpertWeightSource {
            var expertCount: Int { 8 }
            var dimensions: ExpertDimensions { PackedExpertsTests.dimensions }
            var hasBias: Bool { false }
            func load(expert: Int, into buffer: ExpertWeightBuffer) throws {
                if expert == 3 || expert == 6 { throw PerseusError(.badInput, "expert \(expert)") }
            }
        }
        for _ in 0..<20 {
            #expect(throws: PerseusError(.badInput, "expert 3")) {
                try PackedExperts(source: Failing(), activation: .silu, threads: 2)
            }
        }
    }

    @Test func threadsDoNotChangeTheResult() throws {
        let source = RandomExperts(expertCount: 5, dimensions: Self.dimensions, seed: 4)
        let input = randomRows(3, hidden: 24, seed: 4)
        let one = try PackedExperts(source: source, activation: .silu, threads: 1)
        let three = try PackedExperts(source: source, activation: .silu, threads: 3)
        for expert in 0..<5 {
            #expect(multiply(one, expert: expert, input) == multiply(three, expert: expert, input))
        }
    }
}
