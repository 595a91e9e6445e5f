// Bad usage and bad input: one clear line, the exit status of its kind, and nothing written.

import Foundation
import Testing

/// Runs `words` and expects a refusal: `line` on the standard error, nothing else anywhere.
private func expectRefusal(
    _ words: [String], in place: Workplace, status: Int32 = 2, _ line: String,
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let before = place.names
    let ended = try place.perseus(words)
    #expect(ended.status == status, sourceLocation: sourceLocation)
    #expect(ended.errors == line + "\n", sourceLocation: sourceLocation)
    #expect(ended.output.isEmpty, sourceLocation: sourceLocation)
    #expect(place.names == before, sourceLocation: sourceLocation)
}

@Suite struct RunUsageTests {
    @Test(arguments: [
        (["run", "--rank", "4"], "perseus run: unknown option --rank; did you mean --ranks?"),
        (
            ["run", "--model", "qwen3-30"],
            "perseus run: --model qwen3-30: unknown model qwen3-30; did you mean qwen3-30b?"
        ),
        (
            ["run", "--scheme", "perseu"],
            "perseus run: --scheme perseu: unknown scheme perseu; did you mean perseus?"
        ),
        (
            ["run", "--ordering", "drain-al"],
            "perseus run: --ordering drain-al: unknown ordering drain-al; did you mean drain-all?"
        ),
        (
            ["run", "--profile", "h100"],
            "perseus run: --profile h100: unknown profile h100; did you mean h100-connectx7?"
                + " (or the path of a file)"
        ),
        (
            ["run", "--clock", "vrtual"],
            "perseus run: --clock vrtual: unknown clock vrtual; did you mean virtual?"
        ),
        (["run", "--ranks", "0"], "perseus run: --ranks 0: must be 1 to 16384"),
        (["runn"], "perseus: unknown command runn; did you mean run?"),
    ])
    func wrongNamesAreRefused(_ words: [String], _ line: String) throws {
        try expectRefusal(words, in: Workplace(), line)
    }

    @Test(arguments: [
        ("kill", "'kill': expected NAME=VALUE"),
        ("kill=9@1us", "'kill=9@1us': there are 4 ranks, counted from 0"),
        ("kill=1@5", "'kill=1@5': expected a time such as 20us"),
        (
            "explode=1",
            "'explode=1': unknown fault; known: seed, delay, drop, reorder, jitter, clog, kill, random"
        ),
        ("drop=2", "'drop=2': expected a probability from 0 to 1"),
        ("delay=0.5", "'delay=0.5': expected PROBABILITY@TIME"),
        ("clog=1@5us..1us", "'clog=1@5us..1us': FROM must be before TO"),
    ])
    func wrongFaultsAreRefused(_ plan: String, _ reason: String) throws {
        try expectRefusal(
            PublishedFixture.llama4.run("--ranks", "4", "--faults", plan), in: Workplace(),
            "perseus run: --faults: \(reason)")
    }

    @Test func countsThatDoNotFitAreRefused() throws {
        let fixture = PublishedFixture.llama4
        try expectRefusal(
            fixture.run("--ranks", "4", "--tokens", "1,2,3,4"), in: Workplace(),
            "perseus run: --tokens asks for 10 tokens over 4 ranks, --input has 64")
        try expectRefusal(
            fixture.run("--ranks", "4", "--tokens", "32,32"), in: Workplace(),
            "perseus run: --tokens lists 2 counts for 4 ranks; give one count, or one per rank"
        )
        try expectRefusal(
            fixture.run("--ranks", "4", "--heap-limit", "1K"), in: Workplace(),
            "perseus run: --heap-limit 1024 is too small: one token per rank needs 2048 bytes")
    }
}

@Suite struct RunOrderingTests {
    static let unproven = [
        (
            "roce-adaptive", "gpu-direct",
            "ordering in-order needs writes that become visible in posting order"
        ),
        ("efa-srd", "perseus", "ordering fence-flag needs a fence flag that covers earlier writes"),
    ]

