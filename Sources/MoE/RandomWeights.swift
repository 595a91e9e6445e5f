// Layers with random weights: every element is a pure function of seed, expert, matrix and index.

import Glibc
import PerseusPrimitives

/// What a stream of random numbers is for; the raw value is part of every seed derived from it.
private enum RandomStream: UInt64 {
    case gate = 1, up, down, gateBias, upBias, downBias, routerWeight, routerBias, hidden
    /// Added to the streams of a shared expert.
    static let shared: UInt64 = 64
}

private func streamSeed(_ seed: UInt64, stream: UInt64, index: Int) -> UInt64 {
    SeededRandom.mix(SeededRandom.mix(seed &+ stream &* 0x9E37_79B9_7F4A_7C15) ^ UInt64(index))
}

/// Random experts of one shape, with standard deviations that keep activations near 1.
public struct RandomExperts: ExpertWeightSource {
    public let expertCount: Int
    public let dimensions: ExpertDimensions
    public let hasBias: Bool
    let seed: UInt64
    /// Added to the number of each stream, so that shared and routed experts differ.
    let streamOffset: UInt64
    /// Standard deviation of gate and up; GPT-OSS has twice the usual so that its clamp is reached.
    let inputScale: Float

    /// The routed experts of `model`.
    public init(routedOf model: MoEModel, seed: UInt64) {
        expertCount = model.expertCount
        dimensions = model.expertDimensions
        hasBias = model.hasBias
        self.seed = seed
        streamOffset = 0
        let base = 1 / Float(model.hidden).squareRoot()
        inputScale = model.activation == .silu ? base : 2 * base
    }

    /// The shared expert of `model`; nil when it has none.
    public init?(sharedOf model: MoEModel, seed: UInt64) {
        guard model.sharedIntermediate > 0 else { return nil }
        expertCount = 1
        dimensions = ExpertDimensions(
            hidden: model.hidden, intermediate: model.sharedIntermediate)
        hasBias = false
        self.seed = seed
        streamOffset = RandomStream.shared
        inputScale = 1 / Float(model.hidden).squareRoot()
    }

    public func load(expert: Int, into buffer: ExpertWeightBuffer) throws {
        precondition(expert >= 0 && expert < expertCount, "RandomExperts: no such expert")
        let outputScale = 1 / Float(dimensions.intermediate).squareRoot()
        fill(buffer.gate, .gate, expert, inputScale)
        fill(buffer.up, .up, expert, inputScale)
        fill(buffer.down, .down, expert, outputScale)
        guard hasBias else { return }
        fillBias(buffer.gateBias, .gateBias, expert)
        fillBias(buffer.upBias, .upBias, expert)
        fillBias(buffer.downBias, .downBias, expert)
    }

    private func fill(
        _ out: UnsafeMutableBufferPointer<UInt16>, _ stream: RandomStream, _ expert: Int,
        _ scale: Float
    ) {
        fillRandomBFloat16(
            out.baseAddress!, count: out.count, seed: seed(stream, expert), scale: scale)
    }

    private func fillBias(
        _ out: UnsafeMutableBufferPointer<Float>?, _ stream: RandomStream, _ expert: Int
    ) {
        guard let out else { preconditionFailure("RandomExperts: buffer without biases") }
        let biasSeed = seed(stream, expert)
        for index in out.indices {
            out[index] = float(randomBFloat16(index, seed: biasSeed, scale: 0.2))
        }
    }

    private func seed(_ stream: RandomStream, _ expert: Int) -> UInt64 {
        streamSeed(seed, stream: stream.rawValue &+ streamOffset, index: expert)
    }
}

/// Everything random that a run needs, from one seed.
public struct RandomWeights: Sendable {
    public let model: MoEModel
    public let seed: UInt64

    public init(model: MoEModel, seed: UInt64) {
        self.model = model
        self.seed = seed
    }

    /// The layer's weights; experts are generated when they are loaded.
    public func makeLayerWeights() -> LayerWeights {
        LayerWeights(
            model: model, router: makeRouterParameters(),
            experts: RandomExperts(routedOf: model, seed: seed),
            shared: RandomExperts(sharedOf: model, seed: seed))
    }

    /// Gate weight with standard deviation `2/√hidden`, so that logits spread over several units.
    public func makeRouterParameters() -> RouterParameters {
        let count = model.expertCount * model.hidden
        let scale = 2 / Float(model.hidden).squareRoot()
        let weightSeed = streamSeed(seed, stream: RandomStream.routerWeight.rawValue, index: 0)
        let gateWeight = BFloat16Buffer(count: count) {
            fillRandomBFloat16($0, count: count, seed: weightSeed, scale: scale)
        }
        return RouterParameters(gateWeight: gateWeight, bias: makeRouterBias())
    }

    /// Logits carry a bias of 0.3, sigmoid scores a correction of 0.1.
    private func makeRouterBias() -> [Float]? {
        guard model.hasRouterBias else { return nil }
        let scale: Float = model.router == .topKSoftmax ? 0.3 : 0.1
        let biasSeed = streamSeed(seed, stream: RandomStream.routerBias.rawValue, index: 0)
        return (0..<model.expertCount).map {
            float(randomBFloat16($0, seed: biasSeed, scale: scale))
        }
    }

    /// Writes the hidden states `[tokens.count, hidden]` of the tokens with the given *global*
    /// indices.
    ///
    /// Token `t` is the same whichever rank holds it, so outputs can be compared across rank
    /// counts.
    public func fillHidden(_ out: UnsafeMutablePointer<UInt16>, tokens: Range<Int>) {
        for (row, token) in tokens.enumerated() {
            fillRandomBFloat16(
                out + row * model.hidden, count: model.hidden,
                seed: streamSeed(seed, stream: RandomStream.hidden.rawValue, index: token),
                scale: 1)
        }
    }
}
