// A rank is killed or stopped at any moment: every survivor says whom it lost and what it waits for, and ends.

import Foundation
import Testing

/// What one seed does to a job.
private struct KillScenario: CustomStringConvertible {
    let seed: UInt64
    let size: Int
    let victim: Int
    let signal: Int32
    /// When the signal comes, as a part of the time that the job takes undisturbed.
    let moment: Double
    let scheme: String

    init(seed: UInt64) {
        var state = seed
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        for _ in 0..<4 { _ = next(2) }
        self.seed = seed
        size = [2, 3, 4, 8][next(4)]
        victim = next(size)
        signal = next(3) == 0 ? SIGSTOP : SIGKILL
        moment = Double(next(1000)) / 1000
        scheme = ["coupled", "perseus", "gpu-direct", "perseus-plus", "collective"][next(5)]
    }

    var description: String {
        "\(signal == SIGSTOP ? "SIGSTOP" : "SIGKILL") to rank \(victim) of \(size), \(scheme), at"
            + " \(Int(moment * 100)) %; again: PERSEUS_KILL_SEED=\(seed) PERSEUS_KILL_COUNT=1 swift test"
            + " --filter KillTests"
    }
}

@Suite(.serialized) struct KillTests {
    /// Few in `swift test`; `PERSEUS_KILL_COUNT=200 swift test --filter KillTests` tries many.
    private static let count = variable("PERSEUS_KILL_COUNT") ?? 5
    private static let firstSeed = variable("PERSEUS_KILL_SEED") ?? 1

