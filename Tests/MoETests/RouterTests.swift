// Selection rules that the published fixtures do not reach: ties, NaN, masked groups, blocks.

import PerseusMoE
import PerseusPrimitives
import Testing

struct RouterTests {
    /// Four models whose gate weight picks logits straight out of the hidden state: logit `e` is
    /// `x[e]`.
    static let models = [
        small(.softmaxTopK(renormalizes: true)), small(.topKSoftmax), small(grouped),
        small(.inputSigmoid),
    ]
    static let grouped = RouterKind.groupedSigmoid(
        RouterKind.GroupedSigmoid(
            groupCount: 4, keptGroupCount: 2, renormalizes: true, scalingFactor: 2))

    static func small(_ router: RouterKind) -> MoEModel {
        MoEModel(
            name: "small", hidden: 11, intermediate: 4, expertCount: 8, topK: 3, router: router)
    }

    /// A router whose logits are the first eight elements of the hidden state.
    func passThrough(_ model: MoEModel, bias: [Float]? = nil) -> Router {
        let gate = BFloat16Buffer(count: model.expertCount * model.hidden) { out in
            for e in 0..<model.expertCount { out[e * model.hidden + e] = bfloat16(1) }
        }
        return Router(model: model, parameters: RouterParameters(gateWeight: gate, bias: bias))
    }

    func route(
        _ model: MoEModel, _ logits: [Float], bias: [Float]? = nil
    ) -> (ids: [Int32], weights: [Float]) {
        let padding = [Float](repeating: 0, count: model.hidden - logits.count)
        let hidden = (logits + padding).map { bfloat16($0) }
        return routeAll(passThrough(model, bias: bias), hidden: hidden, tokens: 1)
    }

    @Test(arguments: models)
    func tiesGoToTheLowestIndex(model: MoEModel) {
        #expect(route(model, [1, 1, 1, 1, 1, 1, 1, 1]).ids == [0, 1, 2])
    }

    @Test func tiesKeepIndexOrderBehindALargerScore() {
        #expect(route(Self.models[0], [1, 2, 1, 3, 2, 1, 2, 0]).ids == [3, 1, 4])
    }

    @Test(arguments: models)
    func notANumberStillGivesValidDistinctIDs(model: MoEModel) {
        let routed = route(model, [Float](repeating: .nan, count: 8))
        #expect(Set(routed.ids).count == model.topK)
        #expect(routed.ids.allSatisfy { (0..<8).contains($0) })
        #expect(routed.weights.allSatisfy { $0.isNaN })
    }

    @Test func aNumberIsSelectedBeforeNotANumber() {
        let model = Self.small(.topKSoftmax)
        let bias: [Float] = [.nan, -4, .nan, .nan, 2, .nan, .nan, -9]
        let routed = route(model, [0, 0, 0, 0, 0, 0, 0, 0], bias: bias)
        #expect(routed.ids == [4, 1, 7])
        #expect(routed.weights.allSatisfy { $0.isFinite })
    }

    @Test func renormalizationIsOptional() {
        let logits: [Float] = [3, 2, 1, 0, 0, 0, 0, 0]
        let kept = route(Self.models[0], logits).weights.reduce(0, +)
        let plain = route(Self.small(.softmaxTopK(renormalizes: false)), logits).weights.reduce(
            0, +)
        #expect(abs(kept - 1) < 1e-6)
        #expect(plain < 0.95)
    }

    @Test func correctionSelectsButDoesNotWeigh() {
        let bias: [Float] = [0, 0, 0, 0, 0, 0, 5, 4]
        let routed = route(Self.small(Self.grouped), [0, 0, 0, 0, 0, 0, 0, 0], bias: bias)
        #expect(routed.ids == [6, 7, 0])
        for weight in routed.weights { #expect(abs(weight - 2.0 / 3) < 1e-6) }
    }

    @Test func maskedExpertBeatsANegativeScore() {
        // Group 3 and group 0 are kept; the corrected scores of experts 0 and 1 are negative,
        // masked ones are 0.
        let bias: [Float] = [-0.6, -0.6, -2, -2, -2, -2, 5, 4]
        let routed = route(Self.small(Self.grouped), [0, 0, 0, 0, 0, 0, 0, 0], bias: bias)
        #expect(routed.ids == [6, 7, 2])
    }

    @Test(arguments: [MoEModel.qwen3, .gptOSS, .deepSeekV3, .llama4Scout])
    func routingInBlocksEqualsRoutingAtOnce(preset: MoEModel) {
        var model = preset
        model.hidden = 37
        let weights = RandomWeights(model: model, seed: 5)
        let router = Router(model: model, parameters: weights.makeRouterParameters())
        let hidden = BFloat16Buffer(count: 5 * 37) { weights.fillHidden($0, tokens: 0..<5) }
        let whole = routeAll(router, hidden: hidden.elements, tokens: 5)
        let first = routeAll(router, hidden: hidden.elements, tokens: 2)
        let second = routeAll(router, hidden: hidden.elements + 2 * 37, tokens: 3)
        #expect(whole.ids == first.ids + second.ids)
        #expect(whole.weights == first.weights + second.weights)
        let reference = ReferenceLayer(weights: weights.makeLayerWeights()).route(
            hidden: hidden.elements, tokens: Array(0..<5))
        #expect(reference.ids == whole.ids)
    }

    @Test func scaledRowIsRoundedOnce() {
        let row: [UInt16] = [1, -2, 3.25, 0].map { bfloat16($0) }
        var scaled = [UInt16](repeating: 0, count: 4)
        scaleRow(row, by: 0.3, into: &scaled, count: 4)
        #expect(scaled == [0.3, -0.6, 0.975, 0].map { bfloat16(Float($0)) })
    }
}
