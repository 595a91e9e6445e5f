// The small published layers: their files, and what the publishers' modules computed for them.

import Foundation
import Testing

/// One layer of `Tests/Fixtures/moe-layers`.
struct PublishedFixture: CustomTestStringConvertible {
    let name: String
    let hidden: Int
    let intermediate: Int
    let experts: Int
    let topK: Int
    let tokens: Int

    static let all = [
        PublishedFixture(
            name: "qwen3", hidden: 128, intermediate: 96, experts: 32, topK: 8, tokens: 96),
        PublishedFixture(
            name: "gpt_oss", hidden: 96, intermediate: 96, experts: 16, topK: 4, tokens: 80),
        PublishedFixture(
            name: "deepseek_v3", hidden: 128, intermediate: 64, experts: 32, topK: 4, tokens: 72),
        PublishedFixture(
            name: "llama4", hidden: 96, intermediate: 160, experts: 8, topK: 1, tokens: 64),
    ]
    static let qwen3 = all[0]
    static let gptOSS = all[1]
    static let llama4 = all[3]

    var testDescription: String { name }

    var config: String { stem + ".config.json" }
    var weights: String { stem + ".weights.safetensors" }
    var input: String { stem + ".io.safetensors" }

    /// `run` on this layer; `input` replaces the fixture's own.
    func run(input: String? = nil, _ more: String...) -> [String] {
        ["run", "--config", config, "--weights", weights, "--input", input ?? self.input] + more
    }

    func tensors() throws -> TensorFile {
        try TensorFile(Data(contentsOf: URL(fileURLWithPath: input)))
    }

    private var stem: String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/moe-layers/\(name)").path
    }
}

/// ‖a − b‖ / ‖b‖
func relativeError(_ a: [Float], _ b: [Float]) -> Double {
    guard a.count == b.count else { return .infinity }
    var difference = 0.0
    var norm = 0.0
    for (x, y) in zip(a, b) {
        difference += Double(x - y) * Double(x - y)
        norm += Double(y) * Double(y)
    }
    return (difference / norm).squareRoot()
}
