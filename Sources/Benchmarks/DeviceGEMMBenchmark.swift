// `bench gemm --device cuda`: the experts of published models, multiplied by the megakernel.

import CPerseusShims
import PerseusDevice
import PerseusDeviceRuns
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusRunners

/// What `bench gemm --device cuda` may be asked to vary.
public struct DeviceGEMMOptions: Sendable {
    /// Names of presets.
    public var models = MoEModel.presets.map(\.name)
    /// Tokens of the layer, S.
    public var tokenCounts = [128, 1024, 4096, 16384]
    /// Experts of DeepSeek-V3 that are kept.
    public var deepSeekExpertCount = 32
    /// Launches of every measurement.
    public var repetitions = 3
    /// Aim of each launch, warm layers left out.
    public var burstNanoseconds: Double = 40_000_000
    public var seed: UInt64 = 1

    public init() {}

    /// One model, few tokens: proves that everything runs, measures little.
    public mutating func makeQuick() {
        models = ["qwen3-30b"]
        tokenCounts = [128, 1024]
        repetitions = 1
        burstNanoseconds = 4_000_000
    }

    /// The model as it is measured: routed experts alone, as many as one rank of an expert-parallel group holds.
    func shape(_ name: String) throws -> MoEModel {
        guard var model = MoEModel.preset(name) else {
            throw PerseusError(.badInput, "unknown model \(name)")
        }
        model.sharedIntermediate = 0
        if model == .deepSeekV3WithoutShared {
            model.expertCount = deepSeekExpertCount
            model.name += "/\(deepSeekExpertCount)"
        }
        return model
    }
}

extension MoEModel {
    fileprivate static var deepSeekV3WithoutShared: MoEModel {
        var model = MoEModel.deepSeekV3
        model.sharedIntermediate = 0
        return model
    }

    /// Of `rows` rows through both multiplications of an expert.
    func operationCount(rows: Int) -> Double {
        6 * Double(rows) * Double(hidden) * Double(intermediate)
    }

    /// Of the weights of `experts` experts.
    func weightByteCount(experts: Int) -> Double {
        6 * Double(experts) * Double(hidden) * Double(intermediate)
    }
}

/// How many layers a launch has.
struct BurstLength: Equatable {
    var warm: Int
    var count: Int

    /// As many as fill `aim`, 6 at least and 30 at most; a third of that, 2 to 10, to warm up.
    init(layerNanoseconds: Double, aim: Double) {
        count = max(6, min(30, Int(aim / max(1, layerNanoseconds))))
        warm = max(2, min(10, count / 3))
    }
}

/// Measures the experts' multiplication alone and the whole layer on one rank, for each model and number of tokens.
///
/// - Throws: `environment` without a usable GPU; `badInput` for options out of range. What goes wrong later is the
///   report's `failure`, and the results before it are there.
public func runDeviceGEMMBenchmark(
    _ options: DeviceGEMMOptions = .init(), progress: (String) -> Void = { _ in }
) throws -> BenchmarkReport {
    guard options.tokenCounts.allSatisfy({ (1...1 << 20).contains($0) }), options.repetitions >= 1,
        (8...256).contains(options.deepSeekExpertCount)
    else {
        throw PerseusError(
            .badInput,
            "bench gemm --device cuda needs 1 to \(1 << 20) tokens, 8 to 256 experts of deepseek-v3"
                + " and a repetition")
    }
    let shapes = try options.models.map(options.shape)
    let device = try CUDADevice.open()
    try device.requireHopper()
    var bench = DeviceGEMMBench(options: options, device: device)
    for shape in shapes {
        do {
            try bench.measure(shape, progress: progress)
        } catch {
            // What has been measured is kept.
            bench.failure = error as? PerseusError ?? PerseusError(.environment, "\(error)")
            break
        }
    }
    return bench.report
}

private struct DeviceGEMMBench {
    let options: DeviceGEMMOptions
    let device: CUDADevice
    var failure: PerseusError?
    private var results: [BenchmarkResult] = []
    private var notes: [String] = []

    init(options: DeviceGEMMOptions, device: CUDADevice) {
        self.options = options
        self.device = device
    }

    mutating func measure(_ model: MoEModel, progress: (String) -> Void) throws {
        progress("\(model.name): largest product and copy")
        let rates = try DeviceRates.measure(device)
        note(rates, before: model)
        progress("\(model.name): weights")
        let loaded = try DeviceBenchModel(
            model, device: device, tokenCount: options.tokenCounts.max() ?? 1, seed: options.seed)
        for tokens in options.tokenCounts {
            progress("\(model.name): \(tokens) tokens")
            do {
                results += try point(loaded, tokens: tokens, rates)
            } catch let error as PerseusError where error.kind == .badInput {
                notes.append("left out: \(model.name), S \(tokens): \(error.message)")
            }
        }
    }

