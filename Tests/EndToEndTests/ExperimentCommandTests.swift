// `bench put-signal`, `simulate explain` and `simulate paper` as a person starts them.

import Foundation
import Testing

extension Workplace {
    /// A report that a command has written.
    fileprivate func report(_ name: String) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: data(name)) as? [String: Any])
    }
}

@Suite struct PutSignalCommandTests {
    @Test func textAndReportHaveEveryScheme() throws {
        let place = try Workplace()
        let ended = try place.perseus([
            "bench", "put-signal", "--concurrency", "8", "--nodes", "2", "--ranks-per-node", "2",
            "--json", "r",
        ])
        #expect(ended.status == 0 && ended.errors.isEmpty, "\(ended.errors)")
        let lines = ended.text.split(separator: "\n").map(String.init)
        #expect(
            lines.first
                == "8 x 4,096 bytes, 2 nodes of 2, one sender, perlmutter-slingshot11")
        let columns = lines[1].split(separator: " ").joined(separator: " ")
        #expect(columns == "scheme ordering signals fences drains modelled of put-only")
        let schemes = [
            "put-only", "coupled", "decoupled", "nic-ordered", "perseus", "gpu-direct",
            "perseus-plus",
        ]
        for scheme in schemes {
            #expect(lines.contains { $0.hasPrefix(scheme + " ") }, "\(scheme)")
        }
        #expect(ended.text.contains("modelled: virtual clock"))
        #expect(!ended.text.contains("measured:"))

        let report = try place.report("r")
        #expect(report["command"] as? String == "bench put-signal")
        let results = try #require(report["results"] as? [[String: Any]])
        #expect(results.compactMap { $0["scheme"] as? String } == schemes)
        let coupled = results[1]
        #expect(coupled["ordering"] as? String == "drain-all")
        #expect(coupled["clock"] as? String == "virtual")
        #expect(coupled["profile"] as? String == "perlmutter-slingshot11")
        #expect(coupled["senders"] as? String == "one")
        for (field, value) in [
            ("nodes", 2), ("ranksPerNode", 2), ("concurrency", 8), ("bytes", 4096),
            ("repetitions", 1), ("puts", 8), ("signals", 8), ("fences", 8), ("drains", 8),
        ] { #expect(coupled[field] as? Int == value, "\(field)") }
        let times = try [results[0], coupled].map {
            try #require($0["nanoseconds"] as? Double)
        }
        #expect(coupled["fenceNanoseconds"] as? Double == times[1] - times[0])
        #expect(coupled["throughputShare"] as? Double == times[0] / times[1])
        #expect(results[0]["throughputShare"] as? Double == 1)
        #expect(results[0]["ordering"] as? String == "none")
    }

    @Test func bothClocksAreCompared() throws {
        let place = try Workplace()
        let ended = try place.perseus([
            "bench", "put-signal", "--concurrency", "4", "--nodes", "2", "--ranks-per-node", "1",
            "--scheme", "coupled,perseus", "--clock", "both", "--quick", "--json", "r",
        ])
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(ended.text.contains("measured/modelled"))
        #expect(ended.text.contains("measured: median of 1 interleaved runs on this machine"))
        let results = try #require(place.report("r")["results"] as? [[String: Any]])
        #expect(
            results.compactMap { $0["clock"] as? String }
                == Array(repeating: "virtual", count: 3) + Array(repeating: "real", count: 3))
        for result in results { #expect(result["nanoseconds"] as? Double ?? 0 > 0) }
    }

    @Test func aSchemeNamedAloneIsRefusedWithTheReason() throws {
        let place = try Workplace()
        let alone = try place.perseus([
            "bench", "put-signal", "--scheme", "perseus", "--profile", "efa-srd", "--json", "r",
        ])
        #expect(alone.status == 2 && alone.output.isEmpty && place.names.isEmpty)
        #expect(
            alone.errors
                == "perseus bench put-signal: scheme perseus on efa-srd: ordering fence-flag needs a fence"
                + " flag that covers earlier writes, which this fabric does not promise\n")
        // Among others it is left out.
        let among = try place.perseus([
            "bench", "put-signal", "--scheme", "perseus,coupled", "--profile", "efa-srd",
            "--nodes", "2", "--ranks-per-node", "1", "--concurrency", "2",
        ])
        #expect(among.status == 0, "\(among.errors)")
        #expect(among.text.contains("\ncoupled ") && !among.text.contains("\nperseus "))
    }

    @Test func sizesThatCannotBeSentAreRefused() throws {
        let place = try Workplace()
        let ended = try place.perseus(["bench", "put-signal", "--bytes", "4100"])
        #expect(ended.status == 2 && ended.output.isEmpty)
        #expect(
            ended.errors
                == "perseus bench put-signal: put-signal: 4100 bytes; a put takes a multiple of 16, up to"
                + " 16777200\n")
    }
}