    @Test(arguments: unproven)
    func anOrderingThatTheFabricDoesNotHonourIsRefused(
        _ profile: String, _ scheme: String, _ reason: String
    ) throws {
        try expectRefusal(
            PublishedFixture.llama4.run(
                "--ranks", "4", "--profile", profile, "--scheme", scheme, "--output", "out",
                "--json", "report"),
            in: Workplace(),
            "perseus run: scheme \(scheme) on \(profile): \(reason), which this fabric does not"
                + " promise; --unproven runs it all the same")
    }

    /// Both seeds and fabrics are fixed, so the broken order shows on every machine.
    @Test(arguments: unproven)
    func anUnprovenOrderingRunsAndIsCaught(
        _ profile: String, _ scheme: String, _: String
    ) throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run(
                "--ranks", "4", "--profile", profile, "--scheme", scheme, "--unproven", "--json",
                "report"))
        #expect(ended.status == 1)
        #expect(ended.errorLines.count == 1)
        #expect(ended.errors.hasPrefix("perseus run: scheme \(scheme): "))
        #expect(ended.errors.contains("signals were seen before their data; first: rank "))
        #expect(place.names == ["report"])
    }

    @Test func noOrderAtAllMustBeAskedForTwice() throws {
        let place = try Workplace()
        let words = PublishedFixture.llama4.run(
            "--ranks", "4", "--profile", "roce-adaptive", "--scheme", "perseus-plus", "--ordering",
            "none")
        try expectRefusal(
            words, in: place,
            "perseus run: --ordering none breaks the layer on purpose; add --unproven")
        #expect(try place.perseus(words + ["--unproven"]).status == 1)
    }
}

@Suite struct RunInputTests {
    private let fixture = PublishedFixture.llama4

    private func refusal(
        of file: Data, _ reason: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let place = try Workplace()
        try place.write("in", file)
        try expectRefusal(
            fixture.run(input: "in", "--ranks", "2", "--output", "out"), in: place,
            "perseus run: in: \(reason)", sourceLocation: sourceLocation)
    }

    private func input(_ change: (inout [String: TestTensor]) -> Void) throws -> Data {
        var file = TensorFile()
        file.tensors["hidden_states"] = try fixture.tensors().tensors["hidden_states"]
        change(&file.tensors)
        return file.data
    }

    @Test func missingFilesAreNamed() throws {
        let place = try Workplace()
        let reason = "cannot be opened: No such file or directory"
        try expectRefusal(
            fixture.run(input: "absent", "--ranks", "2"), in: place,
            "perseus run: absent: \(reason)")
        try expectRefusal(
            ["run", "--config", fixture.config, "--weights", "absent"], in: place,
            "perseus run: absent: \(reason)")
        try expectRefusal(
            ["run", "--config", "absent", "--weights", fixture.weights], in: place,
            "perseus run: absent: cannot be read: No such file or directory")
        try expectRefusal(
            ["run", "--config", "/dev/zero", "--weights", fixture.weights], in: place,
            "perseus run: /dev/zero: not a regular file")
        try expectRefusal(
            ["run", "--model-dir", "."], in: place,
            "perseus run: .: no safetensors file in this directory")
    }

    @Test func truncatedFilesAreRefused() throws {
        let whole = try Data(contentsOf: URL(fileURLWithPath: fixture.input))
        try refusal(of: Data(), "not a safetensors file: 0 bytes, truncated header")
        try refusal(of: whole.prefix(5), "not a safetensors file: 5 bytes, truncated header")
        try refusal(
            of: whole.prefix(100),
            "not a safetensors file, or truncated: header of 320 bytes in a file of 100 bytes")
        try refusal(
            of: whole.prefix(20_000),
            "tensor 'expected_output' has data_offsets [0, 24576], outside the 19672 data bytes"
                + " (truncated file?)")
    }

