// `bench layer --device cuda`: whole layers under every scheme, against `coupled` in the same run.

import PerseusDevice
import PerseusDeviceRuns
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusRunners

/// What `bench layer --device cuda` may be asked to vary.
public struct DeviceLayerOptions: Sendable {
    /// Names of presets.
    public var models = MoEModel.presets.map(\.name)
    /// Tokens of each rank, S.
    public var tokenCounts = [256, 1024, 4096, 16384]
    public var rankCounts = [8]
    public var ranksPerNode = 1
    public var profiles: [Profile]
    public var schemes = Scheme.allCases
    /// Launches of every scheme, interleaved.
    public var repetitions = 2
    /// Aim of each launch.
    public var burstNanoseconds: Double = 40_000_000
    public var seed: UInt64 = 1

    public init(profiles: [Profile]) { self.profiles = profiles }

    /// One model, few tokens: proves that everything runs, measures little.
    public mutating func makeQuick() {
        models = ["qwen3-30b"]
        tokenCounts = [64]
        repetitions = 1
        burstNanoseconds = 4_000_000
    }
}

/// Statistics of the layers of all launches, nanoseconds.
public struct DeviceLayerTimes: Codable, Equatable, Sendable {
    public var median: Double
    public var minimum: Double
    public var maximum: Double
    /// Layers that were measured.
    public var count: Int

    /// - Precondition: `samples` is not empty.
    init(_ samples: [Double]) {
        let statistics = BenchmarkStatistics(samples: samples)
        median = statistics.median
        minimum = statistics.minimum
        maximum = samples.max()!
        count = samples.count
    }
}

/// One scheme at one point.
public struct DeviceLayerResultRow: Codable, Equatable, Sendable {
    public var model: String
    /// Of each rank.
    public var tokens: Int
    public var ranks: Int
    public var nodes: Int
    public var profile: String
    public var scheme: String
    public var ordering: String
    public var rounds: Int
    public var layerNanoseconds: DeviceLayerTimes
    /// The median of `coupled` over this median: above 1 is faster than `coupled`.
    public var ratioToCoupled: Double?
    public var paperRatio: PaperRatio?
    /// One rank with all the tokens and the whole GPU: its layer, and what of that it multiplied.
    public var singleRankNanoseconds: Double?
    public var singleRankMultiplyNanoseconds: Double?

    /// How much of the layer's time the multiplication alone would take on the same GPU.
    public var tensorCoreUse: Double?

    /// Fills in what follows from `coupled` and from the single rank.
    mutating func relate(coupled: Double?, single: DeviceSingleRank?) {
        ratioToCoupled = coupled.map { $0 / layerNanoseconds.median }
        singleRankNanoseconds = single?.layer
        singleRankMultiplyNanoseconds = single?.multiply
        tensorCoreUse = single.map { $0.multiply / layerNanoseconds.median }
    }
}

/// Medians of a layer on one rank.
struct DeviceSingleRank: Equatable {
    var layer: Double
    var multiply: Double
}

/// What was measured, and what was not.
public struct DeviceLayerReport: Sendable {
    public var rows: [DeviceLayerResultRow] = []
    public var notes: [String] = []
    /// The first thing that went wrong; the rows are those that went well.
    public var failure: PerseusError?
}

/// Measures every scheme at every point.
///
/// - Throws: `environment` without a usable GPU; `badInput` for options out of range.
public func runDeviceLayerBenchmark(
    _ options: DeviceLayerOptions, progress: (String) -> Void = { _ in }
) throws -> DeviceLayerReport {
    guard options.tokenCounts.allSatisfy({ (1...1 << 20).contains($0) }), options.repetitions >= 1,
        options.rankCounts.allSatisfy({ (1...64).contains($0) }), options.ranksPerNode >= 1
    else {
        throw PerseusError(
            .badInput,
            "bench layer needs 1 to \(1 << 20) tokens, 1 to 64 ranks and a repetition")
    }
    let models = try options.models.map { name throws(PerseusError) in
        guard let model = MoEModel.preset(name) else {
            throw PerseusError(.badInput, "unknown model \(name)")
        }
        return model
    }
    let device = try CUDADevice.open()
    try device.requireHopper()
    let bench = DeviceLayerBench(options: options, device: device)
    for model in models {
        do {
            try bench.measure(model, progress: progress)
        } catch {
            // What has been measured is kept.
            let error = error as? PerseusError ?? PerseusError(.environment, "\(error)")
            bench.report.failure = bench.report.failure ?? error
            bench.report.notes.append("stopped at \(model.name): \(error.message)")
            break
        }
    }
    bench.report.notes += bench.explanations
    return bench.report
}

private final class DeviceLayerBench {
    let options: DeviceLayerOptions
    let device: CUDADevice
    var report = DeviceLayerReport()
    /// Refusals that a note tells already.
    private var told: Set<String> = []

    init(options: DeviceLayerOptions, device: CUDADevice) {
        self.options = options
        self.device = device
    }

    var explanations: [String] {
        [
            "one kernel on \(device.name) for all ranks of a point, which share its multiprocessors;"
                + " NICs are emulated, at the times of the profile; routing is uniform and given",
            "layer: median of all layers of \(options.repetitions) launches with layers back to back;"
                + " a row's ratio: above 1 is faster than coupled",
            "use: what a single rank with all the tokens and the whole GPU takes to multiply, over the"
                + " layer's time",
            "paper: speed-up over coupled that arXiv 2605.00686v1 reports, on nodes of 4 or 8 GPUs",
        ]
    }

