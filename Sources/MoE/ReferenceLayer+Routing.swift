// The reference's router: the publishers' formulas one after the other, with whole arrays.

import Glibc
import PerseusPrimitives

extension ReferenceLayer {
    /// The caller's choice for one token.
    func referenceChoice(
        in routing: RoutingTable, token: Int
    ) -> (ids: [Int32], weights: [Double]) {
        let slots = token * routing.topK..<(token + 1) * routing.topK
        return (Array(routing.ids[slots]), routing.weights[slots].map { Double($0) })
    }

    /// Routes one row `[hidden]`.
    func referenceRoute(_ row: UnsafePointer<UInt16>) -> (ids: [Int32], weights: [Double]) {
        let model = weights.model
        let logits = referenceLogits(row)
        let bias = (weights.router.bias ?? []).map { Double($0) }
        switch model.router {
        case .softmaxTopK(let renormalizes):
            let probability = softmax(logits)
            let ids = topIndices(probability, model.topK)
            let chosen = ids.map { probability[$0] }
            let sum = renormalizes ? chosen.reduce(0, +) : 1
            return (ids.map { Int32($0) }, chosen.map { $0 / sum })
        case .topKSoftmax:
            let biased = bias.isEmpty ? logits : zip(logits, bias).map { $0 + $1 }
            let ids = topIndices(biased, model.topK)
            return (ids.map { Int32($0) }, softmax(ids.map { biased[$0] }))
        case .groupedSigmoid(let groups):
            return referenceRouteGrouped(logits, bias, groups)
        case .inputSigmoid:
            let ids = topIndices(logits, model.topK)
            return (ids.map { Int32($0) }, ids.map { 1 / (1 + exp(-logits[$0])) })
        }
    }

    private func referenceRouteGrouped(
        _ logits: [Double], _ bias: [Double], _ groups: RouterKind.GroupedSigmoid
    ) -> (ids: [Int32], weights: [Double]) {
        let scores = logits.map { 1 / (1 + exp(-$0)) }
        let corrected = bias.isEmpty ? scores : zip(scores, bias).map { $0 + $1 }
        let size = scores.count / groups.groupCount
        let groupScores = (0..<groups.groupCount).map { group in
            let members = Array(corrected[group * size..<(group + 1) * size])
            return topIndices(members, 2).map { members[$0] }.reduce(0, +)
        }
        let kept = Set(topIndices(groupScores, groups.keptGroupCount))
        let masked = corrected.indices.map { kept.contains($0 / size) ? corrected[$0] : 0 }
        let ids = topIndices(masked, weights.model.topK)
        let sum = groups.renormalizes ? ids.map { scores[$0] }.reduce(0, +) + 1e-20 : 1
        return (ids.map { Int32($0) }, ids.map { scores[$0] / sum * groups.scalingFactor })
    }

    private func referenceLogits(_ row: UnsafePointer<UInt16>) -> [Double] {
        let model = weights.model
        let gate = weights.router.gateWeight.elements
        return (0..<model.expertCount).map { expert in
            var sum = 0.0
            for h in 0..<model.hidden {
                sum += Double(float(row[h])) * Double(float(gate[expert * model.hidden + h]))
            }
            return sum
        }
    }
}

private func softmax(_ values: [Double]) -> [Double] {
    let largest = values.max() ?? 0
    let powers = values.map { exp($0 - largest) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
}

/// Indices of the `count` largest values, descending, ties to the lowest index.
private func topIndices(_ values: [Double], _ count: Int) -> [Int] {
    let order = values.indices.sorted {
        values[$0] != values[$1] ? values[$0] > values[$1] : $0 < $1
    }
    return Array(order.prefix(count))
}
