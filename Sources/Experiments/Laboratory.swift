// Runs points on both cores, each once, and remembers what they took.

import Dispatch
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import Synchronization

/// What a layer took, modelled.
public struct LayerMeasure: Sendable {
    public var nanoseconds: UInt64
    public var computeNanoseconds: UInt64
    public var counters: ProxyCounters
    public var ordering: SignalOrdering
    public var stepCount: Int

    public var milliseconds: Double { Double(nanoseconds) / 1e6 }
}

/// Modelled measurements by point.
///
/// A formula over points is evaluated to learn which points it asks for, and, after those have been run in parallel,
/// again, until it asks for nothing new. So formulas are written as if every point were known; one that asks for all of
/// its points at once lets them run at once.
/// - Threading: one thread asks; points run on several.
public final class Laboratory {
    /// Profiles by the name that points use.
    private let profiles: [String: Profile]
    private let threads: Int
    private var layers: [LayerPoint: LayerMeasure] = [:]
    private var puts: [PutSignalPoint: Double] = [:]
    /// Asked for and not run yet.
    private(set) var wantedLayers: Set<LayerPoint> = []
    private(set) var wantedPuts: Set<PutSignalPoint> = []

    /// Called after each point with the number done and the number wanted.
    public var progress: (@Sendable (Int, Int) -> Void)?

    public init(profiles: [Profile], threads: Int) {
        self.profiles = Dictionary(
            profiles.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        self.threads = threads
    }

    /// Modelled layer time in milliseconds.
    public func layer(_ point: LayerPoint) -> Double { measure(point).milliseconds }

    /// A stand-in where the point has not run yet.
    public func measure(_ point: LayerPoint) -> LayerMeasure {
        if let known = layers[point] { return known }
        wantedLayers.insert(point)
        return LayerMeasure(
            nanoseconds: 1_000_000, computeNanoseconds: 500_000, counters: ProxyCounters(),
            ordering: .drainAll, stepCount: 0)
    }

    /// Modelled time of the average sender, milliseconds.
    public func put(_ point: PutSignalPoint) -> Double {
        if let known = puts[point] { return known }
        wantedPuts.insert(point)
        return 1
    }

    /// Evaluates `formula` with every point that it asks for.
    public func evaluate<Value>(_ formula: (Laboratory) -> Value) throws -> Value {
        while true {
            let value = formula(self)
            if wantedLayers.isEmpty && wantedPuts.isEmpty { return value }
            try runWanted()
        }
    }

    private enum Job: Sendable {
        case layer(LayerPoint)
        case put(PutSignalPoint)

        /// Large jobs first, so that the threads end together.
        var size: Double {
            switch self {
            case .layer(let point): point.work
            case .put(let point): Double(point.nodes * point.ranksPerNode * point.concurrency)
            }
        }
    }

    private enum Answer: Sendable {
        case layer(LayerPoint, LayerMeasure)
        case put(PutSignalPoint, Double)
    }

    private func runWanted() throws {
        let jobs =
            (wantedLayers.map(Job.layer) + wantedPuts.map(Job.put)).sorted { $0.size > $1.size }
        wantedLayers = []
        wantedPuts = []
        guard !jobs.isEmpty else { return }
        let next = Atomic(0)
        let answers = Mutex<[Answer]>([])
        let failure = Mutex<PerseusError?>(nil)
        let profiles = self.profiles
        let progress = self.progress
        DispatchQueue.concurrentPerform(iterations: min(threads, jobs.count)) { _ in
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < jobs.count, failure.withLock({ $0 == nil }) else { return }
                do {
                    let answer = try Self.run(jobs[index], profiles)
                    let done = answers.withLock {
                        $0.append(answer)
                        return $0.count
                    }
                    progress?(done, jobs.count)
                } catch let error as PerseusError {
                    failure.withLock { $0 = $0 ?? error }
                } catch {
                    failure.withLock { $0 = $0 ?? PerseusError(.environment, "\(error)") }
                }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
        for answer in answers.withLock({ $0 }) {
            switch answer {
            case .layer(let point, let measure): layers[point] = measure
            case .put(let point, let time): puts[point] = time
            }
        }
    }

    private static func run(_ job: Job, _ profiles: [String: Profile]) throws -> Answer {
        func profile(_ name: String) throws -> Profile {
            guard let profile = profiles[name] else {
                throw PerseusError(.badInput, "unknown profile \(name)")
            }
            return profile
        }
        switch job {
        case .layer(let point):
            return .layer(point, try runLayer(point, profile: profile(point.profile)))
        case .put(let point):
            return .put(point, try runPuts(point, profile: profile(point.profile)))
        }
    }
}

/// Runs the layer of `point` on the virtual clock.
/// - Throws: `badInput` for a scheme that the fabric cannot honour; `deadline` for a layer that did not end.
func runLayer(_ point: LayerPoint, profile: Profile) throws -> LayerMeasure {
    let run = try runScheme(point.scheme, point.workload(), point.settings(profile))
    if let failure = run.outcome.failure {
        throw PerseusError(.deadline, "\(point.scheme.rawValue): \(failure)")
    }
    return LayerMeasure(
        nanoseconds: run.outcome.layerNanoseconds,
        computeNanoseconds: run.outcome.computeNanoseconds, counters: run.outcome.counters,
        ordering: run.setup.ordering, stepCount: run.outcome.stepCount)
}

/// Runs the transfers of `point` on the virtual clock; milliseconds of the average sender.
func runPuts(_ point: PutSignalPoint, profile: Profile) throws -> Double {
    var workload = try PutSignalWorkload(
        nodes: point.nodes, ranksPerNode: point.ranksPerNode, concurrency: point.concurrency,
        byteCount: point.byteCount)
    workload.senders = point.senders
    var settings = RunSettings(profile: profile)
    settings.options.proxyThreads = point.proxyThreads
    settings.options.groupSize = point.groupSize
    settings.options.ordering = point.ordering
    settings.options.deadlineNanoseconds = experimentDeadlineNanoseconds
    let run = try runPutSignal(point.scheme, workload, settings)
    if let failure = run.outcome.failure { throw PerseusError(.deadline, "\(failure)") }
    return run.senderNanoseconds / 1e6
}

/// Virtual time after which a point of an experiment has failed.
let experimentDeadlineNanoseconds: UInt64 = 600_000_000_000
