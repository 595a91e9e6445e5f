// Stage 1 of 10 — route: the four publishers' ways from logits to experts and weights.
// Upstream:   Router.swift
// Downstream: DispatchPlan.swift

import Glibc

extension Router {
    /// Qwen3. Softmax is monotonic, so selecting by logit selects by probability.
    func selectSoftmax(
        _ scratch: inout RouterScratch, renormalizes: Bool, ids: UnsafeMutablePointer<Int32>,
        weights: UnsafeMutablePointer<Float>
    ) {
        let experts = model.expertCount
        selectLargest(of: scratch.logits, &scratch, ids: ids)
        let largest = scratch.logits[Int(ids[0])]
        var total = 0.0
        for expert in 0..<experts {
            scratch.logits[expert] = exp(scratch.logits[expert] - largest)
            total += scratch.logits[expert]
        }
        var selectedTotal = 0.0
        for slot in 0..<model.topK { selectedTotal += scratch.logits[Int(ids[slot])] / total }
        let divisor = renormalizes ? selectedTotal : 1
        for slot in 0..<model.topK {
            weights[slot] = Float(scratch.logits[Int(ids[slot])] / total / divisor)
        }
    }

    /// GPT-OSS: softmax over the selected logits only.
    func selectBiased(
        _ scratch: inout RouterScratch, ids: UnsafeMutablePointer<Int32>,
        weights: UnsafeMutablePointer<Float>
    ) {
        selectLargest(of: scratch.logits, &scratch, ids: ids)
        let largest = scratch.logits[Int(ids[0])]
        var total = 0.0
        for slot in 0..<model.topK { total += exp(scratch.logits[Int(ids[slot])] - largest) }
        for slot in 0..<model.topK {
            weights[slot] = Float(exp(scratch.logits[Int(ids[slot])] - largest) / total)
        }
    }

    /// DeepSeek-V3: corrected scores choose, uncorrected scores weigh.
    func selectGrouped(
        _ scratch: inout RouterScratch, groups: RouterKind.GroupedSigmoid,
        ids: UnsafeMutablePointer<Int32>, weights: UnsafeMutablePointer<Float>
    ) {
        for expert in 0..<model.expertCount {
            scratch.logits[expert] = sigmoid(scratch.logits[expert])
            scratch.choice[expert] = scratch.logits[expert]
        }
        addBias(to: scratch.choice)
        replaceNaN(in: scratch.choice, count: model.expertCount)
        maskGroups(&scratch, groups: groups)
        indicesOfLargest(
            scratch.choice, among: model.expertCount, count: model.topK, into: ids)
        var total = 0.0
        for slot in 0..<model.topK { total += scratch.logits[Int(ids[slot])] }
        // The publisher's guard against a division by zero.
        let divisor = groups.renormalizes ? total + 1e-20 : 1
        for slot in 0..<model.topK {
            weights[slot] = Float(
                scratch.logits[Int(ids[slot])] / divisor * groups.scalingFactor)
        }
    }

    /// Sets the choice score of every expert outside the best groups to 0.0.
    ///
    /// 0.0 and not -infinity, because the published module does so: an expert whose corrected score
    /// is negative then loses against a masked one.
    private func maskGroups(_ scratch: inout RouterScratch, groups: RouterKind.GroupedSigmoid) {
        let size = model.expertCount / groups.groupCount
        for group in 0..<groups.groupCount {
            var first = -Double.infinity
            var second = -Double.infinity
            for expert in group * size..<(group + 1) * size {
                let score = scratch.choice[expert]
                if score > first {
                    (first, second) = (score, first)
                } else if score > second {
                    second = score
                }
            }
            scratch.groupScores[group] = first + second
        }
        indicesOfLargest(
            scratch.groupScores, among: groups.groupCount, count: groups.keptGroupCount,
            into: scratch.keptGroups)
        for group in 0..<groups.groupCount {
            let isKept = (0..<groups.keptGroupCount).contains {
                scratch.keptGroups[$0] == Int32(group)
            }
            if isKept { continue }
            for expert in group * size..<(group + 1) * size { scratch.choice[expert] = 0 }
        }
    }

    /// Llama4: the weight is the sigmoid of the selected logit; it goes to the input, not to
    /// combine.
    func selectInput(
        _ scratch: inout RouterScratch, ids: UnsafeMutablePointer<Int32>,
        weights: UnsafeMutablePointer<Float>
    ) {
        selectLargest(of: scratch.logits, &scratch, ids: ids)
        for slot in 0..<model.topK {
            weights[slot] = Float(sigmoid(scratch.logits[Int(ids[slot])]))
        }
    }

    /// The `topK` largest of one value per expert, NaN last.
    private func selectLargest(
        of values: UnsafePointer<Double>, _ scratch: inout RouterScratch,
        ids: UnsafeMutablePointer<Int32>
    ) {
        scratch.choice.update(from: values, count: model.expertCount)
        replaceNaN(in: scratch.choice, count: model.expertCount)
        indicesOfLargest(scratch.choice, among: model.expertCount, count: model.topK, into: ids)
    }
}

/// Writes the indices of the `count` largest values in descending order, ties to the lowest index.
///
/// - Precondition: no value is NaN, `count` is at most `total`.
/// - Complexity: one pass; an insertion moves at most `count` indices.
func indicesOfLargest(
    _ values: UnsafePointer<Double>, among total: Int, count: Int,
    into indices: UnsafeMutablePointer<Int32>
) {
    var filled = 0
    for candidate in 0..<total {
        let value = values[candidate]
        if filled == count {
            if !(value > values[Int(indices[count - 1])]) { continue }
        } else {
            filled += 1
        }
        var position = filled - 1
        while position > 0, value > values[Int(indices[position - 1])] {
            indices[position] = indices[position - 1]
            position -= 1
        }
        indices[position] = Int32(truncatingIfNeeded: candidate)
    }
}

private func replaceNaN(in values: UnsafeMutablePointer<Double>, count: Int) {
    for index in 0..<count where values[index].isNaN { values[index] = -.infinity }
}

private func sigmoid(_ value: Double) -> Double { 1 / (1 + exp(-value)) }
