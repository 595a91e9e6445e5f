// A layer on a GPU: the device, the weights on it, and what fits beside them.

import Foundation
import PerseusCommandLine
import PerseusDevice
import PerseusDeviceRuns
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusRunners
import PerseusSoftNIC

/// Everything that the schemes of one `perseus run --device cuda` share.
struct DeviceSetup {
    let device: CUDADevice
    private(set) var workload: DeviceWorkload
    private let repeats: Int
    private let kernel: LayerKernel
    private let grid: DeviceGrid

    init(
        _ weights: LayerWeights, _ options: RunOptions, tokensPerRank: [Int],
        hidden: BFloat16Buffer,
        routing: RoutingTable?
    ) throws {
        device = try CUDADevice.open()
        try device.requireHopper()
        kernel = try LayerKernel(weights.model, device: device)
        let threads = ProcessInfo.processInfo.activeProcessorCount
        let deviceWeights = try DeviceWeights(weights, device: device, threads: threads)
        var fit = DeviceGeometry()
        fit.ranksPerNode = options.ranksPerNode
        fit.heapByteLimit = options.heapLimitByteCount ?? .max
        let geometry = try fit.layer(
            weights.model, tokensPerRank: tokensPerRank, available: try device.freeMemory())
        grid = try DeviceGrid(device: device, geometry: geometry)
        let table =
            routing.map { (ids: $0.ids, scores: $0.weights) }
            ?? Self.route(weights, hidden, threads: threads)
        workload = DeviceWorkload(
            weights: deviceWeights, geometry: geometry, hidden: hidden.elements, ids: table.ids,
            scores: table.scores)
        workload.layerCount = options.layerCount
        repeats = options.repeatCount
    }

    /// For a person: what is real and what is not.
    var sentence: String {
        let ranks = workload.geometry.rankCount
        let shares =
            ranks == 1
            ? "one rank has the whole GPU"
            : "\(ranks) ranks share it, \(grid.blocksPerRank) blocks each"
        let network =
            grid.copyBlocksPerRank > 0
            ? "; NICs are EMULATED, a block of each moves bytes at modelled times"
            : ""
        return
            "time is MEASURED on \(device.name), \(shares)\(network); routing is made before the layer"
    }

    private static func route(
        _ weights: LayerWeights, _ hidden: BFloat16Buffer, threads: Int
    ) -> (ids: [Int32], scores: [Float]) {
        let model = weights.model
        let router = Router(model: model, parameters: weights.router)
        let tokens = hidden.count / model.hidden
        var ids = [Int32](repeating: 0, count: tokens * model.topK)
        var scores = [Float](repeating: 0, count: tokens * model.topK)
        ids.withUnsafeMutableBufferPointer { ids in
            scores.withUnsafeMutableBufferPointer { scores in
                nonisolated(unsafe) let (ids, scores) = (ids.baseAddress!, scores.baseAddress!)
                let batch = 64
                DispatchQueue.concurrentPerform(iterations: (tokens + batch - 1) / batch) { index in
                    var scratch = RouterScratch(model: model)
                    let first = index * batch
                    router.route(
                        hidden: hidden.elements + first * model.hidden,
                        tokens: min(batch, tokens - first), ids: ids + first * model.topK,
                        weights: scores + first * model.topK, scratch: &scratch)
                }
            }
        }
        return (ids, scores)
    }

    /// Runs the layer under `scheme`, as often as asked for.
    ///
    /// - Throws: `wrongResult` when a repetition's output differs from the first one's.
    func run(_ scheme: Scheme, _ settings: RunSettings) throws -> DeviceLayerRun {
        var first: DeviceLayerRun?
        for index in 0..<repeats {
            let run = try launch(scheme, settings, index: index)
            guard let reference = first else {
                first = run
                if run.outcome.failure != nil { break }
                continue
            }
            if run.outcome.failure != nil { return run }
            guard FirstOutput(reference).isBitwiseEqual(to: run) else {
                throw PerseusError(
                    .wrongResult,
                    "scheme \(scheme.rawValue): output of launch \(index + 1) of \(repeats) differs from"
                        + " the first one's; replay with --seed \(settings.options.seed) --repeats"
                        + " \(index + 1)")
            }
        }
        return first!
    }

    private func launch(
        _ scheme: Scheme, _ settings: RunSettings, index: Int
    ) throws -> DeviceLayerRun {
        let setup = try SchemeSetup(
            scheme, profile: settings.profile, geometry: workload.geometry,
            options: settings.options)
        var faults = settings.faults
        if index > 0 {
            faults.seed &+= UInt64(index)
            // Other orders of arrival: up to 20 us on each message.
            faults.jitterNanoseconds = max(faults.jitterNanoseconds, 20_000)
        }
        let layer = try DeviceLayer(
            workload, setup: setup, grid: grid, faults: faults, device: device)
        let result = try layer.run(kernel)
        var outcome = RunOutcome()
        outcome.counters = result.counters
        outcome.failure = result.failure
        outcome.layerNanoseconds = median(result.layerNanoseconds)
        outcome.computeNanoseconds = median(result.multiplyNanoseconds)
        return DeviceLayerRun(
            setup: setup, outcome: outcome, workload: workload,
            values: result.failure == nil ? try layer.readOutput() : [],
            times: DeviceTimes(
                plan: median(result.planNanoseconds), multiply: outcome.computeNanoseconds,
                layer: outcome.layerNanoseconds, best: result.layerNanoseconds.min() ?? 0))
    }

    private func median(_ values: [UInt64]) -> UInt64 {
        values.isEmpty ? 0 : values.sorted()[values.count / 2]
    }
}

/// Where the time of a layer on a device went, nanoseconds from its begin; medians over its layers.
struct DeviceTimes {
    /// Until the last rank's plan was made.
    var plan: UInt64
    /// Until the last expert task was done.
    var multiply: UInt64
    var layer: UInt64
    /// The shortest layer.
    var best: UInt64
}

/// A layer that ran on a device.
final class DeviceLayerRun: LayerRun {
    let setup: SchemeSetup
    let outcome: RunOutcome
    private let workload: DeviceWorkload
    let output: UnsafeBufferPointer<Float>
    let times: DeviceTimes

    init(
        setup: SchemeSetup, outcome: RunOutcome, workload: DeviceWorkload, values: [Float],
        times: DeviceTimes
    ) {
        self.times = times
        self.setup = setup
        self.outcome = outcome
        self.workload = workload
        let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: max(1, values.count))
        _ = copy.initialize(from: values)
        output = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(copy)[0..<values.count])
        memory = copy
    }

    private let memory: UnsafeMutableBufferPointer<Float>
    deinit { memory.deallocate() }

    var geometry: LayerGeometry { workload.geometry }
    var hasOutput: Bool { true }
    var routing: (ids: [Int32], weights: [Float]) { (workload.ids, workload.scores) }
    var order: RunCommand.OrderSummary? { nil }
}
