// Profiles from files: copied, changed, run, and refused in one line when they are wrong.

import Foundation
import Testing

extension Workplace {
    fileprivate func write(_ name: String, _ text: String) throws {
        try write(name, Data(text.utf8))
    }

    /// The report of a small layer under `coupled`, and what was said.
    fileprivate func coupled(profile: String) throws -> (report: [String: Any], ended: Ended) {
        let ended = try perseus(
            PublishedFixture.llama4.run(
                "--ranks", "4", "--scheme", "coupled", "--profile", profile, "--json", "report"))
        #expect(ended.status == 0, "\(ended.errors)")
        let document = try JSONSerialization.jsonObject(with: data("report"))
        return (try #require(document as? [String: Any]), ended)
    }
}

/// Layer time of the only scheme.
private func layerNanoseconds(_ report: [String: Any]) throws -> Int {
    let results = try #require(report["results"] as? [[String: Any]])
    return try #require(results.first?["layerNanoseconds"] as? Int)
}

@Suite struct ProfileFileTests {
    @Test func aValueInAFileChangesTheTime() throws {
        let place = try Workplace()
        try place.write(
            "slow.profile",
            "name = slow\nbased-on = perlmutter-slingshot11\n[nic]\nlatency = 80 us # guess\n")
        let base = try place.coupled(profile: "perlmutter-slingshot11").report
        let (report, ended) = try place.coupled(profile: "slow.profile")
        #expect(try layerNanoseconds(report) > 2 * layerNanoseconds(base))
        #expect(ended.text.contains("fabric slow: based on perlmutter-slingshot11\n"))
        // The report can be made again without the file.
        let context = try #require(report["context"] as? [String: Any])
        #expect(context["profile"] as? String == "slow")
        let values = try #require(context["profileValues"] as? [String: String])
        #expect(values["nic.latency"] == "80 us" && values["proxy.put"] == "1260 ns")
        let baseContext = try #require(base["context"] as? [String: Any])
        #expect(baseContext["profileValues"] == nil)
    }

    @Test(arguments: ["perlmutter-slingshot11", "h100-connectx7-one-qp", "efa-srd"])
    func aCopyGivesTheSameBytes(_ name: String) throws {
        let place = try Workplace()
        let printed = try place.perseus(["simulate", "profile", "--profile", name])
        #expect(printed.status == 0 && printed.errors.isEmpty)
        try place.write("copy", printed.output)
        for (profile, report) in [(name, "a"), ("copy", "b")] {
            let ended = try place.perseus(
                PublishedFixture.qwen3.run(
                    "--ranks", "4", "--profile", profile, "--json", report))
            #expect(ended.status == 0, "\(ended.errors)")
            #expect(ended.text.contains("fabric \(name): ") && !ended.text.contains("other values"))
        }
        #expect(try place.data("a") == place.data("b"))
        let again = try place.perseus(["simulate", "profile", "--profile", "copy"])
        #expect(again.output == printed.output)
    }

    /// Otherwise a report would claim the built-in profile's numbers.
    @Test func aBorrowedNameIsNoted() throws {
        let place = try Workplace()
        try place.write("mine", "name = ideal\nbased-on = ideal\n[gpu]\ntask = 1 us\n")
        let (report, ended) = try place.coupled(profile: "mine")
        #expect(
            ended.text.contains("note: mine has the name of a built-in profile and other values"))
        let context = try #require(report["context"] as? [String: Any])
        #expect(context["profileValues"] is [String: String])
    }

    @Test func aBuiltInNameIsNoFile() throws {
        let place = try Workplace()
        try place.write("ideal", "not a profile")
        #expect(try place.coupled(profile: "ideal").ended.text.contains("fabric ideal: "))
    }

    @Test func aProfileComesThroughAPipe() throws {
        let ended = try Workplace().shell(
            "$PERSEUS simulate profile --profile ideal"
                + " | $PERSEUS simulate profile --profile /dev/stdin --json -")
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(ended.text.hasPrefix("{"))
    }
}

