// `perseus simulate sweep` as a person starts it: lines, table, refusals, and going on after an interruption.

import Foundation
import Testing

/// A sweep of small layers: four shapes under each of `schemes`.
private func sweep(_ schemes: String = "coupled,perseus", _ more: String...) -> [String] {
    [
        "simulate", "sweep", "--nodes", "2,3", "--ranks-per-node", "1", "--tokens", "4,8",
        "--scheme", schemes,
    ] + more
}

extension Workplace {
    fileprivate func lines(_ name: String) throws -> [[String: Any]] {
        try data(name).split(separator: UInt8(ascii: "\n")).map {
            try #require(try JSONSerialization.jsonObject(with: Data($0)) as? [String: Any])
        }
    }

    fileprivate func write(_ name: String, _ text: String) throws {
        try write(name, Data(text.utf8))
    }
}

@Suite struct SweepOutputTests {
    @Test func linesAreTheSameOnAnyNumberOfThreads() throws {
        let place = try Workplace()
        let one = try place.perseus(sweep("all", "--threads", "1"))
        #expect(one.status == 0 && one.errors.isEmpty, "\(one.errors)")
        #expect(one.text.split(separator: "\n").count == 28)
        let two = try place.perseus(sweep("all", "--threads", "2", "--output", "two"))
        #expect(two.status == 0 && two.errors.isEmpty, "\(two.errors)")
        #expect(try place.data("two") == one.output)
        // A `run` of the point says the same.
        let run = try place.perseus([
            "run", "--ranks", "2", "--tokens", "8", "--compute", "modelled", "--scheme", "perseus",
            "--json", "run",
        ])
        #expect(run.status == 0, "\(run.errors)")
        let report = try JSONSerialization.jsonObject(with: place.data("run")) as? [String: Any]
        let result = try #require((report?["results"] as? [[String: Any]])?.first)
        let line = try #require(
            try place.lines("two").first {
                $0["scheme"] as? String == "perseus" && $0["tokensPerRank"] as? Int == 8
            })
        for key in [
            "layerNanoseconds", "exposedCommunicationNanoseconds", "commands", "puts", "signals",
            "fences", "drains", "doorbells", "bytesSent", "drainNanoseconds",
        ] { #expect(line[key] as? Int == result[key] as? Int && line[key] != nil, "\(key)") }
        #expect(line["ordering"] as? String == "fence-flag")
        #expect(line["clock"] as? String == "virtual" && line["schema"] as? Int == 1)
    }

