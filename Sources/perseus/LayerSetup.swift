// From options to a workload: model, weights, tokens, rounds.

import Foundation
import PerseusCheckpoints
import PerseusCommandLine
import PerseusDeviceRuns
import PerseusExpertKernels
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusRunners
import PerseusTransport

/// What is known of a layer before anything big is loaded: where weights are, tokens, sizes.
struct LayerPlan {
    let options: RunOptions
    let weights: LayerWeights
    let input: LayerInput?
    /// As far as the machine's memory does not bound it.
    let geometry: LayerGeometry
    var isModelled: Bool { options.compute == "modelled" }

    /// - Parameter check: refuses what the geometry rules out.
    init(_ options: RunOptions, check: (LayerGeometry) throws -> Void) throws {
        self.options = options
        weights = try LayerSetup.loadWeights(options)
        let model = weights.model
        input = try options.inputPath.map { try LayerInput(path: $0, model: model) }
        geometry = try LayerSetup.geometry(
            options, model,
            try LayerSetup.tokensPerRank(options, inputCount: input?.tokenCount),
            residentByteLimit: .max)
        try check(geometry)
    }

    /// - Errors: `environment` when this machine has too little memory for the layer.
    func requireMemory() throws(PerseusError) {
        try MemoryNeed(
            geometry, proxyThreads: options.proxyThreadCount, isModelled: isModelled
        ).require(available: availableMemory())
    }
}

/// Everything that the schemes of one `perseus run` share.
struct LayerSetup {
    let weights: LayerWeights
    let workload: LayerWorkload
    /// Keeps the hidden states alive; nil in a run with modelled compute.
    let hidden: BFloat16Buffer?
    /// The caller's routing, for the reference.
    let routing: RoutingTable?
    let weightNanoseconds: UInt64
    /// The GPU that runs the layer; nil: this machine's processors do.
    let device: DeviceSetup?
    var tokenCount: Int { workload.geometry.tokensPerRank.reduce(0, +) }

    /// - Parameter group: runs the other ranks; this process then has the experts of its own.
    init(_ plan: LayerPlan, group: (any Rendezvous)? = nil) throws {
        let (options, weights, input) = (plan.options, plan.weights, plan.input)
        let model = weights.model
        let tokensPerRank = plan.geometry.tokensPerRank
        if options.device == "cuda" {
            let begin = DispatchTime.now().uptimeNanoseconds
            let hidden = input?.hidden ?? Self.randomHidden(options, model, tokensPerRank)
            let device = try DeviceSetup(
                weights, options, tokensPerRank: tokensPerRank, hidden: hidden,
                routing: input?.routing)
            weightNanoseconds = DispatchTime.now().uptimeNanoseconds - begin
            self.device = device
            self.hidden = hidden
            self.weights = weights
            routing = input?.routing
            workload = LayerWorkload(
                geometry: device.workload.geometry,
                input: JobInput(
                    hidden: hidden.elements,
                    routing: Self.routing(options, weights, input?.routing)),
                compute: nil)
            return
        }
        device = nil
        if group == nil { try plan.requireMemory() }

        let begin = DispatchTime.now().uptimeNanoseconds
        let compute = plan.isModelled ? nil : try Self.pack(weights, plan.geometry, group)
        weightNanoseconds = DispatchTime.now().uptimeNanoseconds - begin
        hidden =
            plan.isModelled
            ? nil : input?.hidden ?? Self.randomHidden(options, model, tokensPerRank)
        routing = input?.routing
        self.weights = weights
        workload = LayerWorkload(
            geometry: plan.isModelled
                ? plan.geometry
                : try Self.geometry(
                    options, model, tokensPerRank,
                    residentByteLimit: try Self.residentByteLimit(group)),
            input: JobInput(
                hidden: hidden?.elements, routing: Self.routing(options, weights, input?.routing)),
            compute: compute)
    }

    /// A quarter of what is left; of a group, what the rank with the least says, so that all cut the same rounds.
    private static func residentByteLimit(_ group: (any Rendezvous)?) throws -> UInt64 {
        let own = UInt64(availableMemory() / 4)
        guard let group else { return own }
        var writer = ByteWriter()
        writer.append(own)
        var least = own
        for blob in try group.exchange(writer.bytes, step: "memory left") {
            var reader = ByteReader(blob)
            least = min(least, reader.integer(UInt64.self) ?? 0)
        }
        return least
    }

