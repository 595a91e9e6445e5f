// The defaults of every command, and the rules between the options of `perseus run`.

import PerseusPrimitives
import Testing

@testable import PerseusCommandLine

private func run(_ words: String...) throws -> RunOptions { try RunOptions(parsing: words) }

/// The message behind `perseus run: ` with which `words` are refused, or "accepted".
private func refusal(_ words: String...) -> String {
    do {
        _ = try RunOptions(parsing: words)
        return "accepted"
    } catch {
        #expect(error.kind == .badInput)
        return String(error.message.dropFirst("perseus run: ".count))
    }
}

@Suite struct RunOptionsTests {
    @Test func defaultsAreTheDocumentedOnes() throws {
        let options = try run()
        #expect(options.layer == .model("qwen3-30b"))
        #expect(options.rankCount == 8)
        #expect(options.ranksPerNode == 1)
        #expect(options.tokens == .everyRank(64))
        #expect(!options.tokensAreGiven)
        #expect(options.schemes == KnownNames.schemes)
        #expect(options.ordering == nil)
        #expect(options.clock == "virtual")
        #expect(options.compute == "real")
        #expect(options.verification == "reference")
        #expect(options.verifiedTokenCount == 16)
        #expect(options.seed == 1)
        #expect(options.jsonPath == nil)
    }

    @Test func bothSpellingsOfAValueAreEqual() throws {
        let spaced = try run("--ranks", "4", "--seed", "0x10", "--scheme", "perseus,coupled")
        let joined = try run("--ranks=4", "--seed=16", "--scheme=perseus,coupled")
        #expect(spaced == joined)
        #expect(spaced.schemes == ["perseus", "coupled"])
        #expect(try run("--json", "-").jsonPath == "-")
    }

    @Test func everyOptionReachesItsProperty() throws {
        let options = try run(
            "--config", "c.json", "--weights", "a.st,b.st", "--layer-index", "3", "--input", "i.st",
            "--output", "o.st", "--ranks-per-node", "4", "--tokens", "0,1,2,3,4,5,6,7",
            "--heap-limit", "64M", "--profile", "h100-connectx7", "--ordering", "none",
            "--unproven",
            "--group-size", "2", "--combine-group-size", "3", "--proxy-threads", "2",
            "--clock", "real", "--threads", "2", "--faults", "delay",
            "--deadline", "500", "--verify-tokens", "4", "--json", "j", "--trace", "t")
        #expect(options.layer == .files(config: "c.json", weights: ["a.st", "b.st"]))
        #expect(options.layerIndex == 3)
        #expect(options.inputPath == "i.st")
        #expect(options.outputPath == "o.st")
        #expect(options.ranksPerNode == 4)
        #expect(options.tokens.count(ofRank: 5) == 5)
        #expect(options.heapLimitByteCount == 64 << 20)
        #expect(options.profile == "h100-connectx7")
        #expect(options.ordering == "none")
        #expect(options.allowsUnproven)
        #expect(options.groupSize == 2)
        #expect(options.combineGroupSize == 3)
        #expect(options.proxyThreadCount == 2)
        #expect(options.clock == "real")
        #expect(options.threadCount == 2)
        #expect(options.faultPlan == "delay")
        #expect(options.deadlineMilliseconds == 500)
        #expect(options.verifiedTokenCount == 4)
        #expect(options.jsonPath == "j")
        #expect(options.tracePath == "t")
        #expect(try run("--compute", "modelled", "--zipf", "1.2").zipfExponent == 1.2)
        #expect(try run("--model-dir", "d").layer == .directory("d"))
    }

    @Test func numbersOutOfRangeAreRefused() {
        #expect(refusal("--ranks", "0") == "--ranks 0: must be 1 to 16384")
        #expect(refusal("--ranks", "16385") == "--ranks 16385: must be 1 to 16384")
        #expect(refusal("--ranks-per-node", "0") == "--ranks-per-node 0: must be 1 to 16384")
        #expect(refusal("--tokens", "-1") == "--tokens -1: must be 0 to 16777215")
        #expect(refusal("--tokens", "0") == "accepted")
        #expect(refusal("--ranks", "1", "--tokens", "0") == "accepted")
    }

