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

/// One expert's weights in row-major [out, in] orientation: gate [I,H], up [I,H], down [H,I] bf16;
/// biases fp32 or nil.
///
/// The memory belongs to whoever made the buffer; a source only writes it.
public struct ExpertWeightBuffer {
    public let gate: UnsafeMutablePointer<UInt16>
    public let up: UnsafeMutablePointer<UInt16>
    public let down: UnsafeMutablePointer<UInt16>
    public let gateBias: UnsafeMutablePointer<Float>?
    public let upBias: UnsafeMutablePointer<Float>?
    public let downBias: UnsafeMutablePointer<Float>?

    public init(
        gate: UnsafeMutablePointer<UInt16>, up: UnsafeMutablePointer<UInt16>,
        down: UnsafeMutablePointer<UInt16>, gateBias: UnsafeMutablePointer<Float>? = nil,
        upBias: UnsafeMutablePointer<Float>? = nil, downBias: UnsafeMutablePointer<Float>? = nil
    ) {
        self.gate = gate
        self.up = up
        self.down = down
        self.gateBias = gateBias
        self.upBias = upBias
        self.downBias = downBias
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
