// What `perseus run --output` holds: the published layers' outputs, however the layer is spread.

import Foundation
import Testing

@Suite struct RunOutputTests {
    @Test(arguments: PublishedFixture.all)
    func theOutputIsThePublishersOutput(_ fixture: PublishedFixture) throws {
        let place = try Workplace()
        let ended = try place.perseus(
            fixture.run("--ranks", "4", "--scheme", "perseus-plus", "--output", "out"))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(ended.errors.isEmpty)
        #expect(place.names == ["out"])
        let written = try TensorFile(place.data("out")).tensors
        let published = try fixture.tensors().tensors
        #expect(written.keys.sorted() == ["output", "topk_ids", "topk_weights"])
        let output = try #require(written["output"])
        let (ids, weights) = (
            try #require(written["topk_ids"]), try #require(written["topk_weights"])
        )
        #expect(output.type == "F32" && output.shape == [fixture.tokens, fixture.hidden])
        #expect(ids.type == "I32" && ids.shape == [fixture.tokens, fixture.topK])
        #expect(weights.type == "F32" && weights.shape == [fixture.tokens, fixture.topK])
        let expected = try #require(published["expected_output"])
        #expect(relativeError(output.values(Float.self), expected.values(Float.self)) < 1e-2)
        #expect(
            ids.values(Int32.self) == published["expected_topk_ids"]?.values(Int32.self))
        let expectedWeights = try #require(published["expected_topk_weights"])
        #expect(
            relativeError(weights.values(Float.self), expectedWeights.values(Float.self)) < 1e-3)
    }

    /// Ranks, nodes, rounds, uneven tokens, proxies, schemes, fabrics and clocks: not one bit differs.
    @Test func theOutputDoesNotDependOnHowTheLayerIsSpread() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.qwen3
        let variants: [[String]] = [
            ["--ranks", "1"],
            ["--ranks", "4", "--ranks-per-node", "2"],
            ["--ranks", "4", "--ranks-per-node", "3", "--scheme", "collective"],
            ["--ranks", "4", "--heap-limit", "64K"],
            ["--ranks", "4", "--heap-limit", "64K", "--scheme", "collective"],
            ["--ranks", "4", "--tokens", "0,50,46,0"],
            ["--ranks", "40", "--scheme", "gpu-direct"],
            ["--ranks", "3", "--proxy-threads", "2", "--scheme", "decoupled"],
            ["--ranks", "4", "--profile", "efa-srd"],
            ["--ranks", "4", "--profile", "roce-adaptive"],
            ["--ranks", "4", "--clock", "real", "--threads", "2"],
            ["--ranks", "4", "--clock", "real", "--heap-limit", "64K", "--scheme", "coupled"],
            ["--ranks", "4", "--faults", "seed=3,drop=0.1,reorder=0.5@20us,jitter=2us"],
        ]
        var first: Data?
        for variant in variants {
            let scheme = variant.contains("--scheme") ? [] : ["--scheme", "perseus-plus"]
            let ended = try place.perseus(
                fixture.run("--output", "out") + variant + scheme)
            #expect(ended.status == 0, "\(variant): \(ended.errors)")
            let bytes = try place.data("out")
            #expect(bytes == first ?? bytes, "\(variant)")
            first = first ?? bytes
        }
    }

    @Test func aCallersRoutingReplacesTheRouter() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.qwen3
        var file = try fixture.tensors()
        let hidden = try #require(file.tensors["hidden_states"])
        // Token t goes to experts t, t + 3, t + 6, ... with weights that the router never gives.
        let ids = (0..<fixture.tokens).flatMap { token in
            (0..<fixture.topK).map { Int32((token + 3 * $0) % fixture.experts) }
        }
        let weights = ids.indices.map { Float($0 % 5) * 0.25 - 0.5 }
        file = TensorFile()
        file.tensors["hidden_states"] = hidden
        file.tensors["topk_ids"] = TestTensor(
            "I64", [fixture.tokens, fixture.topK], ids.map(Int64.init))
        file.tensors["topk_weights"] = TestTensor("F32", [fixture.tokens, fixture.topK], weights)
        try place.write("in", file.data)
        let ended = try place.perseus(
            fixture.run(input: "in", "--ranks", "4", "--output", "out", "--verify-tokens", "96"))
        #expect(ended.status == 0, "\(ended.errors)")
        let written = try TensorFile(place.data("out")).tensors
        #expect(written["topk_ids"]?.values(Int32.self) == ids)
        #expect(written["topk_weights"]?.values(Float.self) == weights)
    }

    @Test func theRoutersOwnChoiceGivenBackGivesTheSameOutput() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.qwen3
        #expect(
            try place.perseus(fixture.run("--ranks", "4", "--scheme", "perseus", "--output", "a"))
                .status == 0)
        var file = try TensorFile(place.data("a"))
        file.tensors["output"] = nil
        file.tensors["hidden_states"] = try fixture.tensors().tensors["hidden_states"]
        try place.write("in", file.data)
        let ended = try place.perseus(
            fixture.run(input: "in", "--ranks", "2", "--scheme", "perseus", "--output", "b"))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try place.data("a") == place.data("b"))
    }

    @Test func noTokensGiveAnEmptyOutput() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.llama4
        var file = TensorFile()
        file.tensors["hidden_states"] = TestTensor(
            type: "BF16", shape: [0, fixture.hidden], bytes: Data())
        try place.write("in", file.data)
        let ended = try place.perseus(
            fixture.run(input: "in", "--ranks", "4", "--output", "out", "--json", "report"))
        #expect(ended.status == 0, "\(ended.errors)")
        let written = try TensorFile(place.data("out")).tensors
        #expect(written["output"]?.shape == [0, fixture.hidden])
        #expect(written["topk_ids"]?.shape == [0, fixture.topK])
    }

    @Test func aNaNStaysInItsToken() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.qwen3
        var file = try fixture.tensors()
        var hidden = try #require(file.tensors["hidden_states"]).values(UInt16.self)
        hidden[5 * fixture.hidden + 7] = 0x7FC0
        file.tensors["hidden_states"] = TestTensor(
            "BF16", [fixture.tokens, fixture.hidden], hidden)
        try place.write("in", file.data)
        // Every token is verified: the reference has NaN in the same places and no others.
        let ended = try place.perseus(
            fixture.run(
                input: "in", "--ranks", "4", "--output", "out", "--verify-tokens", "96"))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(
            ended.errorLines == [
                "perseus run: warning: NaN in hidden_states of token 5: the output of these tokens"
                    + " is NaN, the others are not touched"
            ])
        let output = try #require(try TensorFile(place.data("out")).tensors["output"])
        let expected = try #require(file.tensors["expected_output"]).values(Float.self)
        for (index, value) in output.values(Float.self).enumerated() {
            let isPoisoned = index / fixture.hidden == 5
            #expect(value.isNaN == isPoisoned, "element \(index)")
            if value.isNaN != isPoisoned { break }
        }
        let clean = { (values: [Float]) in
            values.enumerated().filter { $0.offset / fixture.hidden != 5 }.map(\.element)
        }
        #expect(relativeError(clean(output.values(Float.self)), clean(expected)) < 1e-2)
    }
}
