// Runs the missing points of a sweep on several threads and writes their lines in the order of the grid.

import CPerseusShims
import PerseusPrimitives
import PerseusRunners
import Synchronization

/// A sweep, its machine and its end.
public struct SweepRun {
    /// What has been done of what is to be done; work is a rough measure of a point's time.
    public struct Progress: Sendable {
        public var pointCount = 0
        public var work = 0.0
        public var totalWork = 0.0
    }

    public var grid: SweepGrid
    /// Points at a time, at most.
    public var threadCount: Int
    /// Bytes that the points of a time may take together; one alone always runs.
    public var memory = Int.max
    /// Bytes that a point takes.
    public var need: @Sendable (LayerPoint) -> Int = { _ in 0 }
    /// Once true, no further point is started; what was started is finished and written.
    public var isInterrupted: @Sendable () -> Bool = { false }
    /// Called about once a second, on the thread that called `run`.
    public var progress: (Progress) -> Void = { _ in }
    /// What a point takes.
    var measure: @Sendable (LayerPoint, Profile) throws -> LayerMeasure = {
        try runLayer($0, profile: $1)
    }

    public init(_ grid: SweepGrid, threadCount: Int) {
        self.grid = grid
        self.threadCount = threadCount
    }

    /// Runs what is missing in `file`. What is still missing there afterwards was interrupted, or nobody reads.
    ///
    /// A point that is refused or fails is a line like any other.
    /// - Throws: what keeps a point from running on this machine or its line from being written; the lines of the
    ///   points before it are there.
    public func run(into file: SweepFile) throws(PerseusError) {
        let missing = file.missing
        guard !missing.isEmpty else { return }
        let counts = Counts(totalWork: missing.reduce(0) { $0 + grid[$1].work })
        let queue = OrderedQueue(jobs(missing, counts))
        try queue.start(threadCount: min(threadCount, missing.count))
        defer {
            queue.close()
            queue.join()
        }
        for (position, index) in missing.enumerated() {
            let answer = queue.take(position) { progress(counts.progress) }
            guard let answer else { return }
            guard try file.append(answer.get(), of: index) else { return }
        }
    }

    private typealias Answer = Result<SweepLine, PerseusError>

    private func jobs(_ missing: [Int], _ counts: Counts) -> OrderedQueue<Answer>.Jobs {
        let (grid, need, isInterrupted, measure) = (grid, need, isInterrupted, measure)
        var jobs = OrderedQueue<Answer>.Jobs(
            mayStart: { $0 < missing.count && !isInterrupted() },
            run: { position in
                let index = missing[position]
                let answer = Self.line(of: index, grid, measure)
                // A point reserves blocks of which it uses little. In the place of others, they would keep the pages
                // that those have used: 2.1 GB instead of 0.8 GB for two points of 256 ranks at a time.
                perseus_return_freed_pages()
                counts.add(grid[index].work)
                return answer
            },
            endsBehind: { (try? $0.get()) == nil })
        jobs.need = { need(grid[missing[$0]]) }
        jobs.budget = memory
        return jobs
    }

    private static func line(
        of index: Int, _ grid: SweepGrid,
        _ measure: @Sendable (LayerPoint, Profile) throws -> LayerMeasure
    ) -> Answer {
        let point = grid[index]
        let (profile, fingerprint) = grid.profile(of: index)
        let coordinates = SweepLine.beginning(point, fingerprint: fingerprint)
        return withCrashNote("crashed at the point \(coordinates)}") {
            do {
                let measure = try measure(point, profile)
                return .success(SweepLine(point, fingerprint: fingerprint, measure))
            } catch let error as PerseusError {
                switch error.kind {
                case .badInput:
                    return .success(
                        SweepLine(point, fingerprint: fingerprint, refused: error.reason))
                case .deadline:
                    // What is stuck at each rank is for one layer that a person looks at.
                    let reason = error.reason.prefix { $0 != "\n" }
                    return .success(
                        SweepLine(point, fingerprint: fingerprint, failed: String(reason)))
                case .wrongResult, .environment:
                    return .failure(error)
                }
            } catch {
                return .failure(PerseusError(.environment, "\(error)"))
            }
        }
    }

    /// Threading: any thread.
    private final class Counts: Sendable {
        private let counts: Mutex<Progress>

        init(totalWork: Double) {
            counts = Mutex(Progress(pointCount: 0, work: 0, totalWork: totalWork))
        }

        var progress: Progress { counts.withLock { $0 } }

        func add(_ work: Double) {
            counts.withLock {
                $0.pointCount += 1
                $0.work += work
            }
        }
    }
}