    @Test func theTableComparesSchemes() throws {
        let place = try Workplace()
        let ended = try place.perseus(sweep("perseus,coupled", "--output", "s"))
        #expect(ended.status == 0 && ended.errors.isEmpty, "\(ended.errors)")
        let lines = ended.text.split(separator: "\n").map(String.init)
        #expect(lines.count == 7, "\(ended.text)")
        let columns = lines[0].split(separator: " ").map(String.init)
        #expect(columns == ["profile", "model", "nodes", "tokens", "perseus", "coupled"])
        let times = try place.lines("s").map { try #require($0["layerNanoseconds"] as? Double) }
        let row = lines[2].split(separator: " ")
        #expect(row.prefix(4).joined(separator: " ") == "perlmutter-slingshot11 qwen3-30b 2 8")
        #expect(row[4] == "\(String(format: "%.2f", times[3] / times[2]))x")
        #expect(lines[6] == "s: 8 points, 0 refused, 0 failed")
        let manyRows = try place.perseus(
            sweep("coupled", "--group-size", "1,2,3,4,5,6,7,8,9,10,11", "--output", "t"))
        #expect(manyRows.text == "t: 44 points, 0 refused, 0 failed\n")
    }

    @Test func whatTheFabricCannotHonourIsALine() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            sweep(
                "coupled,collective", "--profile", "efa-srd,ideal", "--ordering",
                "fence-flag,counted-immediate", "--nodes=2", "--tokens=4", "--output", "s"
            ).filter { !["--nodes", "2,3", "--tokens", "4,8"].contains($0) })
        #expect(ended.status == 0 && ended.errors.isEmpty, "\(ended.errors)")
        let lines = try place.lines("s")
        let reasons = lines.map { $0["refused"] as? String }
        #expect(
            reasons[0]
                == "scheme coupled on efa-srd: ordering fence-flag needs a fence flag that covers"
                + " earlier writes, which this fabric does not promise")
        #expect(reasons.map { $0 == nil } == [false, true, false, false, true, true, true, false])
        #expect(lines[0]["layerNanoseconds"] == nil && lines[0]["ordering"] == nil)
        #expect(ended.text.contains("s: 8 points, 4 refused, 0 failed\n"))
        #expect(!ended.text.contains("unproven"))
    }

    /// A latency of ten seconds makes a layer of drains miss any deadline.
    @Test func aFailedPointIsALineAndAnExitStatus() throws {
        let place = try Workplace()
        try place.write(
            "far.profile", "name = far\nbased-on = ideal\n[nic]\nlatency = 10000 ms # guess\n")
        let words = sweep("coupled,perseus", "--profile", "ideal,far.profile", "--output", "s")
        for _ in 0..<2 {
            let ended = try place.perseus(words)
            #expect(ended.status == 4)
            #expect(
                ended.errors.hasPrefix("perseus simulate sweep: ")
                    && ended.errors.contains(" of 16 points failed; the first: coupled: the layer"),
                "\(ended.errors)")
            #expect(
                ended.errorLines.count == 1 && ended.text.contains("failed: coupled: the layer"))
        }
        let lines = try place.lines("s")
        #expect(lines.count == 16 && lines[0]["failure"] == nil)
        #expect((lines[10]["failure"] as? String)?.contains("did not finish") == true)
    }
}

@Suite struct SweepResumeTests {
    /// Long enough that an interruption comes before its end.
    private let words = [
        "simulate", "sweep", "--nodes", "4,5", "--ranks-per-node", "1", "--tokens",
        "16,17,18,19,20,21", "--scheme", "all", "--threads", "2",
    ]

    @Test func anInterruptedSweepGoesOn() throws {
        let place = try Workplace()
        let whole = try place.perseus(words)
        #expect(whole.status == 0)
        let words = words + ["--output", "s"]
        let ended = try place.perseus(words) {
            ((try? place.data("s")) ?? Data()).count { $0 == UInt8(ascii: "\n") } >= 5
        }
        #expect(ended.status == 128 + SIGINT)
        let part = try place.data("s")
        let count = part.count { $0 == UInt8(ascii: "\n") }
        #expect(5..<84 ~= count && whole.output.starts(with: part))
        #expect(
            ended.errorLines.last
                == "perseus simulate sweep: interrupted; \(count) of 84 points are in s,"
                + " and the same command goes on from there")
        #expect(ended.output.isEmpty)
        // As a kill would have left it.
        try place.write("s", part + Data("{\"schema\":1,\"profile\":\"perl".utf8))
        let rest = try place.perseus(words)
        #expect(rest.status == 0, "\(rest.errors)")
        #expect(
            rest.text.hasSuffix("s: 84 points, 0 refused, 0 failed; \(count) were there before\n"))
        #expect(try place.data("s") == whole.output)
        #expect(place.names == ["s"])
    }

    @Test func onTheStandardOutputWhatIsWrittenCounts() throws {
        let ended = try Workplace().shell(
            "$PERSEUS \(words.joined(separator: " ")) > s & sleep 1; kill -TERM $!; wait $!")
        #expect(ended.status == 128 + SIGTERM)
        #expect(
            ended.errors.contains(
                " of 84 points were written; with --output FILE the same command can go on from"
                    + " there\n"), "\(ended.errors)")
    }

    @Test func aFileOfSomethingElseIsRefusedAndStays() throws {
        let place = try Workplace()
        #expect(try place.perseus(sweep("coupled", "--output", "s")).status == 0)
        try place.write("notes", "buy milk")
        for (more, line) in [
            (["--output", "notes"], "notes: line 1 is torn, and no point of this sweep begins so"),
            (
                ["--output", "s", "--seed", "2"],
                "s: line 1 has seed 1, which this sweep does not have"
            ),
        ] {
            let before = try ["s", "notes"].map(place.data)
            let ended = try place.perseus(sweep("coupled") + more)
            #expect(ended.status == 2 && ended.output.isEmpty)
            #expect(
                ended.errors == "perseus simulate sweep: \(line); give this sweep another file\n")
            #expect(try ["s", "notes"].map(place.data) == before)
        }
    }

    /// One name, two clusters: their lines must not stand in one file.
    @Test func aChangedProfileIsNoticed() throws {
        let place = try Workplace()
        for (latency, isRefused) in [("80 us", false), ("80000 ns", false), ("81 us", true)] {
            try place.write(
                "my.profile", "name = my\nbased-on = ideal\n[nic]\nlatency = \(latency)\n")
            let ended = try place.perseus(
                sweep("coupled", "--profile", "my.profile", "--output", "s"))
            #expect(ended.status == (isRefused ? 2 : 0), "\(ended.errors)")
            #expect(ended.errors.contains("line 1 had other values in profile my") == isRefused)
        }
    }

    @Test func aLargerGridKeepsTheLines() throws {
        let place = try Workplace()
        #expect(try place.perseus(sweep("perseus", "--output", "s")).status == 0)
        let ended = try place.perseus(sweep("coupled,perseus", "--output", "s"))
        #expect(ended.text.hasSuffix("s: 8 points, 0 refused, 0 failed; 4 were there before\n"))
        #expect(try place.data("s") == place.perseus(sweep("coupled,perseus")).output)
    }
}