@Suite struct ExplainCommandTests {
    private let small = [
        "simulate", "explain", "--nodes", "2", "--ranks-per-node", "2", "--tokens", "16",
    ]

    @Test func thePathAndTheChangesAreShown() throws {
        let place = try Workplace()
        let ended = try place.perseus(small + ["--json", "r", "--threads", "2"])
        #expect(ended.status == 0 && ended.errors.isEmpty, "\(ended.errors)")
        #expect(
            ended.text.hasPrefix(
                "qwen3-30b, 2 nodes of 2, 16 tokens per rank, perlmutter-slingshot11, coupled"
                    + " (drain-all)\n"))
        for text in [
            "MODELLED", "the critical path:", "what you could choose",
            "what single costs are worth",
        ] { #expect(ended.text.contains(text), "\(text)") }
        let lines = ended.text.split(separator: "\n")
        for part in ["compute", "drain", "--scheme perseus", "twice the bandwidth"] {
            #expect(lines.contains { $0.hasPrefix(part + " ") }, "\(part)")
        }

        let report = try place.report("r")
        #expect(report["command"] as? String == "simulate explain")
        let context = try #require(report["context"] as? [String: Any])
        #expect(context["scheme"] as? String == "coupled" && context["tokens"] as? Int == 16)
        let layer = try #require(context["layerNanoseconds"] as? Int)
        let results = try #require(report["results"] as? [[String: Any]])
        let parts = results.filter { $0["part"] != nil }
        #expect(parts.reduce(0) { $0 + ($1["nanoseconds"] as? Int ?? 0) } == layer)
        #expect(abs(parts.reduce(0) { $0 + ($1["share"] as? Double ?? 0) } - 1) < 1e-9)
        let changes = results.compactMap { $0["whatIf"] as? [String: Any] }
        #expect(parts.count + changes.count == results.count && changes.count > 15)
        for change in changes {
            let time = try #require(change["layerNanoseconds"] as? Int)
            #expect(change["savedNanoseconds"] as? Int == layer - time)
        }
        // Every run of the same point says the same.
        let again = try place.perseus(small + ["--json", "s", "--threads", "1"])
        #expect(again.output == ended.output)
        #expect(try place.data("r") == place.data("s"))
    }

    @Test func refusalsAreListedOrEndTheCommand() throws {
        let place = try Workplace()
        let listed = try place.perseus(small + ["--profile", "efa-srd"])
        #expect(listed.status == 0)
        #expect(listed.text.contains("not possible here\n  --scheme "))
        let refused = try place.perseus(small + ["--profile", "efa-srd", "--scheme", "perseus"])
        #expect(refused.status == 2 && refused.output.isEmpty)
        #expect(
            refused.errors.hasPrefix(
                "perseus simulate explain: scheme perseus on efa-srd: ordering fence-flag needs "))
        // An option that these commands do not have is not offered.
        #expect(!listed.text.contains("--unproven") && !refused.errors.contains("--unproven"))
    }
}

@Suite struct PaperCommandTests {
    /// The comparison itself takes a minute, which is too long here.
    @Test(arguments: ["paper", "calibrate"])
    func helpSaysWhatItDoes(_ command: String) throws {
        let ended = try Workplace().perseus(["simulate", command, "--help"])
        #expect(ended.status == 0 && ended.errors.isEmpty)
        #expect(ended.text.hasPrefix("perseus simulate \(command)"))
        for option in ["--threads", "--json"] { #expect(ended.text.contains(option)) }
        let refused = try Workplace().perseus(["simulate", command, "--profile", "ideal"])
        #expect(refused.status == 2 && refused.output.isEmpty)
        #expect(refused.errors.hasPrefix("perseus simulate \(command): unknown option --profile"))
    }
}
