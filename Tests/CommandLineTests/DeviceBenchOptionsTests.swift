// What the benchmarks on a GPU may be told, and what they refuse.

import PerseusPrimitives
import Testing

@testable import PerseusCommandLine

@Suite struct DeviceBenchOptionsTests {
    private func refusal(_ words: String...) -> String {
        do {
            _ = try Invocation.parse(["bench"] + words)
            return "accepted"
        } catch {
            #expect(error.kind == .badInput)
            return error.message
        }
    }

    @Test func gemmTakesModelsAndTokensOnADevice() throws {
        guard
            case .bench(let plain) = try Invocation.parse(["bench", "gemm", "--device", "cuda"]),
            case .bench(let given) = try Invocation.parse([
                "bench", "gemm", "--device", "cuda", "--model", "deepseek-v3,qwen3-30b",
                "--tokens", "4096,128", "--experts-limit", "16", "--repetitions", "2",
            ])
        else {
            Issue.record("bench gemm became another command")
            return
        }
        #expect(plain.repetitionCount == 3 && plain.models == nil && plain.tokenCounts == nil)
        #expect(given.models == ["deepseek-v3", "qwen3-30b"] && given.tokenCounts == [4096, 128])
        #expect(given.deepSeekExpertCount == 16 && given.repetitionCount == 2)
        #expect(
            refusal("gemm", "--tokens", "5")
                == "perseus bench gemm: --tokens needs --device cuda")
    }

    @Test func layerHasItsOwnDefaults() throws {
        guard
            case .benchLayer(let plain) = try Invocation.parse(["bench", "layer"]),
            case .benchLayer(let given) = try Invocation.parse([
                "bench", "layer", "--model", "llama4-scout", "--tokens", "256", "--ranks", "2,8",
                "--ranks-per-node", "2", "--profile", "ideal,./my.profile", "--scheme",
                "coupled,perseus", "--repetitions", "5", "--seed", "7", "--quick", "--json", "l",
            ])
        else {
            Issue.record("bench layer became another command")
            return
        }
        #expect(plain.device == "cuda" && plain.models == KnownNames.models)
        #expect(plain.tokenCounts == nil && plain.rankCounts == [8] && plain.ranksPerNode == 1)
        #expect(plain.profiles == ["perlmutter-slingshot11", "h100-connectx7"])
        #expect(plain.schemes == KnownNames.schemes && plain.repetitionCount == 2)
        #expect(!plain.modelsAreGiven && !plain.isQuick && plain.seed == 1)
        #expect(given.models == ["llama4-scout"] && given.modelsAreGiven && given.isQuick)
        #expect(given.tokenCounts == [256] && given.rankCounts == [2, 8])
        #expect(given.ranksPerNode == 2 && given.profiles == ["ideal", "./my.profile"])
        #expect(given.schemes == ["coupled", "perseus"] && given.repetitionCount == 5)
        #expect(given.seed == 7 && given.jsonPath == "l")
    }

    @Test func putSignalRefusesWhatADeviceHasNot() throws {
        guard
            case .benchPutSignal(let options) = try Invocation.parse([
                "bench", "put-signal", "--device", "cuda",
            ])
        else {
            Issue.record("bench put-signal became another command")
            return
        }
        #expect(options.device == "cuda" && options.repetitionCount == 3)
        for (words, reason) in [
            (["--clock", "both"], "--clock is for the CPU: with --device cuda time is the GPU's"),
            (["--threads", "2"], "--threads is for the CPU: with --device cuda one thread serves"),
            (["--senders", "all"], "--senders all: with --device cuda rank 0 alone sends"),
        ] {
            #expect(
                refusal("put-signal", "--device", "cuda", words[0], words[1])
                    == "perseus bench put-signal: \(reason)")
        }
    }
}