@Suite struct SimulateProfileTests {
    @Test func theListHasEveryNameThatRunKnows() throws {
        let place = try Workplace()
        let ended = try place.perseus(["simulate", "profile", "--json", "list"])
        #expect(ended.status == 0, "\(ended.errors)")
        let document = try JSONSerialization.jsonObject(with: place.data("list"))
        let results = try #require((document as? [String: Any])?["results"] as? [[String: String]])
        let names = results.compactMap { $0["name"] }
        #expect(names.count == 6)
        for name in names {
            #expect(ended.text.contains("\(name)"))
            #expect(try place.perseus(["simulate", "profile", "--profile", name]).status == 0)
        }
        let refused = try place.perseus(["run", "--profile", "elephant"])
        #expect(
            refused.errors
                == "perseus run: --profile elephant: unknown profile elephant; known are "
                + names.joined(separator: ", ") + " (or the path of a file)\n")
    }

    @Test func theReportHasValueUnitMeaningAndSource() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            ["simulate", "profile", "--profile", "h100-connectx7", "--json", "-"])
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(ended.errors.contains("[gpu]"))
        let document = try JSONSerialization.jsonObject(with: ended.output)
        let results = try #require((document as? [String: Any])?["results"] as? [[String: Any]])
        func result(_ key: String) throws -> [String: Any] {
            try #require(results.first { $0["key"] as? String == key })
        }
        let rate = try result("gpu.expert-rate")
        #expect(rate["value"] as? Double == 228_000 && rate["unit"] as? String == "GFLOP/s")
        #expect(try result("nic.gpu-initiated")["value"] as? Bool == true)
        let ordering = try result("proxy.vanilla-ordering")
        #expect(ordering["value"] as? String == "drain-peer" && ordering["unit"] is NSNull)
        for item in results {
            #expect((item["meaning"] as? String)?.isEmpty == false)
            #expect((item["source"] as? String)?.isEmpty == false)
        }
    }
}

@Suite struct ProfileRefusalTests {
    private func refusal(
        _ path: String, in place: Workplace, _ reason: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let before = place.names
        for (command, more) in [("run", ["--ranks", "2"]), ("simulate profile", [])] {
            let words = command.split(separator: " ").map(String.init)
            let ended = try place.perseus(words + ["--profile", path, "--json", "report"] + more)
            #expect(ended.status == 2, sourceLocation: sourceLocation)
            #expect(
                ended.errors == "perseus \(command): \(path)\(reason)\n",
                sourceLocation: sourceLocation)
            #expect(ended.output.isEmpty && place.names == before, sourceLocation: sourceLocation)
        }
    }

    @Test func linesAreNamed() throws {
        let place = try Workplace()
        try place.write("my.profile", "name = mine\nbased-on = ideal\n[nic]\nlatncy = 3 us\n")
        try refusal(
            "my.profile", in: place, ":4: unknown key latncy in [nic]; did you mean latency?")
    }

    @Test func whatCannotBeReadIsNamed() throws {
        let place = try Workplace()
        try refusal("absent.profile", in: place, ": cannot be read: No such file or directory")
        try refusal(".", in: place, ": cannot be read: Is a directory")
        try refusal("/proc/self/mem", in: place, ": cannot be read: Input/output error")
        try place.write("secret", "name = secret\nbased-on = ideal\n")
        chmod(place.path + "/secret", 0)
        // The superuser may read everything.
        if geteuid() != 0 {
            try refusal("secret", in: place, ": cannot be read: Permission denied")
        }
    }

    @Test func onlyTextOfAPlausibleSizeIsRead() throws {
        let place = try Workplace()
        try place.write("binary", Data([0x7F, 0x45, 0x4C, 0x46, 0, 0, 10]))
        try refusal("binary", in: place, ":1: this is not UTF-8 text")
        let head = "name = long\nbased-on = ideal\n#"
        let room = (64 << 10) - head.utf8.count
        try place.write("long", head + String(repeating: "x", count: room))
        #expect(try place.perseus(["simulate", "profile", "--profile", "long"]).status == 0)
        try place.write("longer", head + String(repeating: "x", count: room + 1))
        try refusal("longer", in: place, ": more than 64 KiB, which is no profile")
        try refusal("/dev/zero", in: place, ": more than 64 KiB, which is no profile")
    }
}
