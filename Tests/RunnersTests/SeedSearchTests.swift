// A search on several threads reports what one thread would report.

import Glibc
import PerseusPrimitives
@testable import PerseusRunners
import Synchronization
import Testing

/// Seeds divisible by seven fail; some take longer than those behind them.
@Sendable private func unevenScenario(_ seed: UInt64) -> SeedScenario.Verdict {
    usleep(UInt32(SeededRandom.mix(seed) % 1500))
    var verdict = SeedScenario.Verdict()
    verdict.checkedSignals = Int(seed)
    if seed % 7 == 0 { verdict.problem = "seed \(seed) is bad" }
    return verdict
}

/// Everything that was reported, in the order of the reports.
private func transcript(_ search: SeedSearch) throws -> (lines: [String], SeedSearch.Outcome) {
    var lines: [String] = []
    let outcome = try search.run(scenario: unevenScenario) { outcome, failure in
        lines.append("\(outcome.ranCount) \(outcome.checkedSignals) \(failure?.problem ?? "-")")
    }
    return (lines, outcome)
}

@Suite struct SeedSearchTests {
    @Test(arguments: [1, 2, 3, 16])
    func reportsAreTheSameForEveryNumberOfThreads(threads: Int) throws {
        let search = SeedSearch(firstSeed: 3, count: 60, threadCount: threads)
        let (lines, outcome) = try transcript(search)
        #expect(lines.count == 60)
        #expect(lines[4] == "5 25 seed 7 is bad")
        #expect(outcome.failures.map(\.seed) == [7, 14, 21, 28, 35, 42, 49, 56])
        #expect(outcome.ranCount == 60 && outcome.passedCount == 52)
        #expect(outcome.checkedSignals == (3..<63).reduce(0, +))
    }

    @Test(arguments: [1, 2, 16])
    func theFirstFailureIsTheLowestSeed(threads: Int) throws {
        var search = SeedSearch(firstSeed: 1, count: 1000, threadCount: threads)
        search.stopsAtFirstFailure = true
        let (lines, outcome) = try transcript(search)
        #expect(outcome.failures == [.init(seed: 7, problem: "seed 7 is bad")])
        #expect(outcome.ranCount == 7 && lines.count == 7)
    }

    @Test func seedsWrapAround() throws {
        let search = SeedSearch(firstSeed: .max, count: 3, threadCount: 2)
        let outcome = try search.run(
            scenario: { seed in
                var verdict = SeedScenario.Verdict()
                verdict.problem = "\(seed)"
                return verdict
            }, report: { _, _ in })
        #expect(outcome.failures.map(\.seed) == [.max, 0, 1])
    }

    /// The clock goes on by one with every look at it: one for the start, and one for each seed but the first.
    @Test(arguments: [1, 4])
    func nothingIsStartedBehindTheDeadline(threads: Int) throws {
        let clock = Mutex<UInt64>(100)
        let search = SeedSearch(
            firstSeed: 1, count: nil, limitNanoseconds: 10, threadCount: threads)
        let outcome = try search.run(
            scenario: unevenScenario,
            now: {
                clock.withLock { time in
                    time += 1
                    return time
                }
            }, report: { _, _ in })
        #expect(outcome.ranCount == 10)
    }

    @Test func theFirstSeedRunsHoweverShortTheTime() throws {
        var search = SeedSearch(firstSeed: 1, count: 5, limitNanoseconds: 0, threadCount: 2)
        #expect(try search.run(scenario: unevenScenario, report: { _, _ in }).ranCount == 1)
        search.limitNanoseconds = .max
        #expect(try search.run(scenario: unevenScenario, report: { _, _ in }).ranCount == 5)
    }

    @Test func anErrorNamesItsSeed() {
        let search = SeedSearch(firstSeed: 1, count: 100, threadCount: 4)
        let error = #expect(throws: PerseusError.self) {
            try search.run(
                scenario: { seed in
                    if seed % 5 == 0 { throw PerseusError(.deadline, "\(seed) takes too long") }
                    return SeedScenario.Verdict()
                }, report: { outcome, _ in #expect(outcome.ranCount <= 4) })
        }
        #expect(
            error
                == PerseusError(
                    .deadline,
                    "5 takes too long; replay: swift run -c release perseus simulate seeds"
                        + " --seed 0x5 --count 1"))
    }

    /// A precondition of the protocol is what random scenarios break most of all.
    @Test func aCrashNamesItsSeed() async throws {
        let ended = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            _ = try SeedSearch(firstSeed: 1, count: 100, threadCount: 4).run(
                scenario: { seed in
                    precondition(seed != 0x1f, "SeedSearchTests: a trap on purpose")
                    usleep(2000)
                    return SeedScenario.Verdict()
                }, report: { _, _ in })
        }
        let said = String(decoding: try #require(ended).standardErrorContent, as: UTF8.self)
        let line =
            "crashed; replay: swift run -c release perseus simulate seeds --seed 0x1f --count 1"
        #expect(said.split(separator: "\n").count { $0 == line } == 1, "\(said)")
    }

    /// Real scenarios share nothing: two threads find what one finds.
    @Test func realScenariosDoNotDisturbEachOther() throws {
        func run(threads: Int) throws -> SeedSearch.Outcome {
            try SeedSearch(firstSeed: 77, count: 12, threadCount: threads).run { _, _ in }
        }
        let one = try run(threads: 1)
        #expect(one.ranCount == 12 && one.failures.isEmpty && one.checkedSignals > 0)
        #expect(try run(threads: 3) == one)
    }
}
