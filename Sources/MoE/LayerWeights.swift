// Weights of one layer: owned buffers, the router's parameters, the bundle a run takes.

import PerseusPrimitives

/// An owned, fixed array of bfloat16 in row-major order.
///
/// Threading: `elements` is written only by the closure given at creation; afterwards any thread
/// may read.
public final class BFloat16Buffer: @unchecked Sendable {
    public let elements: UnsafePointer<UInt16>
    public let count: Int

    /// Allocates `count` elements, zeroed, and lets `fill` write them.
    public init(count: Int, fill: (UnsafeMutablePointer<UInt16>) throws -> Void) rethrows {
        precondition(count >= 0, "BFloat16Buffer: count is negative")
        let memory = UnsafeMutablePointer<UInt16>.allocate(capacity: max(1, count))
        memory.initialize(repeating: 0, count: max(1, count))
        elements = UnsafePointer(memory)
        self.count = count
        try fill(memory)
    }

    deinit { UnsafeMutablePointer(mutating: elements).deallocate() }
}

/// A router's parameters: gate weight `[experts, hidden]` bf16 and, for some models, one bias per
/// expert.
public struct RouterParameters: Sendable {
    public let gateWeight: BFloat16Buffer
    /// GPT-OSS: added to the logits. DeepSeek-V3: added to the scores for selection only. Otherwise
    /// nil.
    public let bias: [Float]?

    public init(gateWeight: BFloat16Buffer, bias: [Float]?) {
        self.gateWeight = gateWeight
        self.bias = bias
    }
}

/// Everything that a layer multiplies by.
public struct LayerWeights: Sendable {
    public let model: MoEModel
    public let router: RouterParameters
    public let experts: any ExpertWeightSource
    /// The shared expert as a source of one expert; nil when the model has none.
    public let shared: (any ExpertWeightSource)?

    public init(
        model: MoEModel, router: RouterParameters, experts: any ExpertWeightSource,
        shared: (any ExpertWeightSource)?
    ) {
        self.model = model
        self.router = router
        self.experts = experts
        self.shared = shared
    }
}

/// Memory for one expert's weights, reused from expert to expert.
///
/// Threading: one owner at a time.
public struct ExpertWeightStorage: ~Copyable {
    public let buffer: ExpertWeightBuffer

    /// Allocates for `dimensions`; the content is undefined until a source loads an expert.
    public init(dimensions: ExpertDimensions, hasBias: Bool) {
        buffer = .allocate(dimensions, hasBias: hasBias)
    }

    deinit { buffer.deallocate() }
}