    @Test func aProfileIsANameOrAPath() throws {
        #expect(try run().profile == "perlmutter-slingshot11")
        for path in ["my.profile", "folder/mine", "/dev/null", "./ideal"] {
            #expect(try run("--profile", path).profile == path)
        }
        #expect(
            refusal("--profile", "idael")
                == "--profile idael: unknown profile idael; did you mean ideal?"
                + " (or the path of a file)")
    }

    @Test func contradictionsAreRefused() {
        #expect(refusal("--config", "c") == "--config needs --weights")
        #expect(refusal("--weights", "w") == "--weights needs --config")
        #expect(
            refusal("--model", "qwen3-30b", "--model-dir", "d")
                == "--model makes random weights and --model-dir reads published ones; give one")
        #expect(
            refusal("--model-dir", "d", "--config", "c")
                == "--model-dir replaces --config and --weights; give one")
        #expect(
            refusal("--layer-index", "1")
                == "--layer-index needs a checkpoint: --config or --model-dir")
        #expect(
            refusal("--tokens", "1,2,3")
                == "--tokens lists 3 counts for 8 ranks; give one count, or one per rank")
        #expect(
            refusal("--ordering", "none")
                == "--ordering none breaks the layer on purpose; add --unproven")
        #expect(
            refusal("--threads", "2")
                == "--threads needs --clock real: the virtual clock has one thread")
        #expect(
            refusal("--zipf", "1")
                == "--zipf needs --compute modelled: real tokens are routed by the model")
        #expect(
            refusal("--verify", "none", "--verify-tokens", "3")
                == "--verify-tokens has nothing to do when nothing is verified")
    }

    @Test func modelledComputeVerifiesNothing() throws {
        #expect(try run("--compute", "modelled").verification == "none")
        #expect(
            refusal("--compute", "modelled", "--verify", "reference")
                == "--verify reference needs --compute real: modelled has no output")
        #expect(
            refusal("--compute", "modelled", "--output", "o")
                == "--output needs --compute real: modelled has no output")
    }
}

@Suite struct OtherOptionsTests {
    @Test func benchSimulateAndDoctorAreRead() throws {
        guard
            case .bench(let bench) = try Invocation.parse(
                ["bench", "gemm", "--quick", "--repetitions", "3", "--json=g"]),
            case .simulateSeeds(let seeds) = try Invocation.parse(
                [
                    "simulate", "seeds", "--count", "5", "--seed", "0xff", "--quiet",
                    "--first-failure",
                ]),
            case .simulateProfile(let profile) = try Invocation.parse(
                ["simulate", "profile", "--profile", "ideal", "--json", "p"]),
            case .simulateProfile(let list) = try Invocation.parse(["simulate", "profile"]),
            case .doctor(let doctor) = try Invocation.parse(["doctor", "--json", "-"])
        else {
            Issue.record("a command became another one")
            return
        }
        #expect(bench.benchmark == "gemm" && bench.isQuick && bench.repetitionCount == 3)
        #expect(bench.jsonPath == "g")
        #expect(seeds.seedCount == 5 && seeds.firstSeed == 255)
        #expect(seeds.isQuiet && seeds.stopsAtFirstFailure)
        #expect(profile.profile == "ideal" && profile.jsonPath == "p")
        #expect(list.profile == nil && list.jsonPath == nil)
        #expect(doctor.jsonPath == "-")
    }

