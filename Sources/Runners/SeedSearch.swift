// Consecutive seeds on several threads, reported as one thread would report them.

import CPerseusShims
import PerseusPrimitives

/// Runs the scenarios of `firstSeed`, `firstSeed` + 1, … until `count` of them ran, the time is over, or one failed.
///
/// Seeds are handed out in order and every one that was handed out is finished, so what ran is a range without gaps.
/// Results are released in the order of the seeds: what is reported depends on the range alone, and on no thread.
/// A scenario that crashes ends the process; the standard error has its replay line.
public struct SeedSearch: Sendable {
    public var firstSeed: UInt64
    /// Scenarios at most; nil: no limit.
    public var count: Int?
    /// Real time after which no further scenario is started; nil: no limit. The first scenario always runs.
    public var limitNanoseconds: UInt64?
    public var threadCount: Int
    /// Ends behind the failure with the lowest seed.
    public var stopsAtFirstFailure = false

    public init(firstSeed: UInt64, count: Int?, limitNanoseconds: UInt64? = nil, threadCount: Int) {
        self.firstSeed = firstSeed
        self.count = count
        self.limitNanoseconds = limitNanoseconds
        self.threadCount = threadCount
    }

    public struct Failure: Sendable, Equatable {
        public let seed: UInt64
        public let problem: String
    }

    /// What the seeds from the first on, `ranCount` of them, came to.
    public struct Outcome: Sendable, Equatable {
        public var ranCount = 0
        public var checkedSignals = 0
        /// In the order of their seeds.
        public var failures: [Failure] = []
        public var passedCount: Int { ranCount - failures.count }
    }

    /// Runs the search.
    ///
    /// - Parameters:
    ///   - scenario: what a seed stands for, called on several threads at once.
    ///   - now: nanoseconds of a clock that does not go back, called on several threads at once.
    ///   - report: called on this thread after every seed, in order, with everything so far and with the seed's
    ///     failure: as soon as the seeds before it are done.
    /// - Throws: what a scenario throws, with the line that replays it; that of the lowest seed.
    public func run(
        scenario: @escaping @Sendable (UInt64) throws -> SeedScenario.Verdict = {
            try SeedScenario(seed: $0).run()
        },
        now: @escaping @Sendable () -> UInt64 = { perseus_monotonic_nanoseconds() },
        report: (Outcome, Failure?) throws -> Void
    ) throws -> Outcome {
        let queue = OrderedQueue(jobs(scenario: scenario, now: now))
        try queue.start(threadCount: threadCount)
        defer {
            queue.close()
            queue.join()
        }
        var outcome = Outcome()
        while let result = queue.take(outcome.ranCount) {
            let seed = firstSeed &+ UInt64(outcome.ranCount)
            let verdict = try verdict(result, seed)
            outcome.ranCount += 1
            outcome.checkedSignals += verdict.checkedSignals
            let failure = verdict.problem.map { Failure(seed: seed, problem: $0) }
            if let failure { outcome.failures.append(failure) }
            try report(outcome, failure)
            if failure != nil && stopsAtFirstFailure { break }
        }
        return outcome
    }

    private func verdict(
        _ result: Result<SeedScenario.Verdict, any Error>, _ seed: UInt64
    ) throws -> SeedScenario.Verdict {
        do {
            return try result.get()
        } catch {
            let kind = (error as? PerseusError)?.kind ?? .environment
            throw PerseusError(kind, "\(error); \(SeedScenario.replayLine(seed: seed))")
        }
    }
}

extension SeedSearch {
    fileprivate typealias Answer = Result<SeedScenario.Verdict, any Error>

    /// The scenarios by their distance from the first seed.
    fileprivate func jobs(
        scenario: @escaping @Sendable (UInt64) throws -> SeedScenario.Verdict,
        now: @escaping @Sendable () -> UInt64
    ) -> OrderedQueue<Answer>.Jobs {
        let search = self
        let deadline =
            limitNanoseconds.map { limit in
                let (sum, isOver) = now().addingReportingOverflow(limit)
                return isOver ? .max : sum
            } ?? .max
        return OrderedQueue.Jobs(
            // There is always time for the first one.
            mayStart: { ($0 == 0 || now() < deadline) && $0 < search.count ?? .max },
            run: { index in
                let seed = search.firstSeed &+ UInt64(index)
                return withCrashNote("crashed; \(SeedScenario.replayLine(seed: seed))") {
                    Result { try scenario(seed) }
                }
            },
            endsBehind: search.endsBehind)
    }

    /// Whether nothing behind `result` will be reported.
    private func endsBehind(_ result: Answer) -> Bool {
        switch result {
        case .success(let verdict): stopsAtFirstFailure && verdict.problem != nil
        case .failure: true
        }
    }
}
