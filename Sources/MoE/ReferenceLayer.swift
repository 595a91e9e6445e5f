// The layer in float64, written for reading: what every fast path is compared with.

import Dispatch
import PerseusPrimitives

/// Outputs of chosen tokens, in the order in which they were asked for.
public struct ReferenceResult: Sendable {
    /// Indices of the tokens within the input.
    public let tokens: [Int]
    /// `[tokens, topK]`
    public let ids: [Int32]
    /// `[tokens, topK]`
    public let weights: [Double]
    /// `[tokens, hidden]`
    public let output: [Double]
}

/// A MoE layer evaluated in float64 from bf16 inputs and weights, without rounding anywhere.
///
/// Shares no arithmetic with the fast path: its dot products, activations, softmax and top-k are
/// its own. Each expert that the chosen tokens need is loaded once, so a sample of tokens of a
/// full-size layer is affordable.
public struct ReferenceLayer: Sendable {
    let weights: LayerWeights

    public init(weights: LayerWeights) {
        self.weights = weights
    }

    /// Evaluates the layer for rows of `hidden` `[*, hidden]` bf16.
    ///
    /// - Parameters:
    ///   - tokens: the rows to evaluate; any order, any subset.
    ///   - routing: ids and weights for *all* rows of `hidden`, or nil to use the layer's router.
    ///   - threads: experts evaluated at the same time; each needs memory for one expert. The
    ///     result does not depend on it.
    /// - Errors: whatever the weight source throws.
    public func run(
        hidden: UnsafePointer<UInt16>, tokens: [Int], routing: RoutingTable? = nil,
        threads: Int = 2
    ) throws -> ReferenceResult {
        let model = weights.model
        let (ids, scores) = route(hidden: hidden, tokens: tokens, routing: routing)
        let inputs = tokens.map { token in
            (0..<model.hidden).map { Double(float(hidden[token * model.hidden + $0])) }
        }
        let jobs = makeJobs(ids: ids, scores: scores, tokenCount: tokens.count)
        let partial = try evaluate(jobs, inputs: inputs, threads: threads)
        let output = combine(partial, scores: scores, tokenCount: tokens.count)
        return ReferenceResult(tokens: tokens, ids: ids, weights: scores, output: output)
    }

    /// Only the routing of `run`: ids and weights `[tokens, topK]` of the chosen rows.
    public func route(
        hidden: UnsafePointer<UInt16>, tokens: [Int], routing: RoutingTable? = nil
    ) -> (ids: [Int32], weights: [Double]) {
        var ids: [Int32] = []
        var scores: [Double] = []
        for token in tokens {
            let choice =
                routing.map { referenceChoice(in: $0, token: token) }
                ?? referenceRoute(hidden + token * weights.model.hidden)
            ids += choice.ids
            scores += choice.weights
        }
        return (ids, scores)
    }

    /// One expert and the rows that visit it.
    struct Job {
        let expert: Int
        let isShared: Bool
        /// Index into the inputs, place in the partial outputs, factor on the input.
        var visits: [(token: Int, place: Int, inputFactor: Double)]
    }

    /// Groups the (token, slot) pairs by expert; places `tokens·topK ...` belong to the shared
    /// expert.
    private func makeJobs(ids: [Int32], scores: [Double], tokenCount: Int) -> [Job] {
        let model = weights.model
        var jobs = (0..<model.expertCount).map { Job(expert: $0, isShared: false, visits: []) }
        for place in ids.indices {
            let factor = model.scalesInput ? scores[place] : 1
            jobs[Int(ids[place])].visits.append((place / model.topK, place, factor))
        }
        if weights.shared != nil {
            let visits = (0..<tokenCount).map { ($0, ids.count + $0, 1.0) }
            jobs.append(Job(expert: 0, isShared: true, visits: visits))
        }
        return jobs.filter { !$0.visits.isEmpty }
    }

    /// Runs the jobs on up to `threads` threads and returns the experts' outputs `[places,
    /// hidden]`.
    private func evaluate(_ jobs: [Job], inputs: [[Double]], threads: Int) throws -> [Double] {
        let hidden = weights.model.hidden
        let places = jobs.reduce(0) { $0 + $1.visits.count }
        let workers = max(1, min(threads, jobs.count))
        var failures = [(any Error)?](repeating: nil, count: workers)
        var partial = [Double](repeating: 0, count: places * hidden)
        partial.withUnsafeMutableBufferPointer { partial in
            failures.withUnsafeMutableBufferPointer { failures in
                // Workers write disjoint places and one failure slot each.
                nonisolated(unsafe) let partial = partial
                nonisolated(unsafe) let failures = failures
                DispatchQueue.concurrentPerform(iterations: workers) { worker in
                    do {
                        for index in stride(from: worker, to: jobs.count, by: workers) {
                            try evaluateExpert(jobs[index], inputs: inputs, into: partial)
                        }
                    } catch {
                        failures[worker] = error
                    }
                }
            }
        }
        for failure in failures { if let failure { throw failure } }
        return partial
    }

    /// Sums each token's expert outputs in slot order, then the shared expert's.
    private func combine(_ partial: [Double], scores: [Double], tokenCount: Int) -> [Double] {
        let model = weights.model
        var output = [Double](repeating: 0, count: tokenCount * model.hidden)
        for place in scores.indices {
            let token = place / model.topK
            let factor = model.scalesInput ? 1 : scores[place]
            for h in 0..<model.hidden {
                output[token * model.hidden + h] += factor * partial[place * model.hidden + h]
            }
        }
        guard weights.shared != nil else { return output }
        let shared = scores.count * model.hidden
        for index in output.indices { output[index] += partial[shared + index] }
        return output
    }
}
