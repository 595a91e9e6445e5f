// `perseus run` with a process for each rank: the same bytes, one voice, and clear words when ranks do not fit together.

import Foundation
import Testing

@Suite struct ProcessRunTests {
    /// 2, 4 and 8 processes, every scheme: the report says bitwise equal, and the file has the bits of one process.
    @Test(arguments: PublishedFixture.all, [2, 4, 8])
    func theOutputHasTheBitsOfOneProcess(_ fixture: PublishedFixture, _ ranks: Int) throws {
        let place = try Workplace()
        let one = try place.perseus(
            fixture.run("--ranks", "1", "--scheme", "coupled", "--output", "one"))
        #expect(one.status == 0, "\(one.errors)")
        let ended = try place.perseus(
            fixture.run(
                "--ranks", String(ranks), "--launch", "processes", "--output", "out", "--json",
                "report"))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(ended.errors.isEmpty)
        #expect(ended.text.contains("outputs of all schemes: bitwise equal"))
        // Rank 0 alone prints.
        #expect(ended.text.components(separatedBy: "each a process").count == 2)
        #expect(try place.data("out") == place.data("one"))
        let report = try JSONSerialization.jsonObject(with: place.data("report")) as? [String: Any]
        let context = try #require(report?["context"] as? [String: Any])
        #expect(
            context["launch"] as? String == "processes" && context["clock"] as? String == "real")
        let results = try #require(report?["results"] as? [[String: Any]])
        #expect(results.count == 7)
        for result in results {
            #expect(result["ranks"] as? Int == ranks && result["bitwiseEqual"] as? Bool == true)
            #expect((result["maxRelativeError"] as? Double ?? 1) < 1e-2)
            #expect((result["puts"] as? Int ?? 0) >= ranks)
        }
    }

    /// Nodes, rounds, immediates, atomics, uneven tokens, threads, faults: not one bit differs.
    @Test func theOutputDoesNotDependOnHowTheLayerIsSpread() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.qwen3
        #expect(
            try place.perseus(
                fixture.run("--ranks", "1", "--scheme", "coupled", "--output", "one")
            ).status == 0)
        let variants: [[String]] = [
            ["--ranks", "1"],
            ["--ranks", "4", "--ranks-per-node", "2"],
            ["--ranks", "4", "--ranks-per-node", "4"],
            ["--ranks", "4", "--heap-limit", "64K"],
            ["--ranks", "4", "--tokens", "0,50,46,0", "--scheme", "perseus,collective"],
            ["--ranks", "3", "--proxy-threads", "2", "--threads", "2", "--clock", "real"],
            ["--ranks", "4", "--profile", "efa-srd"],
            ["--ranks", "4", "--profile", "roce-adaptive", "--scheme", "perseus-plus"],
            [
                "--ranks", "4", "--ordering", "immediate-last", "--scheme", "perseus-plus",
                "--profile", "h100-connectx7",
            ],
            [
                "--ranks", "4", "--ordering", "atomic", "--scheme", "perseus-plus", "--profile",
                "h100-connectx7",
            ],
            ["--ranks", "4", "--faults", "seed=3,drop=0.1,reorder=0.5@20us,jitter=2us"],
        ]
        for variant in variants {
            let ended = try place.perseus(
                fixture.run("--launch", "processes", "--output", "out") + variant)
            #expect(ended.status == 0, "\(variant): \(ended.errors)")
            #expect(try place.data("out") == place.data("one"), "\(variant)")
        }
    }

    /// Order is compared with the sender's memory, in another process: a removed ordering is caught there too.
    @Test func aBrokenOrderingIsCaughtAcrossProcesses() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.qwen3.run(
                "--ranks", "4", "--launch", "processes", "--scheme", "perseus-plus", "--profile",
                "roce-adaptive", "--ordering", "none", "--unproven", "--faults",
                "seed=1,reorder=1@2ms"))
        #expect(ended.status == 1, "\(ended.errors)")
        #expect(ended.errors.contains("signals were seen before their data"))
        #expect(ended.errors.hasPrefix("perseus run: rank 0: scheme perseus-plus: "))
    }

    // MARK: Refusals

    @Test(arguments: [
        (
            ["--clock", "virtual"],
            "--clock virtual is one thread's: ranks that are processes run in real time"
        ),
        (
            ["--device", "cuda"],
            "--device cuda runs all ranks in one process; not with --launch processes"
        ),
        (["--trace", "x"], "--trace needs --clock virtual"),
        (["--ranks", "513"], "--launch processes: at most 512 ranks, not 513"),
        (["--scheme", "nic-ordered", "--profile", "efa-srd"], ""),
    ])
    func whatProcessesCannotDoIsRefusedOnce(_ words: [String], _ reason: String) throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run("--launch", "processes") + words)
        #expect(ended.status == 2)
        #expect(ended.errorLines.count == 1)
        #expect(ended.errors.hasPrefix("perseus run: \(reason)"), "\(ended.errors)")
        #expect(ended.output.isEmpty)
    }

    @Test func aFullDiskIsRankZerosError() throws {
        let place = try Workplace()
        let ended = try place.perseus(
            PublishedFixture.llama4.run(
                "--ranks", "2", "--launch", "processes", "--output", "/dev/full"))
        #expect(ended.status == 3)
        #expect(
            ended.errors
                == "perseus run: rank 0: cannot write /dev/full: No space left on device\n")
    }

    // MARK: By hand

    @Test func ranksStartedByHandMeetAndOneSpeaks() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.gptOSS
        #expect(
            try place.perseus(
                fixture.run("--ranks", "1", "--scheme", "coupled", "--output", "one")
            ).status == 0)
        let ended = try HandStartedJob(place, size: 3).run { _ in
            fixture.run("--output", "out", "--launch", "processes")
        }
        #expect(ended.map(\.status) == [0, 0, 0], "\(ended.map(\.errors))")
        #expect(ended[0].text.contains("3 ranks, one per node, each a process"))
        #expect(ended[1].output.isEmpty && ended[2].output.isEmpty)
        #expect(ended.allSatisfy { $0.errors.isEmpty })
        #expect(try place.data("out") == place.data("one"))
    }

    @Test func otherSettingsAreRefusedByName() throws {
        let place = try Workplace()
        let ended = try HandStartedJob(place, size: 3).run { rank in
            PublishedFixture.llama4.run("--scheme", rank == 1 ? "coupled" : "perseus")
        }
        for (rank, ending) in ended.enumerated() {
            #expect(ending.status == 2)
            #expect(
                ending.errors
                    == "perseus run: rank \(rank): rank 1 has --scheme coupled, rank 0 has perseus\n"
            )
        }
    }

    @Test func anotherShapeIsRefusedByName() throws {
        let place = try Workplace()
        let ended = try HandStartedJob(place, size: 2).run { rank in
            (rank == 1 ? PublishedFixture.qwen3 : PublishedFixture.gptOSS).run(
                "--scheme", "perseus")
        }
        for ending in ended {
            #expect(ending.status == 2)
            #expect(ending.errors.contains("rank 1 has model qwen3"), "\(ending.errors)")
        }
    }

    @Test func anotherBuildIsRefusedByName() throws {
        let place = try Workplace()
        let other = try place.makeOtherBuild()
        let ended = try HandStartedJob(place, size: 2).run(binaries: [1: other]) { _ in
            PublishedFixture.llama4.run("--scheme", "perseus")
        }
        for ending in ended {
            #expect(ending.status == 2)
            #expect(ending.errors.contains(": rank 1 has build "), "\(ending.errors)")
        }
    }

    /// The fixture's layer lasts a second with these delays.
    private func longRun(_ fixture: PublishedFixture) -> [String] {
        fixture.run(
            "--scheme", "coupled", "--verify", "none", "--deadline", "20000", "--faults",
            "seed=1,delay=1@400ms")
    }

    @Test func whoIsInterruptedSaysNothingAndIsNamed() throws {
        let place = try Workplace()
        let ranks = try HandStartedJob(place, size: 3).start { _ in
            longRun(PublishedFixture.qwen3)
        }
        let end = Date(timeIntervalSinceNow: 30)
        while !ranks[0].running.printed.contains("MEASURED") && Date() < end { usleep(5000) }
        ranks[1].running.send(SIGINT)
        let ended = try ranks.map { try $0.running.wait() }
        #expect(ended[1].status == 128 + SIGINT)
        #expect(ended[1].errors.isEmpty && ended[1].output.isEmpty)
        for rank in [0, 2] {
            #expect(ended[rank].status == 4)
            #expect(
                ended[rank].errors.contains("rank 1 failed: interrupted"), "\(ended[rank].errors)")
        }
    }

    /// Shorter than a third of the deadline: nobody is given up.
    @Test func aShortStopIsForgiven() throws {
        let place = try Workplace()
        let ranks = try HandStartedJob(place, size: 3).start { _ in
            longRun(PublishedFixture.qwen3)
        }
        let end = Date(timeIntervalSinceNow: 30)
        while !ranks[0].running.printed.contains("MEASURED") && Date() < end { usleep(5000) }
        for rank in [0, 2] {
            ranks[rank].running.send(SIGSTOP)
            usleep(600_000)
            ranks[rank].running.send(SIGCONT)
        }
        for (_, running) in ranks {
            let ended = try running.wait()
            #expect(ended.status == 0, "\(ended.errors)")
        }
    }

    @Test func aRankThatDoesNotComeIsNamed() throws {
        let place = try Workplace()
        let ended = try HandStartedJob(place, size: 3, starts: [0, 1]).run { _ in
            PublishedFixture.llama4.run("--deadline", "1500")
        }
        for ending in ended {
            #expect(ending.status == 4)
            #expect(ending.errors.contains("rank 2 did not come to the rendezvous at 127.0.0.1:"))
            #expect(ending.seconds < 8)
        }
    }

    @Test func aPortWhereNobodyListensIsNamed() throws {
        let place = try Workplace()
        let ended = try HandStartedJob(place, size: 2, starts: [1]).run { _ in
            PublishedFixture.llama4.run("--deadline", "500")
        }
        #expect(ended[0].status == 4)
        #expect(ended[0].errors.contains("cannot reach rank 0 at 127.0.0.1:"))
        #expect(ended[0].errors.contains("within 0.5 s: Connection refused"))
    }

    @Test func aPortThatIsTakenIsNamed() throws {
        let place = try Workplace()
        let job = try HandStartedJob(place, size: 2, starts: [0], keepsPort: true)
        let ended = try job.run { _ in PublishedFixture.llama4.run("--deadline", "500") }
        #expect(ended[0].status == 3)
        #expect(ended[0].errors.contains("rank 0 cannot listen at 127.0.0.1:"))
        #expect(ended[0].errors.contains("Address already in use"))
    }
}