    @Test func truncatedWeightsAreRefused() throws {
        let place = try Workplace()
        let whole = try Data(contentsOf: URL(fileURLWithPath: fixture.weights))
        try place.write("weights", whole.prefix(400_000))
        try expectRefusal(
            ["run", "--config", fixture.config, "--weights", "weights"], in: place,
            "perseus run: weights: tensor 'model.layers.0.feed_forward.experts.gate_up_proj' has"
                + " data_offsets [245760, 737280], outside the 399280 data bytes (truncated file?)")
    }

    @Test func wrongTensorsAreRefused() throws {
        try refusal(
            of: input {
                $0["hidden_states"] = nil; $0["other"] = TestTensor("I32", [1], [Int32(1)])
            },
            "no tensor 'hidden_states'")
        try refusal(
            of: input { $0["hidden_states"]?.type = "I16" },
            "tensor 'hidden_states' has element type I16, needed is BF16 or F32 or F16")
        try refusal(
            of: input { $0["hidden_states"]?.shape = [96, 64] },
            "tensor 'hidden_states' has shape [96, 64], needed is [96, 96]")
    }

    @Test func wrongRoutingIsRefused() throws {
        func routed(_ ids: [Int32], topK: Int = 1) throws -> Data {
            try input {
                $0["topk_ids"] = TestTensor("I32", [ids.count / topK, topK], ids)
                $0["topk_weights"] = TestTensor(
                    "F32", [ids.count / topK, topK], ids.map { _ in Float(0.5) })
            }
        }
        var ids = [Int32](repeating: 3, count: fixture.tokens)
        ids[9] = 8
        try refusal(of: routed(ids), "routing: token 9, slot 0: expert 8 is outside 0 to 7")
        ids[9] = -1
        try refusal(of: routed(ids), "routing: token 9, slot 0: expert -1 is outside 0 to 7")
        try refusal(
            of: routed(ids, topK: 2), "tensor 'topk_ids' has shape [32, 2], needed is [64, 1]")
        try refusal(
            of: input { $0["topk_ids"] = TestTensor("I32", [64, 1], ids) },
            "no tensor 'topk_weights'; routing needs ids and weights")
    }

    @Test func anExpertTwiceForOneTokenIsRefused() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.qwen3
        var file = try fixture.tensors()
        var ids = try #require(file.tensors["expected_topk_ids"]).values(Int32.self)
        ids[3 * fixture.topK + 5] = ids[3 * fixture.topK + 2]
        file.tensors["topk_ids"] = TestTensor("I32", [fixture.tokens, fixture.topK], ids)
        file.tensors["topk_weights"] = file.tensors["expected_topk_weights"]
        try place.write("in", file.data)
        try expectRefusal(
            fixture.run(input: "in", "--ranks", "2"), in: place,
            "perseus run: in: routing: token 3, slot 5: expert \(ids[3 * fixture.topK + 5]) appears"
                + " twice")
    }

    @Test(arguments: ["hidden_size", "num_experts_per_tok", "model_type"])
    func aConfigurationWithoutAFieldIsRefused(_ field: String) throws {
        let place = try Workplace()
        let text = try String(contentsOfFile: fixture.config, encoding: .utf8)
        let lines = text.split(separator: "\n").filter { !$0.contains("\"\(field)\"") }
        try place.write("config.json", Data(lines.joined(separator: "\n").utf8))
        try expectRefusal(
            ["run", "--config", "config.json", "--weights", fixture.weights], in: place,
            "perseus run: config.json: field '\(field)' is missing")
    }

    @Test func weightsOfAnotherModelAreRefused() throws {
        let other = PublishedFixture.qwen3.weights
        try expectRefusal(
            ["run", "--config", fixture.config, "--weights", other], in: Workplace(),
            "perseus run: \(other): no tensor 'model.layers.0.feed_forward.router.weight': this"
                + " layer is absent or has no experts")
    }
}
