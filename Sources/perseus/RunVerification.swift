// Is the output right? A float64 reference on a sample of tokens, named so that a reader can ask for others.

import PerseusMoE
import PerseusPrimitives
import PerseusRunners

/// The tokens that are compared, and what a run made of them: kept when its heaps are gone.
struct RunSample {
    /// Spread evenly over the layer.
    let tokens: [Int]
    private let hidden: Int
    private let topK: Int

    init(_ setup: LayerSetup, count: Int) {
        let total = setup.tokenCount
        let size = min(count, total)
        tokens = (0..<size).map { $0 * total / size }
        hidden = setup.weights.model.hidden
        topK = setup.weights.model.topK
    }

    /// Outputs [tokens, hidden] and experts [tokens, topK].
    struct Taken {
        var output: [Float] = []
        var ids: [Int32] = []
    }

    func take(from run: any LayerRun) -> Taken {
        var taken = Taken()
        let (output, ids) = (run.output, run.routing.ids)
        for token in tokens {
            taken.output += output[token * hidden..<(token + 1) * hidden]
            taken.ids += ids[token * topK..<(token + 1) * topK]
        }
        return taken
    }
}

/// The reference outputs of a sample of tokens.
struct RunVerification {
    /// Relative error that bf16 rounding explains.
    static let tolerance = 1e-2

    let sample: [Int]
    private let reference: ReferenceResult
    private let hidden: Int
    private let topK: Int

    init(_ setup: LayerSetup, _ sample: RunSample, threads: Int) throws {
        self.sample = sample.tokens
        hidden = setup.weights.model.hidden
        topK = setup.weights.model.topK
        guard let states = setup.hidden else {
            preconditionFailure("RunVerification: no hidden states")
        }
        reference = try ReferenceLayer(weights: setup.weights).run(
            hidden: states.elements, tokens: sample.tokens, routing: setup.routing,
            threads: threads)
    }

    /// The largest ‖output − reference‖ / ‖reference‖ of any sampled token; infinite when a token's NaNs or its
    /// experts differ.
    func maxRelativeError(of taken: RunSample.Taken) -> Double {
        var worst = 0.0
        for index in sample.indices {
            var difference = 0.0
            var norm = 0.0
            for h in 0..<hidden {
                let expected = reference.output[index * hidden + h]
                let got = Double(taken.output[index * hidden + h])
                if expected.isNaN != got.isNaN { return .infinity }
                if expected.isNaN { continue }
                difference += (got - expected) * (got - expected)
                norm += expected * expected
            }
            for slot in 0..<topK
            where taken.ids[index * topK + slot] != reference.ids[index * topK + slot] && norm > 0 {
                return .infinity
            }
            if norm > 0 { worst = max(worst, (difference / norm).squareRoot()) }
        }
        return worst
    }

    /// For a person: which tokens were compared.
    var description: String {
        guard let first = sample.first, let last = sample.last else { return "no tokens" }
        if sample.count <= 4 { return "tokens " + sample.map(String.init).joined(separator: ", ") }
        return "\(sample.count) tokens (\(first), \(sample[1]), \(sample[2]), … \(last))"
    }
}