/// Open MPI and PMIx are installed.
private let hasMPIRun: Bool = {
    let folders = ProcessInfo.processInfo.environment["PATH"]?.split(separator: ":") ?? []
    let isFound = folders.contains {
        FileManager.default.isExecutableFile(atPath: "\($0)/mpirun")
    }
    guard isFound, let library = dlopen("libpmix.so.2", RTLD_LAZY) else { return false }
    dlclose(library)
    return true
}()

/// Where there is a launcher; elsewhere there is nothing to test.
@Suite(.enabled(if: hasMPIRun, "mpirun and libpmix.so.2 are not installed"))
struct MPIRunTests {
    private func mpirun(_ place: Workplace, ranks: Int, _ words: [String]) throws -> Ended {
        let quoted = words.map { "'\($0)'" }.joined(separator: " ")
        return try place.shell(
            "exec mpirun --allow-run-as-root --oversubscribe -n \(ranks) \"$PERSEUS\" \(quoted)")
    }

    @Test func ranksOfMPIRunMeetThroughPMIx() throws {
        let place = try Workplace()
        let fixture = PublishedFixture.llama4
        #expect(
            try place.perseus(
                fixture.run("--ranks", "1", "--scheme", "coupled", "--output", "one")
            ).status == 0)
        let ended = try mpirun(place, ranks: 4, fixture.run("--output", "out"))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(
            ended.text.components(separatedBy: "4 ranks, one per node, each a process").count == 2)
        #expect(try place.data("out") == place.data("one"))
    }

    @Test func anotherNumberOfRanksIsRefused() throws {
        let place = try Workplace()
        let ended = try mpirun(place, ranks: 2, PublishedFixture.llama4.run("--ranks", "3"))
        #expect(ended.status == 2, "\(ended.errors)")
        #expect(
            ended.errors.contains("perseus run: --ranks 3, and the launcher started 2 processes"))
    }
}
