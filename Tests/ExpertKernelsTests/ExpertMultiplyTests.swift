// Every variant this machine runs against float64: shapes with odd tails, activations, biases,
// extremes.

import PerseusMoE
import PerseusPrimitives
import Testing

@testable import PerseusExpertKernels

struct ExpertMultiplyTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        var rows: Int
        var hidden: Int
        var intermediate: Int
        var hasBias = false
        var activation = ExpertActivation.silu

        var testDescription: String {
            "rows \(rows), H \(hidden), I \(intermediate), bias \(hasBias), \(activation)"
        }
    }

    static let clamped = ExpertActivation.clampedSwiGLU(alpha: 1.702, limit: 0.5)

    static let shapes = [
        Shape(rows: 1, hidden: 8, intermediate: 8),
        Shape(rows: 3, hidden: 96, intermediate: 96, activation: clamped),
        Shape(rows: 14, hidden: 96, intermediate: 40, hasBias: true),
        Shape(rows: 27, hidden: 40, intermediate: 160),
        Shape(rows: 64, hidden: 24, intermediate: 72, hasBias: true, activation: clamped),
        Shape(rows: 128, hidden: 32, intermediate: 16),
        Shape(rows: 2, hidden: 2880, intermediate: 24, hasBias: true, activation: clamped),
    ]

    @Test(arguments: shapes)
    func matchesFloat64(_ shape: Shape) throws {
        let seed = UInt64(shape.rows * 1000 + shape.hidden)
        let dimensions = ExpertDimensions(hidden: shape.hidden, intermediate: shape.intermediate)
        let source = RandomExperts(dimensions: dimensions, hasBias: shape.hasBias, seed: seed)
        let input = randomRows(shape.rows, hidden: shape.hidden, seed: seed)
        let buffer = ExpertWeightBuffer.allocate(dimensions, hasBias: shape.hasBias)
        defer { buffer.deallocate() }
        source.load(expert: 0, into: buffer)
        let reference = ReferenceExpert(
            dimensions: dimensions, activation: shape.activation, buffer: buffer
        ).multiply(input)
        for variant in ExpertKernelVariant.available {
            let experts = try PackedExperts(
                source: source, activation: shape.activation, variant: variant)
            let found = disagreement(multiply(experts, input), reference)
            #expect(found == nil, "\(variant): \(found ?? ""); replay: seed \(seed)")

            var corrupted = source
            corrupted.corruptedDownIndex = shape.hidden * shape.intermediate - 1
            let wrong = try PackedExperts(
                source: corrupted, activation: shape.activation, variant: variant)
            #expect(
                disagreement(multiply(wrong, input), reference) != nil,
                "\(variant) saw no corruption")
        }
    }

    @Test func avx2AndAVX512FGiveTheSameBits() throws {
        let variants = [ExpertKernelVariant.avx2, .avx512f].filter { $0.kernel != nil }
        let source = RandomExperts(
            dimensions: ExpertDimensions(hidden: 104, intermediate: 88), hasBias: true, seed: 5)
        let input = randomRows(21, hidden: 104, seed: 5)
        let outputs = try variants.map {
            multiply(try PackedExperts(source: source, activation: .silu, variant: $0), input)
        }
        #expect(outputs.allSatisfy { $0 == outputs[0] }, "replay: seed 5")
    }

    /// Every finite bfloat16 as gate: no NaN, and the activation within one bfloat16 step of
    /// float64.
    @Test(
        arguments: ExpertKernelVariant.available,
        [ExpertActivation.silu, .clampedSwiGLU(alpha: 1.702, limit: 7)])
    func activatesEveryFiniteGate(variant: ExpertKernelVariant, activation: ExpertActivation) throws
    {
        let experts = try PackedExperts(
            source: GateProbe(), activation: activation, variant: variant)
        let gates = (0...UInt16.max).filter { float($0).isFinite }
        let batch = 128 * 8
        for start in stride(from: 0, to: gates.count, by: batch) {
            let input = Array(gates[start..<min(start + batch, gates.count)])
            for (gate, output) in zip(input, multiply(experts, input)) {
                let expected = activation.referenceValue(gate: Double(float(gate)), up: 1)
                // Sigmoids under 2e-38 count as zero.
                let tolerance = 0x1p-7 * abs(expected) + 0x1p-119
                let value = Double(float(output))
                #expect(
                    abs(value - expected) <= tolerance, "gate \(float(gate)): \(value), \(expected)"
                )
            }
        }
    }

    /// Gate sums that overflow binary32 downwards give zero, not infinity times zero.
    @Test(arguments: ExpertKernelVariant.available)
    func gateOfMinusInfinityGivesZero(variant: ExpertKernelVariant) throws {
        for activation in [ExpertActivation.silu, Self.clamped] {
            let experts = try PackedExperts(
                source: GateProbe(gateScale: 4), activation: activation, variant: variant)
            let input = [BFloat16Bits](repeating: bfloat16(-3e38), count: 8)
            #expect(multiply(experts, input).allSatisfy { float($0) == 0 }, "\(activation)")
        }
    }
}

/// Hidden and intermediate of 8, gate = gateScale · x, up = 1 by its bias, down = identity: the
/// output is the activation of each input element.
struct GateProbe: ExpertWeightSource {
    var gateScale: Float = 1
    var expertCount: Int { 1 }
    var dimensions: ExpertDimensions { ExpertDimensions(hidden: 8, intermediate: 8) }
    var hasBias: Bool { true }

    func load(expert: Int, into buffer: ExpertWeightBuffer) {
        for index in 0..<64 {
            let isDiagonal = index % 9 == 0
            buffer.gate[index] = isDiagonal ? bfloat16(gateScale) : 0
            buffer.up[index] = 0
            buffer.down[index] = isDiagonal ? bfloat16(1) : 0
        }
        for bias in [buffer.gateBias, buffer.downBias] { bias!.update(repeating: 0) }
        buffer.upBias!.update(repeating: 1)
    }
}
