// What `perseus run` says: the JSON report, the trace, and the words around them.

import Foundation
import Testing

/// The results of a report, in order.
private func results(_ data: Data) throws -> [[String: Any]] {
    let document = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(document["schema"] as? Int == 1)
    #expect(document["command"] as? String == "run")
    #expect(document["context"] is [String: Any])
    return try #require(document["results"] as? [[String: Any]])
}

@Suite struct RunReportTests {
    private static let schemes = [
        "collective", "coupled", "decoupled", "nic-ordered", "perseus", "gpu-direct",
        "perseus-plus",
    ]

    @Test func everySchemeReportsEveryField() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.qwen3
        let ended = try place.perseus(fixture.run("--ranks", "4", "--json", "report"))
        #expect(ended.status == 0, "\(ended.errors)")
        let results = try results(place.data("report"))
        #expect(results.map { $0["scheme"] as? String } == Self.schemes)
        let integers = [
            "ranks", "nodes", "tokens", "commands", "puts", "signals", "fences", "drains",
            "doorbells", "completions", "bytesSent", "layerNanoseconds", "dispatchPuts",
            "combinePuts", "dispatchFences", "combineFences", "drainNanoseconds",
            "exposedCommunicationNanoseconds",
        ]
        for result in results {
            let scheme = result["scheme"] as? String ?? "?"
            for name in integers { #expect(result[name] is Int, "\(scheme): \(name)") }
            for name in ["path", "signaling", "ordering", "clock"] {
                #expect(result[name] is String, "\(scheme): \(name)")
            }
            let error = try #require(result["maxRelativeError"] as? Double, "\(scheme)")
            #expect(error > 0 && error < 1e-2, "\(scheme)")
            #expect(result["bitwiseEqual"] as? Bool == true, "\(scheme)")
            func count(_ name: String) -> Int { result[name] as? Int ?? -1 }
            #expect(count("ranks") == 4 && count("nodes") == 4)
            #expect(count("tokens") == fixture.tokens)
            #expect(count("puts") == count("dispatchPuts") + count("combinePuts"), "\(scheme)")
            #expect(
                count("fences") == count("dispatchFences") + count("combineFences"), "\(scheme)")
            #expect(count("drains") <= count("fences"), "\(scheme)")
            #expect(
                count("exposedCommunicationNanoseconds") <= count("layerNanoseconds"), "\(scheme)")
        }
    }

    /// Coupled fences once per put, decoupled once per destination and dispatch, ours not at all.
    @Test func fencesAreWhatTheSchemesStandFor() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.qwen3.run("--ranks", "4", "--json", "report"))
        #expect(ended.status == 0, "\(ended.errors)")
        var byScheme: [String: [String: Any]] = [:]
        for result in try results(place.data("report")) {
            byScheme[result["scheme"] as? String ?? ""] = result
        }
        func count(_ scheme: String, _ name: String) -> Int? { byScheme[scheme]?[name] as? Int }
        #expect(count("coupled", "fences") == count("coupled", "puts"))
        #expect(count("coupled", "drains") == count("coupled", "fences"))
        #expect(count("nic-ordered", "fences") == count("coupled", "fences"))
        #expect(count("nic-ordered", "drains") == 0)
        #expect(count("decoupled", "dispatchFences") == 4 * 3)
        #expect(count("perseus", "dispatchFences") == 4 * 3)
        #expect(count("perseus", "drains") == 0)
        #expect(count("perseus-plus", "fences") == 0)
        let coupled = try #require(count("coupled", "layerNanoseconds"))
        #expect(try #require(count("perseus-plus", "layerNanoseconds")) < coupled)
    }

    @Test func localPeersBypassTheProxy() throws {
        let place = try Workplace()
        for (perNode, nodes) in [(4, 1), (2, 2)] {
            let ended = try place.perseus(
                PublishedFixture.qwen3.run(
                    "--ranks", "4", "--ranks-per-node", String(perNode), "--scheme",
                    "coupled,perseus-plus", "--json", "report"))
            #expect(ended.status == 0, "\(ended.errors)")
            for result in try results(place.data("report")) {
                #expect(result["nodes"] as? Int == nodes)
                #expect((result["puts"] as? Int == 0) == (nodes == 1))
                #expect((result["commands"] as? Int == 0) == (nodes == 1))
            }
        }
    }

    @Test func theSameSeedGivesTheSameBytes() throws {
        let place = try Workplace()
        let words = PublishedFixture.gptOSS.run(
            "--ranks", "5", "--seed", "7", "--faults", "seed=2,drop=0.2,jitter=3us")
        for name in ["a", "b"] {
            let ended = try place.perseus(words + ["--json", name, "--trace", name + ".trace"])
            #expect(ended.status == 0, "\(ended.errors)")
        }
        #expect(try place.data("a") == place.data("b"))
        #expect(try place.data("a.trace") == place.data("b.trace"))
    }

    @Test func aReportOnTheStandardOutputStandsThereAlone() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run("--ranks", "4", "--json", "-", "--scheme", "perseus"))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try results(ended.output).count == 1)
        #expect(ended.errors.contains("perseus  fence-flag"))
    }

    @Test func clusterScaleNeedsNoArithmetic() throws {
        let place = try Workplace()
        let ended = try place.perseus([
            "run", "--compute", "modelled", "--ranks", "64", "--ranks-per-node", "4", "--tokens",
            "8", "--scheme", "coupled,perseus-plus", "--json", "report",
        ])
        #expect(ended.status == 0, "\(ended.errors)")
        for result in try results(place.data("report")) {
            #expect(result["nodes"] as? Int == 16)
            #expect(result["maxRelativeError"] is NSNull && result["bitwiseEqual"] is NSNull)
        }
    }

    // MARK: Trace

    @Test(arguments: [("coupled", true), ("perseus", false)])
    func aTraceShowsWhereTheProxyStalls(_ scheme: String, _ stalls: Bool) throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run("--ranks", "4", "--scheme", scheme, "--trace", "trace"))
        #expect(ended.status == 0, "\(ended.errors)")
        let document = try #require(
            try JSONSerialization.jsonObject(with: place.data("trace")) as? [String: Any])
        let events = try #require(document["traceEvents"] as? [[String: Any]])
        let names = events.compactMap { $0["name"] as? String }
        #expect(names.contains("multiply") && names.contains("post") && names.contains("combine"))
        let stallSlices = events.filter { ($0["name"] as? String ?? "").hasPrefix("STALL") }
        #expect(stallSlices.isEmpty == !stalls)
        #expect(stallSlices.allSatisfy { ($0["dur"] as? Double ?? 0) > 0 })
        #expect(ended.text.contains("look for STALL") == stalls)
    }

    // MARK: Words

    @Test func theTextFitsATerminalAndSaysWhatIsModelled() throws {
        let place = try Workplace()
        let ended = try place.perseus(PublishedFixture.qwen3.run("--ranks", "4"))
        let lines = ended.text.split(separator: "\n", omittingEmptySubsequences: false)
        for line in lines { #expect(line.count <= 100, "\(line)") }
        #expect(ended.text.contains("time is MODELLED"))
        #expect(ended.text.contains("note: gpu-direct is hypothetical on perlmutter-slingshot11"))
        #expect(ended.text.contains("outputs of all schemes: bitwise equal"))
    }

    @Test func realNICsOfGPUsNeedNoNote() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run(
                "--ranks", "4", "--profile", "h100-connectx7", "--scheme", "gpu-direct"))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(!ended.text.contains("hypothetical"))
        // Nothing to compare with: a dash, not a number.
        let row = try #require(
            ended.text.split(separator: "\n").first { $0.hasPrefix("gpu-direct") })
        #expect(row.hasSuffix("  -"))
    }

    @Test func measuredTimeIsCalledMeasured() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run("--ranks", "4", "--clock", "real", "--json", "report"))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(ended.text.contains("time is MEASURED") && !ended.text.contains("MODELLED"))
        for result in try results(place.data("report")) {
            #expect(result["clock"] as? String == "real")
            #expect(result["bitwiseEqual"] as? Bool == true)
        }
    }

    /// `all` runs what the fabric can honour, and says what it cannot.
    @Test func whatAFabricCannotHonourIsLeftOut() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run(
                "--ranks", "4", "--profile", "efa-srd", "--json", "report"))
        #expect(ended.status == 0, "\(ended.errors)")
        let schemes = try results(place.data("report")).map { $0["scheme"] as? String }
        #expect(schemes == ["collective", "coupled", "decoupled", "perseus-plus"])
        for scheme in ["nic-ordered", "perseus", "gpu-direct"] {
            #expect(ended.text.contains("left out: scheme \(scheme) on efa-srd: "))
        }
    }
}
