// Seeded expert weights and the float64 reference they are checked with.

import CExpertKernels
import PerseusExpertKernels
import PerseusMoE
import PerseusPrimitives

/// Uniform weights whose outputs stay near 1; every expert and every matrix is a stream of its own.
struct RandomExperts: ExpertWeightSource {
    var expertCount = 1
    var dimensions: ExpertDimensions
    var hasBias = false
    var seed: UInt64
    /// One element of the down projection that is changed, to show that a comparison can fail.
    var corruptedDownIndex: Int?

    func load(expert: Int, into buffer: ExpertWeightBuffer) {
        let hidden = Float(dimensions.hidden).squareRoot()
        let intermediate = Float(dimensions.intermediate).squareRoot()
        fill(buffer.gate, stream: UInt64(expert) * 8, scale: 2 / hidden)
        fill(buffer.up, stream: UInt64(expert) * 8 + 1, scale: 2 / hidden)
        fill(buffer.down, stream: UInt64(expert) * 8 + 2, scale: 2 / intermediate)
        for (index, bias) in [buffer.gateBias, buffer.upBias, buffer.downBias].enumerated() {
            var random = SeededRandom(seed: seed, stream: UInt64(expert * 8 + 3 + index))
            for element in bias?.indices ?? 0..<0 {
                bias![element] = float(bfloat16(Float(random.nextUnit() - 0.5)))
            }
        }
        if let index = corruptedDownIndex { buffer.down[index] = bfloat16(1) }
    }

    private func fill(
        _ target: UnsafeMutableBufferPointer<BFloat16Bits>, stream: UInt64, scale: Float
    ) {
        var random = SeededRandom(seed: seed, stream: stream)
        for index in target.indices {
            target[index] = bfloat16((Float(random.nextUnit()) - 0.5) * scale)
        }
    }
}

/// Rows of bfloat16 in (-2, 2).
func randomRows(_ rows: Int, hidden: Int, seed: UInt64) -> [BFloat16Bits] {
    var random = SeededRandom(seed: seed, stream: 99)
    return (0..<rows * hidden).map { _ in bfloat16(Float(random.nextUnit() - 0.5) * 4) }
}

/// Multiplies contiguous rows with scratch of its own.
func multiply(
    _ experts: PackedExperts, expert: Int = 0, _ input: [BFloat16Bits]
) -> [BFloat16Bits] {
    let hidden = experts.dimensions.hidden
    let scratch = UnsafeMutableRawPointer.allocate(
        byteCount: experts.scratchByteCount, alignment: 64)
    defer { scratch.deallocate() }
    scratch.initializeMemory(as: UInt8.self, repeating: 0xFF, count: experts.scratchByteCount)
    var output = [BFloat16Bits](repeating: 0x7FC1, count: input.count)
    output.withUnsafeMutableBufferPointer { output in
        experts.multiply(
            expert: expert, input: input, inputStride: hidden, rows: input.count / hidden,
            output: output.baseAddress!, outputStride: hidden, scratch: scratch)
    }
    return output
}

/// The expert in float64, with the one rounding of the intermediate that the contract names.
struct ReferenceExpert {
    let dimensions: ExpertDimensions
    let activation: ExpertActivation
    let buffer: ExpertWeightBuffer

    /// For each output element: its value, and the sum of the magnitudes of its terms.
    func multiply(_ input: [BFloat16Bits]) -> [(value: Double, magnitude: Double)] {
        let hidden = dimensions.hidden
        return stride(from: 0, to: input.count, by: hidden).flatMap { start in
            let row = input[start..<start + hidden].map { Double(float($0)) }
            let intermediate = (0..<dimensions.intermediate).map { index in
                let gate = dot(row, buffer.gate, index).value + bias(buffer.gateBias, index)
                let up = dot(row, buffer.up, index).value + bias(buffer.upBias, index)
                return Double(float(bfloat16(Float(activated(gate, up)))))
            }
            return (0..<hidden).map { index in
                let sum = dot(intermediate, buffer.down, index)
                let bias = bias(buffer.downBias, index)
                return (sum.value + bias, sum.magnitude + abs(bias))
            }
        }
    }

    private func dot(
        _ row: [Double], _ matrix: UnsafeMutableBufferPointer<BFloat16Bits>, _ index: Int
    ) -> (value: Double, magnitude: Double) {
        var value = 0.0
        var magnitude = 0.0
        let weights = matrix.baseAddress! + index * row.count
        row.withUnsafeBufferPointer { row in
            var k = 0
            while k < row.count {
                let term = row[k] * Double(float(weights[k]))
                value += term
                magnitude += abs(term)
                k += 1
            }
        }
        return (value, magnitude)
    }

    private func bias(_ bias: UnsafeMutableBufferPointer<Float>?, _ index: Int) -> Double {
        bias.map { Double($0[index]) } ?? 0
    }

    private func activated(_ gate: Double, _ up: Double) -> Double {
        activation.referenceValue(gate: gate, up: up)
    }
}

/// Nil when `output` agrees with the reference, else what disagrees.
///
/// Per element: one rounding to bfloat16 (2^-8 relative) and intermediates that round the other way
/// (2^-8 of the terms' magnitudes, rarely more than one). Over all: relative Frobenius error below
/// 5e-3.
func disagreement(
    _ output: [BFloat16Bits], _ reference: [(value: Double, magnitude: Double)]
) -> String? {
    var errorSquares = 0.0
    var squares = 0.0
    for index in output.indices {
        let (value, magnitude) = reference[index]
        let error = Double(float(output[index])) - value
        guard abs(error) <= 0x1p-8 * abs(value) + 0x1p-9 * magnitude else {
            return "element \(index): \(float(output[index])) instead of \(value)"
        }
        errorSquares += error * error
        squares += value * value
    }
    let relative = (errorSquares / squares).squareRoot()
    return relative < 5e-3 ? nil : "relative Frobenius error \(relative)"
}