@Suite struct SweepRefusalTests {
    @Test(arguments: [
        (["--nodes", "4096", "--ranks-per-node", "4"], 2, "command names at most 16383"),
        (["--tokens", "4000000"], 2, "exceed the 2^24 rows of a signal word"),
        (["--profile", "ideal,./no.profile"], 2, "./no.profile: cannot be read: No such file"),
        (["--nodes", "4095", "--proxy-threads", "1,256"], 3, "of memory, "),
        (["--output", "none/s"], 2, "cannot write none/s: No such file or directory"),
        (["--output", "."], 2, "cannot write .: Is a directory"),
    ])
    func wrongGridsAreRefusedBeforeAnythingRuns(_ words: [String], _ status: Int32, _ text: String)
        throws
    {
        let place = try Workplace()
        let ended = try place.perseus(["simulate", "sweep"] + words)
        #expect(ended.status == status && ended.output.isEmpty)
        #expect(ended.errorLines.count == 1 && ended.errors.contains(text), "\(ended.errors)")
        #expect(place.names.isEmpty)
    }

    @Test func aFullDiskIsSaid() throws {
        let ended = try Workplace().perseus(sweep("coupled", "--output", "/dev/full"))
        #expect(ended.status == 3)
        #expect(
            ended.errors
                == "perseus simulate sweep: cannot write /dev/full: No space left on device;"
                + " 0 of 4 points are in /dev/full, and the same command goes on from there\n")
    }

    @Test func aReaderMayGoAway() throws {
        let ended = try Workplace().shell(
            "$PERSEUS \(sweep("all").joined(separator: " ")) | head -n 1")
        #expect(ended.status == 0 && ended.errors.isEmpty)
        #expect(ended.text.split(separator: "\n").count == 1)
    }

    /// Four points of 96 ranks do not fit together, so fewer run at a time.
    @Test func littleMemoryMeansFewerAtATime() throws {
        let words = "simulate sweep --nodes 96 --ranks-per-node 1 --tokens 1 --scheme"
        let place = try Workplace()
        let ended = try place.shell(
            "ulimit -v 1200000; $PERSEUS \(words) coupled,perseus,gpu-direct,nic-ordered --threads 8",
            limitSeconds: 120)
        #expect(ended.status == 0 && ended.errors.isEmpty, "\(ended.errors)")
        #expect(ended.text.split(separator: "\n").count == 4)
        let refused = try place.shell("ulimit -v 500000; $PERSEUS \(words) coupled")
        #expect(refused.status == 3 && refused.errors.contains("try fewer tokens or ranks"))
    }
}
