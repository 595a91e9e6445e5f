// The two published layouts of expert weights, brought into the one that the kernels pack.

import PerseusMoE

/// Experts with one tensor per projection, already `[out, in]` (Qwen3, DeepSeek-V3, shared
/// experts).
struct SeparateExperts: ExpertWeightSource {
    struct Projections: Sendable {
        let gate: Tensor
        let up: Tensor
        let down: Tensor
    }

    let dimensions: ExpertDimensions
    let projections: [Projections]
    var expertCount: Int { projections.count }
    var hasBias: Bool { false }

    func load(expert: Int, into buffer: ExpertWeightBuffer) throws {
        precondition(projections.indices.contains(expert), "SeparateExperts: no such expert")
        projections[expert].gate.copyHalves(to: buffer.gate.baseAddress!)
        projections[expert].up.copyHalves(to: buffer.up.baseAddress!)
        projections[expert].down.copyHalves(to: buffer.down.baseAddress!)
    }
}

/// Experts fused into `gate_up_proj` `[experts, hidden, 2·intermediate]` and `down_proj`
/// `[experts, intermediate, hidden]`, both `[in, out]` (GPT-OSS, Llama4).
struct FusedExperts: ExpertWeightSource {
    let dimensions: ExpertDimensions
    let expertCount: Int
    /// GPT-OSS: gate in the even columns, up in the odd ones. Llama4: the gate half, then the up
    /// half.
    let isInterleaved: Bool
    let gateUp: Tensor
    let down: Tensor
    /// `[experts, 2·intermediate]`, interleaved like the weights, and `[experts, hidden]`.
    let gateUpBias: [Float]?
    let downBias: [Float]?
    var hasBias: Bool { gateUpBias != nil }

    func load(expert: Int, into buffer: ExpertWeightBuffer) throws {
        precondition(expert >= 0 && expert < expertCount, "FusedExperts: no such expert")
        let (hidden, inner) = (dimensions.hidden, dimensions.intermediate)
        let (upStart, step) = isInterleaved ? (1, 2) : (inner, 1)
        gateUp.withBytes { bytes in
            let gateStart = expert * hidden * 2 * inner
            for (out, start) in [(buffer.gate, gateStart), (buffer.up, gateStart + upStart)] {
                TransposedColumns(
                    bytes: bytes, start: start, rowStride: 2 * inner, columnStep: step
                ).copy(into: out.baseAddress!, outputs: inner, inputs: hidden)
            }
        }
        down.withBytes { bytes in
            TransposedColumns(
                bytes: bytes, start: expert * inner * hidden, rowStride: hidden, columnStep: 1
            ).copy(into: buffer.down.baseAddress!, outputs: hidden, inputs: inner)
        }
        loadBiases(expert, buffer, upStart: upStart, step: step)
    }

    private func loadBiases(
        _ expert: Int, _ buffer: ExpertWeightBuffer, upStart: Int, step: Int
    ) {
        guard let gateUpBias, let downBias else { return }
        guard let gate = buffer.gateBias, let up = buffer.upBias, let down = buffer.downBias else {
            preconditionFailure("FusedExperts: buffer without biases")
        }
        let start = expert * 2 * dimensions.intermediate
        for index in 0..<dimensions.intermediate {
            gate[index] = gateUpBias[start + index * step]
            up[index] = gateUpBias[start + upStart + index * step]
        }
        for index in 0..<dimensions.hidden {
            down[index] = downBias[expert * dimensions.hidden + index]
        }
    }
}

/// Columns of a row-major 16-bit matrix `[in, ...]`, to be copied as rows.
private struct TransposedColumns {
    let bytes: UnsafeRawBufferPointer
    /// Element of the first row and column.
    let start: Int
    /// Elements from a row to the next, and from a column to the next.
    let rowStride: Int
    let columnStep: Int

    /// 32 rows and columns: both sides of a block stay in the first-level cache.
    private static var block: Int { 32 }

    /// `out[o, i] = source[i, o]`
    func copy(into out: UnsafeMutablePointer<UInt16>, outputs: Int, inputs: Int) {
        for firstInput in stride(from: 0, to: inputs, by: Self.block) {
            let inputRange = firstInput..<min(firstInput + Self.block, inputs)
            for firstOutput in stride(from: 0, to: outputs, by: Self.block) {
                let outputRange = firstOutput..<min(firstOutput + Self.block, outputs)
                copyBlock(into: out, outputs: outputRange, inputs: inputRange, inputCount: inputs)
            }
        }
    }

    private func copyBlock(
        into out: UnsafeMutablePointer<UInt16>, outputs: Range<Int>, inputs: Range<Int>,
        inputCount: Int
    ) {
        for output in outputs {
            let column = start + output * columnStep
            for input in inputs {
                let element = column + input * rowStride
                out[output * inputCount + input] = bytes.loadUnaligned(
                    fromByteOffset: element * 2, as: UInt16.self)
            }
        }
    }
}
