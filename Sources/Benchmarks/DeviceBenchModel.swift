// A model on a GPU for benchmarks: its kernel, its weights, tokens and their routing, made once for all points.

import CPerseusABI
import CPerseusShims
import Foundation
import PerseusDevice
import PerseusDeviceRuns
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusRunners
import PerseusSoftNIC

/// Times of the layers of one launch, nanoseconds.
struct DeviceBurst {
    /// [layer] from the first rank's begin to the last rank's end.
    var layer: [Double] = []
    /// [layer] until the plans were made.
    var plan: [Double] = []
    /// [layer] from the plan to the last expert's last row.
    var multiply: [Double] = []
}

/// Everything that the points of one model share.
final class DeviceBenchModel {
    let model: MoEModel
    let device: CUDADevice
    let kernel: LayerKernel
    let weights: DeviceWeights
    private let seed: UInt64
    private let hidden: BFloat16Buffer
    /// [token][topK]
    private let ids: [Int32]

    /// - Parameter tokenCount: most tokens of a point, all ranks together.
    init(_ model: MoEModel, device: CUDADevice, tokenCount: Int, seed: UInt64) throws {
        self.model = model
        self.device = device
        self.seed = seed
        kernel = try LayerKernel(model, device: device)
        let random = RandomWeights(model: model, seed: seed)
        weights = try DeviceWeights(
            random.makeLayerWeights(), device: device,
            threads: ProcessInfo.processInfo.activeProcessorCount)
        hidden = BFloat16Buffer(count: tokenCount * model.hidden) { elements in
            nonisolated(unsafe) let elements = elements
            let batch = 256
            DispatchQueue.concurrentPerform(iterations: (tokenCount + batch - 1) / batch) { index in
                let tokens = index * batch..<min((index + 1) * batch, tokenCount)
                random.fillHidden(elements + tokens.lowerBound * model.hidden, tokens: tokens)
            }
        }
        let routing = SyntheticRouting(
            expertCount: model.expertCount, topK: model.topK, seed: seed)
        ids = [Int32](unsafeUninitializedCapacity: tokenCount * model.topK) { buffer, count in
            count = tokenCount * model.topK
            guard count > 0 else { return }
            routing.route(tokens: 0..<tokenCount, ids: buffer.baseAddress!, weights: nil)
        }
    }

    /// Experts that the first `tokens` tokens visit.
    func visitedExpertCount(tokens: Int) -> Int { Set(ids.prefix(tokens * model.topK)).count }

    /// A layer of `tokens` tokens on each of `ranks` ranks, as large as fits beside the weights.
    ///
    /// - Throws: `badInput` when it does not.
    func workload(
        tokens: Int, ranks: Int, ranksPerNode: Int = 1, computesInPlace: Bool = true
    ) throws -> DeviceWorkload {
        var fit = DeviceGeometry()
        fit.ranksPerNode = ranksPerNode
        fit.computesInPlace = computesInPlace
        let geometry: LayerGeometry
        do {
            geometry = try fit.layer(
                model, tokensPerRank: Array(repeating: tokens, count: ranks),
                available: try device.freeMemory())
        } catch let error as PerseusError where error.kind == .badInput {
            throw PerseusError(
                .badInput,
                "does not fit the \(device.totalMemoryBytes >> 30) GiB of \(device.name) beside"
                    + " \(weights.byteCount >> 30) GiB of weights")
        }
        let count = tokens * ranks * model.topK
        return DeviceWorkload(
            weights: weights, geometry: geometry, hidden: hidden.elements,
            ids: Array(ids.prefix(count)),
            scores: Array(repeating: 1 / Float(model.topK), count: count))
    }

    /// - Throws: `badInput` for a scheme that the device or the fabric cannot honour.
    func setup(
        _ scheme: Scheme, _ profile: Profile, _ geometry: LayerGeometry
    ) throws -> SchemeSetup {
        var options = SchemeOptions()
        options.deadlineNanoseconds = 60_000_000_000
        let setup = try SchemeSetup(scheme, profile: profile, geometry: geometry, options: options)
        try DeviceLayer.requireSupported(setup)
        return setup
    }

    /// One launch of `warm + count` layers back to back after an idle moment; the first ones are not reported.
    ///
    /// - Parameter isMultiplyOnly: nothing is packed and combined; random rows are multiplied.
    /// - Throws: `deadline` for a layer that does not end.
    func burst(
        _ workload: DeviceWorkload, _ setup: SchemeSetup, warm: Int, count: Int,
        isMultiplyOnly: Bool = false
    ) throws -> DeviceBurst {
        var workload = workload
        workload.layerCount = warm + count
        let layer = try DeviceLayer(
            workload, setup: setup,
            grid: DeviceGrid(device: device, geometry: workload.geometry), faults: FaultPlan(),
            device: device)
        if isMultiplyOnly { try layer.fillRows(seed: seed) }
        perseus_sleep_nanoseconds(DeviceRates.idleNanoseconds)
        let stages =
            isMultiplyOnly ? PERSEUS_DEVICE_STAGE_MULTIPLY : PERSEUS_DEVICE_STAGE_ALL
        let result = try layer.run(kernel, stages: UInt32(stages.rawValue))
        if let failure = result.failure {
            throw PerseusError(
                .deadline, "\(model.name), scheme \(setup.scheme.rawValue): \(failure)")
        }
        var burst = DeviceBurst()
        burst.layer = result.layerNanoseconds.dropFirst(warm).map { Double($0) }
        burst.plan = result.planNanoseconds.dropFirst(warm).map { Double($0) }
        burst.multiply = zip(result.multiplyNanoseconds, result.planNanoseconds).dropFirst(warm)
            .map { Double($0 &- $1) }
        return burst
    }
}
