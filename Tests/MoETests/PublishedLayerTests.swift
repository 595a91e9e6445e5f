// Routers, checkpoint layouts and the reference layer against the publishers' own modules.

import PerseusCheckpoints
import PerseusMoE
import Testing

struct PublishedLayerTests {
    @Test(arguments: PublishedLayer.names)
    func routerReturnsThePublishedIDsAndWeights(name: String) throws {
        let layer = try PublishedLayer(name)
        let router = Router(model: layer.model, parameters: layer.weights.router)
        let routed = routeAll(
            router, hidden: layer.input.hidden.elements, tokens: layer.input.tokenCount)
        #expect(routed.ids == layer.expectedIDs)
        let differences = zip(routed.weights, layer.expectedWeights).map { abs($0 - $1) }
        #expect((differences.max() ?? 1) < 1e-5)
    }

    @Test(arguments: PublishedLayer.names)
    func referenceReturnsThePublishedOutput(name: String) throws {
        let layer = try PublishedLayer(name)
        let tokens = Array(stride(from: 0, to: layer.input.tokenCount, by: 3))
        let result = try ReferenceLayer(weights: layer.weights).run(
            hidden: layer.input.hidden.elements, tokens: tokens)
        #expect(relativeError(result, layer) < 1e-5)
        for (row, token) in tokens.enumerated() {
            let topK = layer.model.topK
            let ids = result.ids[row * topK..<(row + 1) * topK]
            #expect(ids == layer.expectedIDs[token * topK..<(token + 1) * topK])
        }
    }

    @Test(arguments: ["qwen3", "llama4"])
    func referenceFollowsTheCallersRouting(name: String) throws {
        let layer = try PublishedLayer(name)
        let routing = try RoutingTable(
            ids: layer.expectedIDs.map { Int64($0) }, weights: layer.expectedWeights,
            topK: layer.model.topK, expertCount: layer.model.expertCount)
        let result = try ReferenceLayer(weights: layer.weights).run(
            hidden: layer.input.hidden.elements, tokens: [7, 0, 31], routing: routing)
        #expect(relativeError(result, layer) < 1e-5)
    }

    @Test func referenceDoesNotDependOnThreadsOrSample() throws {
        let layer = try PublishedLayer("deepseek_v3")
        let reference = ReferenceLayer(weights: layer.weights)
        let hidden = layer.input.hidden.elements
        let one = try reference.run(hidden: hidden, tokens: [3, 5], threads: 1)
        let many = try reference.run(hidden: hidden, tokens: [5, 9, 3], threads: 3)
        let width = layer.model.hidden
        #expect(one.output[..<width] == many.output[(2 * width)...])
        #expect(one.output[width...] == many.output[..<width])
    }

    @Test func referenceOfNoTokensIsEmpty() throws {
        let layer = try PublishedLayer("deepseek_v3")
        let result = try ReferenceLayer(weights: layer.weights).run(
            hidden: layer.input.hidden.elements, tokens: [])
        #expect(result.output.isEmpty && result.ids.isEmpty)
    }

    /// `‖output − expected‖ / ‖expected‖` over the result's tokens.
    private func relativeError(_ result: ReferenceResult, _ layer: PublishedLayer) -> Double {
        let width = layer.model.hidden
        var error = 0.0
        var norm = 0.0
        for (row, token) in result.tokens.enumerated() {
            for h in 0..<width {
                let expected = Double(layer.expectedOutput[token * width + h])
                let difference = result.output[row * width + h] - expected
                error += difference * difference
                norm += expected * expected
            }
        }
        return (error / norm).squareRoot()
    }
}
