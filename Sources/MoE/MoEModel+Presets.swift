// The four published models that the paper's experiments use.

extension MoEModel {
    /// Every preset, in the order in which help and errors list them.
    public static var presets: [MoEModel] { [.qwen3, .gptOSS, .deepSeekV3, .llama4Scout] }

    /// The preset called `name`, or nil.
    public static func preset(_ name: String) -> MoEModel? {
        presets.first { $0.name == name }
    }

    /// Qwen3-30B-A3B: many small experts; the most bound by communication.
    public static var qwen3: MoEModel {
        MoEModel(
            name: "qwen3-30b", hidden: 2048, intermediate: 768, expertCount: 128, topK: 8,
            router: .softmaxTopK(renormalizes: true))
    }

    /// GPT-OSS-120B: biases everywhere and a clamped activation.
    public static var gptOSS: MoEModel {
        MoEModel(
            name: "gpt-oss-120b", hidden: 2880, intermediate: 2880, expertCount: 128, topK: 4,
            router: .topKSoftmax, activation: .clampedSwiGLU(alpha: 1.702, limit: 7),
            hasBias: true)
    }

    /// DeepSeek-V3: 8 groups of 32 experts, 4 groups kept, one shared expert.
    public static var deepSeekV3: MoEModel {
        MoEModel(
            name: "deepseek-v3", hidden: 7168, intermediate: 2048, expertCount: 256, topK: 8,
            router: .groupedSigmoid(
                RouterKind.GroupedSigmoid(
                    groupCount: 8, keptGroupCount: 4, renormalizes: true, scalingFactor: 2.5)),
            sharedIntermediate: 2048)
    }

    /// Llama4-Scout-17B-16E: few large experts; bound by computation.
    public static var llama4Scout: MoEModel {
        MoEModel(
            name: "llama4-scout", hidden: 5120, intermediate: 8192, expertCount: 16, topK: 1,
            router: .inputSigmoid, sharedIntermediate: 8192)
    }
}