    /// Weights are packed before the arenas are sized: what they leave is what rounds must fit in.
    private static func pack(
        _ weights: LayerWeights, _ geometry: LayerGeometry, _ group: (any Rendezvous)?
    ) throws -> LayerCompute {
        let cores = max(
            1, ProcessInfo.processInfo.activeProcessorCount / (group?.rankCount ?? 1))
        return LayerCompute(
            experts: try PackedExperts(
                source: weights.experts, activation: weights.model.activation, threads: cores,
                experts: group.map { geometry.placement.range(of: $0.rank) }),
            shared: try weights.shared.map {
                try PackedExperts(source: $0, activation: .silu, threads: cores)
            })
    }

    fileprivate static func geometry(
        _ options: RunOptions, _ model: MoEModel, _ tokensPerRank: [Int], residentByteLimit: UInt64
    ) throws -> LayerGeometry {
        guard options.rankCount < 1 << 14 else {
            throw PerseusError(.badInput, "--ranks: a command names at most 16383 destinations")
        }
        return try LayerGeometry(
            model: model, rankCount: options.rankCount, ranksPerNode: options.ranksPerNode,
            tokensPerRank: tokensPerRank,
            heapByteLimit: UInt64(options.heapLimitByteCount ?? Int.max),
            residentByteLimit: residentByteLimit)
    }

    fileprivate static func loadWeights(_ options: RunOptions) throws -> LayerWeights {
        let layer = options.layerIndex ?? 0
        switch options.layer {
        case .model(let name):
            guard let model = MoEModel.preset(name) else {
                throw PerseusError(.badInput, "--model: unknown model \(name)")
            }
            return RandomWeights(model: model, seed: options.seed).makeLayerWeights()
        case .files(let config, let files):
            return try checkpoint(
                config: config, store: TensorStore(path: files[0], files: files), layer: layer)
        case .directory(let path):
            return try checkpoint(
                config: path + "/config.json", store: TensorStore(path: path), layer: layer)
        }
    }

    private static func checkpoint(
        config: String, store: TensorStore, layer: Int
    ) throws -> LayerWeights {
        let configuration = try ModelConfiguration(path: config)
        if let count = configuration.layerCount, layer >= count {
            throw PerseusError(
                .badInput, "--layer-index \(layer): \(config) has layers 0 to \(count - 1)")
        }
        try configuration.model.validate()
        return try CheckpointWeights(store: store, model: configuration.model, layer: layer)
            .layerWeights
    }

    /// Tokens of an input are split over the ranks in order, as evenly as they go, unless counts are given.
    fileprivate static func tokensPerRank(_ options: RunOptions, inputCount: Int?) throws -> [Int] {
        let given = (0..<options.rankCount).map { options.tokens.count(ofRank: $0) }
        guard let inputCount else { return given }
        if options.tokensAreGiven {
            guard given.reduce(0, +) == inputCount else {
                throw PerseusError(
                    .badInput,
                    "--tokens asks for \(given.reduce(0, +)) tokens over \(options.rankCount) ranks,"
                        + " --input has \(inputCount)")
            }
            return given
        }
        return (0..<options.rankCount).map { rank in
            (rank + 1) * inputCount / options.rankCount - rank * inputCount / options.rankCount
        }
    }

    private static func randomHidden(
        _ options: RunOptions, _ model: MoEModel, _ tokensPerRank: [Int]
    ) -> BFloat16Buffer {
        let tokens = tokensPerRank.reduce(0, +)
        return BFloat16Buffer(count: tokens * model.hidden) {
            RandomWeights(model: model, seed: options.seed).fillHidden($0, tokens: 0..<tokens)
        }
    }

    private static func routing(
        _ options: RunOptions, _ weights: LayerWeights, _ given: RoutingTable?
    ) -> RoutingSource {
        if let given { return .external(given) }
        if options.compute == "modelled" {
            return .synthetic(
                SyntheticRouting(
                    expertCount: weights.model.expertCount, topK: weights.model.topK,
                    seed: options.seed, zipfExponent: options.zipfExponent ?? 0))
        }
        return .router(Router(model: weights.model, parameters: weights.router))
    }

    /// Tokens whose hidden state holds a NaN: their output is NaN, and only theirs.
    var tokensWithNaN: [Int] {
        guard let hidden else { return [] }
        let width = weights.model.hidden
        return (0..<tokenCount).filter { token in
            (0..<width).contains { hidden.elements[token * width + $0] & 0x7FFF > 0x7F80 }
        }
    }
}