    func measure(_ model: MoEModel, progress: (String) -> Void) throws {
        progress("\(model.name): kernel and weights")
        let most = (options.tokenCounts.max() ?? 1) * (options.rankCounts.max() ?? 1)
        let loaded = try DeviceBenchModel(
            model, device: device, tokenCount: most, seed: options.seed)
        for ranks in options.rankCounts {
            for tokens in options.tokenCounts {
                let point = "\(model.name), S \(tokens), \(ranks) ranks"
                progress("\(point): single rank")
                let single = try skippable(point, of: "the single rank") {
                    try singleRank(loaded, tokens: tokens * ranks)
                }
                for profile in options.profiles {
                    progress("\(point), \(profile.name)")
                    let rows = try skippable(point, of: profile.name) {
                        try self.rows(
                            loaded, tokens: tokens, ranks: ranks, profile, single,
                            point: "\(point), \(profile.name)")
                    }
                    report.rows += rows ?? []
                }
            }
        }
    }

    /// nil, and a note, where the body does not fit.
    private func skippable<Result>(
        _ point: String, of what: String, _ body: () throws -> Result
    ) throws -> Result? {
        do {
            return try body()
        } catch let error as PerseusError where Self.isRefusal(error) {
            report.notes.append("left out: \(point), \(what): \(error.message)")
            return nil
        }
    }

    /// Bad input, or memory that is not there.
    private static func isRefusal(_ error: PerseusError) -> Bool {
        error.kind == .badInput
            || error.kind == .environment && error.reason.hasPrefix("cuMemAlloc ")
    }

    private func singleRank(
        _ loaded: DeviceBenchModel, tokens: Int
    ) throws -> DeviceSingleRank {
        let workload = try loaded.workload(tokens: tokens, ranks: 1)
        let setup = try loaded.setup(.perseusPlus, Profile.named("ideal")!, workload.geometry)
        let burst = try loaded.burst(workload, setup, warm: 2, count: 5)
        return DeviceSingleRank(
            layer: BenchmarkStatistics(samples: burst.layer).median,
            multiply: BenchmarkStatistics(samples: burst.multiply).median)
    }

    /// The rows of one point: schemes by turns, so that drift falls on all of them alike.
    private func rows(
        _ loaded: DeviceBenchModel, tokens: Int, ranks: Int, _ profile: Profile,
        _ single: DeviceSingleRank?, point: String
    ) throws -> [DeviceLayerResultRow] {
        let workload = try loaded.workload(
            tokens: tokens, ranks: ranks, ranksPerNode: options.ranksPerNode)
        let setups = try honoured(loaded, profile, workload.geometry)
        // Ranks that share a GPU and wait for NICs are a few times slower than one rank that does not.
        let length = BurstLength(
            layerNanoseconds: 3 * (single?.layer ?? options.burstNanoseconds),
            aim: options.burstNanoseconds)
        var samples: [[Double]] = Array(repeating: [], count: setups.count)
        for repetition in 0..<options.repetitions {
            for turn in setups.indices {
                let index = (turn + repetition) % setups.count
                samples[index] += try layers(
                    loaded, workload, setups[index], count: min(10, length.count), point: point)
            }
        }
        var rows: [DeviceLayerResultRow] = []
        for (setup, samples) in zip(setups, samples) where !samples.isEmpty {
            rows.append(row(workload, tokens: tokens, profile, setup, samples))
        }
        let coupled = rows.first { $0.scheme == Scheme.coupled.rawValue }
        for index in rows.indices {
            rows[index].relate(coupled: coupled?.layerNanoseconds.median, single: single)
        }
        return rows
    }

    /// A layer that does not end takes only its own scheme's samples along.
    private func layers(
        _ loaded: DeviceBenchModel, _ workload: DeviceWorkload, _ setup: SchemeSetup, count: Int,
        point: String
    ) throws -> [Double] {
        do {
            return try loaded.burst(workload, setup, warm: 1, count: count).layer
        } catch let error as PerseusError where error.kind == .deadline {
            report.failure = report.failure ?? error
            report.notes.append("failed: \(point): \(error.message)")
            return []
        }
    }

    /// The schemes that the fabric and the device can carry; the others are told once.
    private func honoured(
        _ loaded: DeviceBenchModel, _ profile: Profile, _ geometry: LayerGeometry
    ) throws -> [SchemeSetup] {
        var setups: [SchemeSetup] = []
        for scheme in options.schemes {
            do {
                setups.append(try loaded.setup(scheme, profile, geometry))
            } catch let error as PerseusError where error.kind == .badInput {
                if told.insert(error.message).inserted {
                    report.notes.append("left out: \(error.message)")
                }
            }
        }
        return setups
    }

    private func row(
        _ workload: DeviceWorkload, tokens: Int, _ profile: Profile, _ setup: SchemeSetup,
        _ samples: [Double]
    ) -> DeviceLayerResultRow {
        let geometry = workload.geometry
        return DeviceLayerResultRow(
            model: geometry.model.name, tokens: tokens, ranks: geometry.rankCount,
            nodes: geometry.nodeCount, profile: profile.name, scheme: setup.scheme.rawValue,
            ordering: setup.ordering.rawValue, rounds: geometry.roundCount,
            layerNanoseconds: DeviceLayerTimes(samples),
            paperRatio: PaperRatio(
                model: geometry.model.name, profile: profile.name, scheme: setup.scheme,
                nodes: geometry.nodeCount))
    }
}
