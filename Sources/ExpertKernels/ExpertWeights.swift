// Where expert weights come from: one expert at a time, in the published orientation.

import CExpertKernels
import PerseusPrimitives

/// Sizes of every expert of a layer.
public struct ExpertDimensions: Sendable, Equatable {
    /// Elements of a token's row, a multiple of 8.
    public var hidden: Int
    /// Elements between the two multiplications, a multiple of 8.
    public var intermediate: Int

    public init(hidden: Int, intermediate: Int) {
        self.hidden = hidden
        self.intermediate = intermediate
    }

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

/// One expert's weights, row-major, as bfloat16 bits; biases as Float, nil when the model has none.
///
/// A view: whoever called `allocate` deallocates. Contents are undefined until a source has filled
/// all of it.
public struct ExpertWeightBuffer {
    /// [intermediate, hidden]
    public let gate: UnsafeMutableBufferPointer<BFloat16Bits>
    /// [intermediate, hidden]
    public let up: UnsafeMutableBufferPointer<BFloat16Bits>
    /// [hidden, intermediate]
    public let down: UnsafeMutableBufferPointer<BFloat16Bits>
    /// [intermediate]
    public let gateBias: UnsafeMutableBufferPointer<Float>?
    /// [intermediate]
    public let upBias: UnsafeMutableBufferPointer<Float>?
    /// [hidden]
    public let downBias: UnsafeMutableBufferPointer<Float>?

    public static func allocate(_ dimensions: ExpertDimensions, hasBias: Bool) -> ExpertWeightBuffer
    {
        let count = dimensions.hidden * dimensions.intermediate
        return ExpertWeightBuffer(
            gate: .allocate(capacity: count), up: .allocate(capacity: count),
            down: .allocate(capacity: count),
            gateBias: hasBias ? .allocate(capacity: dimensions.intermediate) : nil,
            upBias: hasBias ? .allocate(capacity: dimensions.intermediate) : nil,
            downBias: hasBias ? .allocate(capacity: dimensions.hidden) : nil)
    }

    public func deallocate() {
        for weights in [gate, up, down] { weights.deallocate() }
        for bias in [gateBias, upBias, downBias] { bias?.deallocate() }
    }

    /// Bytes that `allocate` takes.
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

/// Gives out the weights of a layer's experts: a checkpoint, or seeded random numbers.
public protocol ExpertWeightSource: Sendable {
    var expertCount: Int { get }
    var dimensions: ExpertDimensions { get }
    var hasBias: Bool { get }

    /// Fills all of `buffer` with expert `expert` (0 ..< expertCount).
    ///
    /// Deterministic; called by several threads at once, each with its own buffer.
    func load(expert: Int, into buffer: ExpertWeightBuffer) throws
}