    @Test func seedsEndByCountOrByTime() throws {
        func seeds(_ words: String...) throws -> SimulateOptions {
            guard
                case .simulateSeeds(let options) = try Invocation.parse(
                    ["simulate", "seeds"] + words)
            else { throw PerseusError(.badInput, "another command") }
            return options
        }
        let plain = try seeds()
        #expect(plain.seedCount == 200 && plain.limitSeconds == nil && plain.threadCount == nil)
        let timed = try seeds("--seconds", "1.5", "--threads", "3")
        #expect(timed.seedCount == nil && timed.limitSeconds == 1.5 && timed.threadCount == 3)
        let both = try seeds("--seconds", "1.5", "--count", "7")
        #expect(both.seedCount == 7 && both.limitSeconds == 1.5)
        for words in [
            ["--seconds", "0"], ["--seconds", "-1"], ["--seconds", "nan"], ["--threads", "0"],
        ] {
            #expect(throws: PerseusError.self) { try seeds(words[0], words[1]) }
        }
    }
}

@Suite struct SweepOptionsTests {
    private func sweep(_ words: String...) throws -> SweepOptions {
        guard
            case .simulateSweep(let options) = try Invocation.parse(["simulate", "sweep"] + words)
        else { throw PerseusError(.badInput, "another command") }
        return options
    }

    private func refusal(_ words: String...) -> String {
        do {
            _ = try Invocation.parse(["simulate", "sweep"] + words)
            return "accepted"
        } catch {
            return String(error.message.dropFirst("perseus simulate sweep: ".count))
        }
    }

    @Test func defaultsAreTheDocumentedOnes() throws {
        let options = try sweep()
        #expect(options.profiles == ["perlmutter-slingshot11"])
        #expect(options.models == ["qwen3-30b"])
        #expect(options.nodes == [2, 4, 8] && options.ranksPerNode == [4])
        #expect(options.tokens == [1024] && options.schemes == KnownNames.schemes)
        #expect(options.orderings == nil && options.groupSizes == nil)
        #expect(options.proxyThreads == [1] && options.zipfExponents == [0])
        #expect(options.seed == 1 && options.threadCount == nil && options.outputPath == nil)
        #expect(try sweep("--output", "-").outputPath == nil)
    }

    @Test func everyOptionReachesItsProperty() throws {
        let options = try sweep(
            "--profile", "ideal,./my.profile", "--model", "all", "--nodes", "16,1",
            "--ranks-per-node", "8,2", "--tokens", "0,5", "--scheme", "perseus,coupled",
            "--ordering", "drain-all,atomic", "--group-size", "1,2", "--proxy-threads", "4,1",
            "--zipf", "0.5,0", "--seed", "0x10", "--threads", "3", "--output", "s.jsonl")
        #expect(options.profiles == ["ideal", "./my.profile"])
        #expect(options.models == KnownNames.models)
        #expect(options.nodes == [16, 1] && options.ranksPerNode == [8, 2])
        #expect(options.tokens == [0, 5] && options.schemes == ["perseus", "coupled"])
        #expect(options.orderings == ["drain-all", "atomic"])
        #expect(options.groupSizes == [1, 2] && options.proxyThreads == [4, 1])
        #expect(options.zipfExponents == [0.5, 0])
        #expect(options.seed == 16 && options.threadCount == 3)
        #expect(options.outputPath == "s.jsonl")
    }

    @Test func aValueOfAnAxisIsRefusedByItself() {
        #expect(refusal("--nodes", "4,2,4") == "--nodes 4,2,4: 4 stands twice")
        #expect(refusal("--zipf", "1,1.0") == "--zipf 1,1.0: 1.0 stands twice")
        #expect(refusal("--nodes", "4,0") == "--nodes 4,0: must be 1 to 16384")
        #expect(refusal("--tokens", "4,") == "--tokens 4,: a number is missing")
        #expect(refusal("--zipf", "-1") == "--zipf -1: must be a number, 0 or more")
        #expect(
            refusal("--model", "qwen3") == "--model qwen3: unknown model qwen3;"
                + " did you mean qwen3-30b?")
        #expect(
            refusal("--ordering", "none") == "--ordering none: unknown ordering none; known are "
                + KnownNames.orderings.joined(separator: ", "))
        #expect(
            refusal("--profile", "ideal,elephant").hasPrefix(
                "--profile ideal,elephant: unknown profile elephant; known are perlmutter"))
    }
}