    private static func variable(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    private let fixture = PublishedFixture.qwen3
    private static let deadline = 6.0

    /// Late requests make a layer last some hundred milliseconds.
    private func words(_ scenario: KillScenario) -> [String] {
        fixture.run(
            "--scheme", scenario.scheme, "--deadline", String(Int(Self.deadline * 1000)),
            "--faults", "seed=\(scenario.seed),delay=1@60ms", "--verify", "none", "--output", "out")
    }

    @Test func everySurvivorNamesTheVictimAndEnds() throws {
        var hitCount: UInt64 = 0
        for seed in Self.firstSeed..<Self.firstSeed + Self.count {
            if try check(KillScenario(seed: seed)) { hitCount += 1 }
        }
        // A signal may come when all is over; not always.
        #expect(Self.count < 5 || hitCount * 2 >= Self.count, "\(hitCount) of \(Self.count) hit")
    }

    /// - Returns: whether the victim was caught alive.
    private func check(_ scenario: KillScenario) throws -> Bool {
        let place = try Workplace()
        let job = try HandStartedJob(place, size: scenario.size)
        let begin = Date()
        let ranks = try job.start { _ in words(scenario) }
        let moment = scenario.moment * (0.25 + 0.15 * Double(scenario.size))
        while -begin.timeIntervalSinceNow < moment { usleep(500) }
        let victim = ranks[scenario.victim].running
        let isHit = !victim.hasEnded()
        if isHit { victim.send(scenario.signal) }
        let hitAt = Date()
        var endings: [(rank: Int, ended: Ended)] = []
        for (rank, running) in ranks where rank != scenario.victim {
            endings.append((rank, try running.wait(limitSeconds: 40)))
        }
        let seconds = -hitAt.timeIntervalSinceNow
        victim.end()
        for (rank, ended) in endings {
            let context =
                "\(scenario); rank \(rank): status \(String(describing: ended.status)), \(ended.errors)"
            // Who had finished already has lost nobody.
            if ended.status == 0 { continue }
            #expect(isHit, "\(context)")
            #expect(ended.status == 4, "\(context)")
            #expect(ended.errors.hasPrefix("perseus run: rank \(rank): "), "\(context)")
            #expect(ended.errors.contains("rank \(scenario.victim) "), "\(context)")
            let operations = [
                "waits", "peer \(scenario.victim), lane", "rendezvous", "reach", "answer", "begin",
            ]
            #expect(operations.contains { ended.errors.contains($0) }, "\(context)")
        }
        // A rank's output appears whole or not at all.
        let isDone = endings.allSatisfy { $0.ended.status == 0 }
        #expect(place.names.isEmpty || place.names == ["out"], "\(scenario)")
        if !isDone { #expect(seconds < 2 * Self.deadline + 4, "\(scenario): \(seconds) s") }
        return isHit && !isDone
    }

    // MARK: Under the launcher

    /// Processes whose environment holds `mark`.
    private func processes(marked mark: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.filter { name in
            guard Int(name) != nil,
                let data = FileManager.default.contents(atPath: "/proc/\(name)/environ")
            else { return false }
            return data.range(of: Data(mark.utf8)) != nil
        }
    }

    private func rank(_ process: String) -> Int? {
        FileManager.default.contents(atPath: "/proc/\(process)/environ")
            .map { String(decoding: $0, as: UTF8.self) }?
            .split(separator: "\0").first { $0.hasPrefix("PERSEUS_RANK=") }
            .flatMap { Int($0.dropFirst("PERSEUS_RANK=".count)) }
    }

    private func startLauncher(
        _ place: Workplace, _ mark: String
    ) throws -> (launcher: Workplace.Running, ranks: [Int: pid_t]) {
        let launcher = try place.startPerseus(
            fixture.run(
                "--ranks", "4", "--launch", "processes", "--scheme", "coupled", "--deadline",
                "6000",
                "--faults", "seed=1,delay=1@900ms", "--verify", "none"),
            variables: ["PERSEUS_TEST_MARK": mark])
        var ranks: [Int: pid_t] = [:]
        let end = Date(timeIntervalSinceNow: 30)
        // Rank 0 speaks when all have met and packed their weights; the layer follows, and lasts a second.
        while !launcher.printed.contains("MEASURED") && Date() < end { usleep(10_000) }
        for process in processes(marked: mark) {
            if let rank = rank(process) { ranks[rank] = pid_t(process) }
        }
        usleep(100_000)
        return (launcher, ranks)
    }

    @Test(arguments: [SIGKILL, SIGSTOP, SIGSEGV])
    func theLauncherSaysWhatBecameOfARankAndLeavesNone(_ signal: Int32) throws {
        let place = try Workplace()
        let mark = "mark-\(UUID().uuidString)"
        let (launcher, ranks) = try startLauncher(place, mark)
        let victim = try #require(ranks[2])
        kill(victim, signal)
        let ended = try launcher.wait(limitSeconds: 30)
        #expect(ended.status == 4, "\(ended.errors)")
        #expect(
            ended.errors.contains(
                signal == SIGSTOP
                    ? "rank 2 was stopped and was ended" : "rank 2 was killed by signal \(signal)"),
            "\(ended.errors)")
        for survivor in [0, 1, 3] {
            #expect(
                ended.errors.contains(
                    "perseus run: rank \(survivor): scheme coupled: the layer cannot finish: rank 2 "
                ),
                "\(ended.errors)")
        }
        #expect(processes(marked: mark).isEmpty)
    }

    @Test(arguments: [SIGINT, SIGTERM]) func anInterruptionEndsAllInOrder(_ signal: Int32) throws {
        let place = try Workplace()
        let mark = "mark-\(UUID().uuidString)"
        let (launcher, ranks) = try startLauncher(place, mark)
        #expect(ranks.count == 4)
        launcher.send(signal)
        let ended = try launcher.wait(limitSeconds: 30)
        #expect(ended.status == 128 + signal)
        #expect(ended.errors.isEmpty, "\(ended.errors)")
        #expect(ended.seconds < 10)
        #expect(processes(marked: mark).isEmpty)
    }

    @Test func ranksEndWithTheirLauncher() throws {
        let place = try Workplace()
        let mark = "mark-\(UUID().uuidString)"
        let (launcher, ranks) = try startLauncher(place, mark)
        #expect(ranks.count == 4)
        launcher.end()
        let end = Date(timeIntervalSinceNow: 5)
        while !processes(marked: mark).isEmpty && Date() < end { usleep(10_000) }
        #expect(processes(marked: mark).isEmpty)
    }
}
