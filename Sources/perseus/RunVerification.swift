// Is the output right? A float64 reference on a sample of tokens, named so that a reader can ask for others.

import PerseusMoE
import PerseusPrimitives
import PerseusRunners

/// The reference outputs of a sample of tokens.
struct RunVerification {
    /// Relative error that bf16 rounding explains.
    static let tolerance = 1e-2

    let sample: [Int]
    private let reference: ReferenceResult
    private let hidden: Int
    private let topK: Int

    /// - Parameter count: tokens of the sample, spread evenly over the layer.
    init(_ setup: LayerSetup, count: Int, threads: Int) throws {
        let tokens = setup.tokenCount
        let size = min(count, tokens)
        sample = (0..<size).map { $0 * tokens / size }
        hidden = setup.weights.model.hidden
        topK = setup.weights.model.topK
        guard let states = setup.hidden else {
            preconditionFailure("RunVerification: no hidden states")
        }
        reference = try ReferenceLayer(weights: setup.weights).run(
            hidden: states.elements, tokens: sample, routing: setup.routing, threads: threads)
    }

    /// The largest ‖output − reference‖ / ‖reference‖ of any sampled token; infinite when a token's NaNs or its
    /// experts differ.
    func maxRelativeError(of run: any LayerRun) -> Double {
        let output = run.output
        let ids = run.routing.ids
        var worst = 0.0
        for (index, token) in sample.enumerated() {
            var difference = 0.0
            var norm = 0.0
            for h in 0..<hidden {
                let expected = reference.output[index * hidden + h]
                let got = Double(output[token * hidden + h])
                if expected.isNaN != got.isNaN { return .infinity }
                if expected.isNaN { continue }
                difference += (got - expected) * (got - expected)
                norm += expected * expected
            }
            for slot in 0..<topK
            where ids[token * topK + slot] != reference.ids[index * topK + slot] && norm > 0 {
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
