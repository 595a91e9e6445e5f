// Seeded weights and rows of the expert benchmark, as bfloat16 and as Float for the baseline.

import CExpertKernels
import PerseusExpertKernels
import PerseusMoE
import PerseusPrimitives

/// Random weights of standard deviation 1/√(terms), so that outputs stay near 1.
struct RandomExpertSource: ExpertWeightSource {
    let expertCount: Int
    let dimensions: ExpertDimensions
    var hasBias: Bool { false }

    func load(expert: Int, into buffer: ExpertWeightBuffer) {
        let widths = [dimensions.hidden, dimensions.hidden, dimensions.intermediate]
        for (index, matrix) in [buffer.gate, buffer.up, buffer.down].enumerated() {
            let scale = 1 / Float(widths[index]).squareRoot()
            perseus_fill_random_bf16(
                matrix.baseAddress, UInt64(matrix.count), UInt64(expert * 3 + index + 1), 0, scale)
        }
    }
}

/// Everything the timed bodies touch, allocated once; used by one thread.
final class ExpertGEMMOperands {
    let options: ExpertGEMMOptions
    let source: RandomExpertSource
    private let input: UnsafeMutableBufferPointer<BFloat16Bits>
    private let output: UnsafeMutableBufferPointer<BFloat16Bits>
    /// The same rows and the matrices of each expert as Float: the sizes OpenBLAS multiplies.
    private let wideInput: UnsafeMutableBufferPointer<Float>
    private let wideWeights: UnsafeMutableBufferPointer<Float>
    private let wideOutput: UnsafeMutableBufferPointer<Float>
    private var nextExpert = 0

    init(_ options: ExpertGEMMOptions) {
        let dimensions = options.dimensions
        let elements = options.rows * dimensions.hidden
        self.options = options
        source = RandomExpertSource(expertCount: options.expertCount, dimensions: dimensions)
        input = .allocate(capacity: elements)
        output = .allocate(capacity: elements)
        wideInput = .allocate(
            capacity: options.rows * max(dimensions.hidden, dimensions.intermediate))
        wideWeights = .allocate(
            capacity: options.expertCount * 3 * dimensions.hidden * dimensions.intermediate)
        wideOutput = .allocate(
            capacity: options.rows * max(dimensions.hidden, 2 * dimensions.intermediate))
        perseus_fill_random_bf16(input.baseAddress, UInt64(elements), 7, 0, 1)
        output.initialize(repeating: 0)
        fillWide(wideInput)
        fillWide(wideWeights)
        wideOutput.initialize(repeating: 0)
    }

    deinit {
        input.deallocate()
        output.deallocate()
        for wide in [wideInput, wideWeights, wideOutput] { wide.deallocate() }
    }

    /// Multiply-adds of the three matrices, two operations each.
    var floatingPointOperationCount: Double {
        6 * Double(options.rows * options.dimensions.hidden * options.dimensions.intermediate)
    }

    var shapeText: String {
        "\(options.rows)x\(options.dimensions.hidden)x\(options.dimensions.intermediate)"
    }

    /// FNV-1a over the output of the last multiplication.
    var checksum: UInt64 {
        output.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    func parameters(
        _ variant: ExpertKernelVariant, weights: String, peak: Double
    ) -> [String: BenchmarkParameter] {
        [
            "variant": .text(variant.rawValue), "rows": .integer(options.rows),
            "hidden": .integer(options.dimensions.hidden),
            "intermediate": .integer(options.dimensions.intermediate),
            "experts": .integer(weights == "cache" ? 1 : options.expertCount),
            "weights": .text(weights), "threads": .integer(1), "peak": .real(peak),
        ]
    }

    func multiply(_ experts: PackedExperts, expert: Int, _ scratch: UnsafeMutableRawPointer) {
        experts.multiply(
            expert: expert, input: input.baseAddress!, inputStride: options.dimensions.hidden,
            rows: options.rows, output: output.baseAddress!,
            outputStride: options.dimensions.hidden, scratch: scratch)
    }

    /// The two matrix products without activation, over the same number of experts in turn.
    func multiply(_ library: OpenBLAS) {
        let (hidden, intermediate) = (options.dimensions.hidden, options.dimensions.intermediate)
        let weights = wideWeights.baseAddress! + nextExpert * 3 * hidden * intermediate
        nextExpert = (nextExpert + 1) % options.expertCount
        library.multiplyTransposed(
            wideInput.baseAddress!, weights, into: wideOutput.baseAddress!, m: options.rows,
            n: 2 * intermediate, k: hidden)
        library.multiplyTransposed(
            wideInput.baseAddress!, weights + 2 * hidden * intermediate,
            into: wideOutput.baseAddress!, m: options.rows, n: hidden, k: intermediate)
    }

    private func fillWide(_ target: UnsafeMutableBufferPointer<Float>) {
        var random = SeededRandom(seed: 3)
        for index in target.indices {
            // 24 bits of each draw: no conversion of 53 bits for tens of millions of elements.
            target[index] = Float(random.next() >> 40) * 0x1p-23 - 1
        }
    }
}
