// The weights of one expert on their way from a source to the packed layout.

import CExpertKernels
import PerseusMoE
import PerseusPrimitives

extension ExpertDimensions {
    /// - Throws: `.badInput` naming the dimension that is not a positive multiple of 8.
    func validate() throws {
        for (name, value) in [("hidden", hidden), ("intermediate", intermediate)]
        where value <= 0 || value % 8 != 0 || value > 1 << 20 {
            throw PerseusError(
                .badInput,
                "\(name) size \(value) of the experts is not a multiple of 8 in 8...1048576")
        }
    }
}

extension ExpertWeightBuffer {
    /// Bytes of a buffer for one expert.
    static func byteCount(_ dimensions: ExpertDimensions, hasBias: Bool) -> Int {
        let bias = hasBias ? 2 * dimensions.intermediate + dimensions.hidden : 0
        return 6 * dimensions.hidden * dimensions.intermediate + 4 * bias
    }

    /// The same view for C.
    public var published: perseus_expert_weights {
        func address(_ bias: UnsafeMutableBufferPointer<Float>?) -> UnsafePointer<Float>? {
            UnsafePointer(bias?.baseAddress)
        }
        return perseus_expert_weights(
            gate: UnsafePointer(gate.baseAddress), up: UnsafePointer(up.baseAddress),
            down: UnsafePointer(down.baseAddress), gate_bias: address(gateBias),
            up_bias: address(upBias), down_bias: address(downBias))
    }
}
