// Put-only against every way of signalling, on the virtual clock, on the machine's, or on both.

import PerseusBenchmarks
import PerseusPrimitives
import PerseusProxy
import PerseusRunners

/// One scheme at one size: what it took, beside puts alone on the same clock.
public struct PutSignalResult: Codable, Equatable, Sendable {
    /// `put-only`, or a scheme.
    public var scheme: String
    public var ordering: String
    /// `virtual` is modelled; `real` is measured, with a soft NIC that takes as long as the profile says; `device` is
    /// measured too, with the sender's blocks and all bytes on a GPU.
    public var clock: String
    public var profile: String
    public var nodes: Int
    public var ranksPerNode: Int
    public var senders: String
    public var concurrency: Int
    public var bytes: Int
    /// From the first push to the last byte or word placed at a peer, average of the senders; the median on the real clock.
    public var nanoseconds: Double
    public var repetitions: Int
    /// Put-only time over this time.
    public var throughputShare: Double
    /// This time minus put-only time.
    public var fenceNanoseconds: Double
    public var puts: Int
    public var signals: Int
    public var fences: Int
    public var drains: Int
    public var doorbells: Int
    public var drainNanoseconds: Int
    /// On a device: from the first push until the sender knew that everything had completed.
    public var completionNanoseconds: Double?
}

/// What to compare.
public struct PutSignalComparison: Sendable {
    public var profile: Profile
    public var schemes: [Scheme]
    public var senders = PutSignalWorkload.Senders.one
    public var options = SchemeOptions()
    /// Runs of each contender on the real clock, interleaved.
    public var repetitions = 11

    public init(profile: Profile, schemes: [Scheme]) {
        self.profile = profile
        self.schemes = schemes
        options.deadlineNanoseconds = 60_000_000_000
    }

    /// Put-only first, then the schemes.
    ///
    /// - Throws: `badInput` for a scheme that the fabric cannot honour.
    public func run(
        _ workload: PutSignalWorkload, nodes: Int, clock: RunClock
    ) throws -> [PutSignalResult] {
        var workload = workload
        workload.senders = senders
        var settings = RunSettings(profile: profile)
        settings.clock = clock
        settings.chargesPosting = true
        settings.options = options
        let contenders: [Scheme?] = [nil] + schemes.map { $0 }
        var runs: [PutSignalRun?] = Array(repeating: nil, count: contenders.count)
        func once(_ index: Int) throws -> Double {
            let run = try runPutSignal(contenders[index], workload, settings)
            if let failure = run.outcome.failure { throw PerseusError(.deadline, "\(failure)") }
            runs[index] = run
            return run.senderNanoseconds
        }
        let medians: [Double]
        if clock == .virtual {
            medians = try contenders.indices.map(once)
        } else {
            medians = try measureInterleaved(
                contenders.indices.map { index in
                    BenchmarkContender("\(index)", samples: { [try once(index)] })
                }, repetitions: repetitions
            ).map(\.median)
        }
        return contenders.indices.map { index in
            let counters = runs[index]!.outcome.counters
            return PutSignalResult(
                scheme: contenders[index]?.rawValue ?? "put-only",
                ordering: contenders[index] == nil
                    ? "none" : runs[index]!.setup.ordering.rawValue,
                clock: clock == .virtual ? "virtual" : "real", profile: profile.name,
                nodes: nodes, ranksPerNode: workload.ranksPerNode, senders: senders.rawValue,
                concurrency: workload.concurrency, bytes: workload.byteCount,
                nanoseconds: medians[index], repetitions: clock == .virtual ? 1 : repetitions,
                throughputShare: medians[0] / medians[index],
                fenceNanoseconds: medians[index] - medians[0],
                puts: Int(counters.dispatchPuts + counters.combinePuts),
                signals: Int(counters.signals),
                fences: Int(counters.dispatchFences + counters.combineFences),
                drains: Int(counters.drains), doorbells: Int(counters.doorbells),
                drainNanoseconds: Int(counters.drainNanoseconds))
        }
    }
}
