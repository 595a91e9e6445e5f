// What a machine can do to a run: full disks, little memory, readers that leave, peers that die.

import Foundation
import Testing

@Suite struct RunDestinationTests {
    private let fixture = PublishedFixture.llama4

    @Test(arguments: ["--output", "--json", "--trace"])
    func aMissingFolderIsFoundBeforeTheRun(_ option: String) throws {
        let place = try Workplace()
        let ended = try place.perseus(fixture.run("--ranks", "2", option, "missing/file"))
        #expect(ended.status == 2)
        #expect(
            ended.errors
                == "perseus run: \(option): cannot write missing/file: No such file or directory\n")
        #expect(ended.output.isEmpty && place.names.isEmpty)
    }

    @Test(arguments: ["--output", "--json", "--trace"])
    func aFolderIsNoFile(_ option: String) throws {
        let place = try Workplace()
        let ended = try place.perseus(fixture.run("--ranks", "2", option, "."))
        #expect(ended.status == 2)
        #expect(ended.errors == "perseus run: \(option): cannot write .: Is a directory\n")
    }

    @Test func twoFilesOfOneNameAreRefused() throws {
        let place = try Workplace()
        let ended = try place.perseus(fixture.run("--output", "x", "--trace", "x"))
        #expect(ended.status == 2)
        #expect(ended.errors == "perseus run: --output and --trace both write x; give two names\n")
    }

    @Test func aTraceNeedsTheVirtualClock() throws {
        let place = try Workplace()
        let ended = try place.perseus(fixture.run("--clock", "real", "--trace", "x"))
        #expect(ended.status == 2)
        #expect(ended.errors == "perseus run: --trace needs --clock virtual\n")
        #expect(place.names.isEmpty)
    }

    @Test(arguments: ["--output", "--json", "--trace"])
    func aFullDiskIsAnError(_ option: String) throws {
        let place = try Workplace()
        let ended = try place.perseus(
            fixture.run("--ranks", "2", "--scheme", "perseus", option, "/dev/full"))
        #expect(ended.status == 3)
        #expect(ended.errors == "perseus run: cannot write /dev/full: No space left on device\n")
        // A superuser's rename would have replaced the device.
        var status = stat()
        #expect(stat("/dev/full", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    }

    /// The limit on the size of files stands for a disk that fills while the output is written.
    @Test func anOutputThatDoesNotFitLeavesTheOldOne() throws {
        let place = try Workplace()
        try place.write("out", Data("old".utf8))
        let words = fixture.run("--ranks", "2", "--scheme", "perseus", "--output", "out")
            .map { "'\($0)'" }.joined(separator: " ")
        let ended = try place.shell("trap '' XFSZ; ulimit -f 16; exec \"$PERSEUS\" \(words)")
        #expect(ended.status == 3)
        #expect(ended.errors == "perseus run: cannot write out: File too large\n")
        #expect(place.names == ["out"])
        #expect(try place.data("out") == Data("old".utf8))
    }

    @Test func aFailedRunLeavesTheOldOutput() throws {
        let place = try Workplace()
        try place.write("out", Data("old".utf8))
        let ended = try place.perseus(
            fixture.run("--ranks", "4", "--faults", "kill=3@20us", "--output", "out"))
        #expect(ended.status == 4)
        #expect(place.names == ["out"])
        #expect(try place.data("out") == Data("old".utf8))
    }

    // MARK: The standard output

    @Test func aReaderThatLeavesIsNoError() throws {
        let place = try Workplace()
        let words = fixture.run("--ranks", "4", "--output", "out").map { "'\($0)'" }
            .joined(separator: " ")
        let ended = try place.shell(
            "{ \"$PERSEUS\" \(words); echo $? > status; } | head -n 1")
        #expect(ended.text.split(separator: "\n").count == 1)
        #expect(ended.errors.isEmpty)
        #expect(try place.data("status") == Data("0\n".utf8))
        #expect(place.names == ["out", "status"])
    }

    @Test(arguments: ["--help", "--version", "doctor", "run --ranks 2"])
    func wordsThatCannotBeWrittenAreAnError(_ words: String) throws {
        let place = try Workplace()
        let layer =
            words.hasPrefix("run")
            ? " --config '\(fixture.config)' --weights '\(fixture.weights)' --scheme perseus" : ""
        let ended = try place.shell("exec \"$PERSEUS\" \(words)\(layer) > /dev/full")
        #expect(ended.status == 3)
        #expect(ended.errorLines.count == 1)
        #expect(ended.errors.hasSuffix("cannot write the text: No space left on device\n"))
    }

    /// A file opened while descriptor 1 is free gets its number, and would get the words too.
    @Test func aClosedStandardOutputDoesNotMeetTheFiles() throws {
        let place = try Workplace()
        let words = fixture.run("--ranks", "2", "--scheme", "perseus", "--output", "out").map {
            "'\($0)'"
        }.joined(separator: " ")
        let ended = try place.shell("exec \"$PERSEUS\" \(words) >&-")
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try TensorFile(place.data("out")).tensors["output"]?.shape == [64, 96])
    }
}

