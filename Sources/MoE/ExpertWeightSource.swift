// Where an expert's weights come from: random numbers or a checkpoint, in one orientation.

/// The shape of a gated expert: gate and up are `[intermediate, hidden]`, down is `[hidden,
/// intermediate]`.
public struct ExpertDimensions: Sendable, Equatable {
    public var hidden: Int
    public var intermediate: Int

    public init(hidden: Int, intermediate: Int) {
        self.hidden = hidden
        self.intermediate = intermediate
    }
}

/// One expert's weights in row-major [out, in] orientation, as bfloat16 bits; biases as Float or nil.
///
/// A view: the memory belongs to whoever allocated it, and a source only writes it. Contents are undefined until a
/// source has filled all of it.
public struct ExpertWeightBuffer {
    /// [intermediate, hidden]
    public let gate: UnsafeMutableBufferPointer<UInt16>
    /// [intermediate, hidden]
    public let up: UnsafeMutableBufferPointer<UInt16>
    /// [hidden, intermediate]
    public let down: UnsafeMutableBufferPointer<UInt16>
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
}

/// A set of experts of one shape that can be copied out one at a time.
///
/// Threading: `load` may be called from any number of threads with different buffers.
public protocol ExpertWeightSource: Sendable {
    var expertCount: Int { get }
    var dimensions: ExpertDimensions { get }
    var hasBias: Bool { get }

    /// Fills every element of `buffer`; the biases must be present exactly when `hasBias`.
    func load(expert: Int, into buffer: ExpertWeightBuffer) throws
}

/// What stands between an expert's two projections.
public enum ExpertActivation: Sendable, Equatable {
    /// `silu(gate) · up`.
    case silu
    /// GPT-OSS: `(clamp(up) + 1) · g · sigmoid(alpha · g)` with `g = min(gate, limit)`, up clamped
    /// to ±limit.
    case clampedSwiGLU(alpha: Float, limit: Float)
}