    private mutating func note(_ rates: DeviceRates, before model: MoEModel) {
        let copy = "a copy of 2 GiB reads and writes \(Int(rates.copy.rounded())) GB/s"
        if let product = rates.product {
            let rate = (product / 100).rounded() / 10
            notes.append(
                "before \(model.name): bf16 product of 8192 x 8192 by \(rates.productSource)"
                    + " \(rate) TFLOP/s; \(copy)")
        } else {
            notes.append(
                "before \(model.name): \(copy); no percentage and no floor: \(rates.productSource)")
        }
    }

    /// Two rows: the multiplication alone, then the layer.
    private func point(
        _ loaded: DeviceBenchModel, tokens: Int, _ rates: DeviceRates
    ) throws -> [BenchmarkResult] {
        // In the place of its rows every layer would multiply the results of the one before.
        let experts = try loaded.workload(tokens: tokens, ranks: 1, computesInPlace: false)
        guard experts.geometry.roundCount == 1 else {
            throw PerseusError(.badInput, "takes more than one round on \(device.name)")
        }
        let alone = try bursts(loaded, experts, isMultiplyOnly: true)
        let whole = try bursts(
            loaded, loaded.workload(tokens: tokens, ranks: 1), isMultiplyOnly: false)
        return [
            result(
                loaded, tokens: tokens, rates, "experts", nanoseconds: alone.multiply,
                plan: alone.plan),
            result(
                loaded, tokens: tokens, rates, "layer", nanoseconds: whole.layer,
                plan: whole.plan),
        ]
    }

    /// A short launch sets the length of the others.
    private func bursts(
        _ loaded: DeviceBenchModel, _ workload: DeviceWorkload, isMultiplyOnly: Bool
    ) throws -> DeviceBurst {
        // The schemes differ in what leaves a rank; here nothing does.
        let setup = try loaded.setup(.perseusPlus, Profile.named("ideal")!, workload.geometry)
        func burst(warm: Int, count: Int) throws -> DeviceBurst {
            try loaded.burst(
                workload, setup, warm: warm, count: count, isMultiplyOnly: isMultiplyOnly)
        }
        let trial = try burst(warm: 1, count: 2)
        let length = BurstLength(
            layerNanoseconds: trial.layer.min() ?? 1, aim: options.burstNanoseconds)
        var all = DeviceBurst()
        for _ in 0..<options.repetitions {
            let one = try burst(warm: length.warm, count: length.count)
            all.layer += one.layer
            all.plan += one.plan
            all.multiply += one.multiply
        }
        return all
    }

    private func result(
        _ loaded: DeviceBenchModel, tokens: Int, _ rates: DeviceRates, _ part: String,
        nanoseconds: [Double], plan: [Double]
    ) -> BenchmarkResult {
        let model = loaded.model
        let rows = tokens * model.topK
        let visited = loaded.visitedExpertCount(tokens: tokens)
        let operations = model.operationCount(rows: rows)
        let bytes = model.weightByteCount(experts: visited)
        let statistics = BenchmarkStatistics(samples: nanoseconds)
        var parameters: [String: BenchmarkParameter] = [
            "device": .text(device.name), "model": .text(model.name), "tokens": .integer(tokens),
            "part": .text(part), "rows": .integer(rows), "hidden": .integer(model.hidden),
            "intermediate": .integer(model.intermediate), "experts": .integer(model.expertCount),
            "experts_visited": .integer(visited), "top_k": .integer(model.topK),
            "operations": .real(operations), "weight_bytes": .real(bytes),
            "nanoseconds": .real(statistics.median), "minimum": .real(statistics.minimum),
            "maximum": .real(nanoseconds.max() ?? 0),
            "plan_nanoseconds": .real(BenchmarkStatistics(samples: plan).median),
            "copy_bytes_per_second": .real(rates.copy * 1e9),
        ]
        // Operations per nanosecond are GFLOP/s.
        if let product = rates.product { parameters["peak"] = .real(product / 1000) }
        let floor = rates.floor(operations: operations, bytes: bytes)
        if let floor { parameters["floor_nanoseconds"] = .real(floor) }
        var result = BenchmarkResult(
            name: "\(model.name), S \(tokens), \(part)", parameters: parameters, unit: "TFLOP/s",
            amount: operations / 1000, nanoseconds: statistics,
            baseline: floor.map {
                BenchmarkBaseline(name: "floor", value: operations / 1000 / $0)
            },
            checksum: UInt64(rows))
        result.value = result.median
        result.ratio = result.baseline.map { result.value / $0.value }
        return result
    }

    var report: BenchmarkReport {
        var report = BenchmarkReport(
            command: "bench gemm --device cuda", results: results,
            notes: notes + [
                "experts: random rows of uniform routing through gate, up, activation and down of one"
                    + " rank's experts; sorting left out",
                "layer: routing given; sort, pack, experts and combine, no shared expert; layers lie back to"
                    + " back in one launch, after \(DeviceRates.idleNanoseconds / 1_000_000) ms of idling",
                "floor: all products at the largest product's rate, or the visited experts' weights at the"
                    + " copy's rate, whichever is longer",
            ],
            valueMeaning: "median of all layers of \(options.repetitions) launches; time: its"
                + " duration")
        report.failure = failure
        return report
    }
}