@Suite struct RunMemoryTests {
    /// What cannot fit is refused in a line, before it is allocated or the system kills somebody.
    @Test(arguments: [
        ["--model", "deepseek-v3", "--tokens", "2000000"],
        ["--ranks", "16383", "--compute", "modelled", "--proxy-threads", "256"],
    ])
    func moreMemoryThanThereIsIsRefused(_ words: [String]) throws {
        let place = try Workplace()
        let ended = try place.perseus(["run"] + words)
        #expect(ended.status == 3)
        #expect(ended.errorLines.count == 1)
        #expect(ended.errors.hasPrefix("perseus run: needs "))
        #expect(ended.errors.contains(" of memory, ") && ended.errors.contains("try fewer tokens"))
        #expect(ended.output.isEmpty && ended.seconds < 10)
    }

    @Test func aLimitOfTheAddressSpaceIsRespected() throws {
        let place = try Workplace()
        let ended = try place.shell(
            "ulimit -v 2000000; exec \"$PERSEUS\" run --model gpt-oss-120b --output out")
        #expect(ended.status == 3)
        #expect(ended.errorLines.count == 1)
        #expect(ended.errors.hasPrefix("perseus run: needs "))
        #expect(place.names.isEmpty)
    }
}

@Suite struct RunDeathTests {
    @Test(arguments: ["virtual", "real"], ["coupled", "perseus-plus", "gpu-direct", "collective"])
    func aDeadRankIsReportedInBoundedTime(_ clock: String, _ scheme: String) throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.qwen3.run(
                "--ranks", "4", "--clock", clock, "--scheme", scheme, "--faults", "kill=3@50us",
                "--output", "out"))
        #expect(ended.status == 4)
        #expect(ended.seconds < 10)
        #expect(place.names.isEmpty)
        let lines = ended.errorLines
        #expect(
            lines.first?.hasPrefix(
                "perseus run: scheme \(scheme): the layer cannot finish: rank 3 died") == true)
        // Peer, operation, stage and age.
        let stuck = lines.dropFirst().filter { $0.contains("peer 3, lane 3, command ") }
        #expect(!stuck.isEmpty)
        for line in stuck {
            #expect(line.contains(": put of ") && line.contains(" posted, "), "\(line)")
            #expect(line.contains("the peer does not answer") && line.contains(", age "), "\(line)")
        }
        #expect(lines.contains { $0.contains("waits for the ") && $0.contains("signal of expert") })
    }

    /// Who dies after the layer's end is not missed.
    @Test func aDeathAfterTheEndIsNoFailure() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run("--ranks", "4", "--faults", "kill=3@10s"))
        #expect(ended.status == 0, "\(ended.errors)")
    }

    @Test func aLayerThatMissesItsDeadlineSaysWhatItWaitsFor() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run(
                "--ranks", "4", "--scheme", "perseus", "--deadline", "1", "--faults",
                "clog=2@1us..900ms"))
        #expect(ended.status == 4)
        #expect(ended.errors.contains("did not finish within its deadline of 1 ms (virtual time)"))
        #expect(ended.errors.contains("rank 2: waits for the dispatch signal of expert "))
    }
}
