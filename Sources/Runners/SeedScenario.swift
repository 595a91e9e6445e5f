// A random layer on a random fabric with random faults, all drawn from one seed: what `simulate seeds` runs.

import PerseusExpertKernels
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC
import PerseusTransport

/// One scenario in the manner of swarm testing: every dimension that could matter is drawn, so that combinations
/// nobody thought of are run.
public struct SeedScenario: Sendable {
    public let seed: UInt64
    public let model: MoEModel
    public let ranks: Int
    public let ranksPerNode: Int
    public let tokensPerRank: [Int]
    public let scheme: Scheme
    public let settings: RunSettings
    /// Bytes of one rank's data region: small ones make several rounds.
    public let heapByteLimit: UInt64
    /// Whether a rank dies, so that the layer must fail in bounded time instead of finishing.
    public var hasKill: Bool { !settings.faults.kills.isEmpty }

    public init(seed: UInt64) {
        var random = SeededRandom(seed: seed, stream: 0x5EED)
        self.seed = seed
        model = Self.drawModel(&random)
        ranks = 1 + random.next(below: 8)
        ranksPerNode = random.chance(0.3) ? 1 + random.next(below: 3) : 1
        let most = random.chance(0.2) ? 200 : 24
        tokensPerRank = (0..<ranks).map { _ in
            random.chance(0.15) ? 0 : random.next(below: most)
        }
        var settings = RunSettings(profile: Self.drawProfile(&random))
        scheme = Scheme.allCases[random.next(below: Scheme.allCases.count)]
        settings.poisons = true
        settings.options.seed = seed
        settings.options.proxyThreads = 1 + random.next(below: 3)
        if random.chance(0.3) { settings.options.groupSize = 1 + random.next(below: 12) }
        if random.chance(0.3) { settings.options.combineGroupSize = 1 + random.next(below: 12) }
        settings.options.ordering = Self.drawOrdering(&random, settings.profile, scheme)
        settings.faults = FaultPlan.random(seed: random.next(), rankCount: ranks)
        if ranks > 1 && random.chance(0.05) {
            settings.faults.kills = [
                .init(rank: random.next(below: ranks), at: UInt64(random.next(below: 400_000)))
            ]
        }
        self.settings = settings
        let perToken = UInt64(4 * ranks * model.topK * model.hidden * 2 + 4096)
        heapByteLimit = random.chance(0.4) ? perToken * UInt64(1 + random.next(below: 12)) : .max
    }

    private static func drawModel(_ random: inout SeededRandom) -> MoEModel {
        let experts = [1, 2, 3, 5, 8, 16, 24][random.next(below: 7)]
        var router: RouterKind
        var topK = 1 + random.next(below: min(experts, 8))
        switch random.next(below: 4) {
        case 0: router = .softmaxTopK(renormalizes: random.chance(0.5))
        case 1: router = .topKSoftmax
        case 2 where experts % 4 == 0 && experts >= 8:
            router = .groupedSigmoid(
                .init(groupCount: 4, keptGroupCount: 2, renormalizes: true, scalingFactor: 2.5))
            topK = min(topK, experts / 2)
        default:
            router = .inputSigmoid
            topK = 1
        }
        return MoEModel(
            name: "random", hidden: 8 * (1 + random.next(below: 8)),
            intermediate: 8 * (1 + random.next(below: 5)), expertCount: experts, topK: topK,
            router: router,
            activation: random.chance(0.3) ? .clampedSwiGLU(alpha: 1.702, limit: 7) : .silu,
            hasBias: random.chance(0.3), sharedIntermediate: random.chance(0.3) ? 16 : 0)
    }

    /// The fabrics that are drawn from. Another one would make another scenario of every seed.
    private static let fabrics = [
        "perlmutter-slingshot11", "h100-connectx7", "roce-adaptive", "efa-srd", "ideal",
    ].compactMap(Profile.named)

    /// A built-in fabric with some of its limits made tight.
    private static func drawProfile(_ random: inout SeededRandom) -> Profile {
        var profile = fabrics[random.next(below: fabrics.count)]
        profile.fabric.queueDepth = [2, 4, 16, 1024][random.next(below: 4)]
        profile.fabric.inlineCapacityByteCount = [8, 24, 64, 256][random.next(below: 4)]
        profile.fabric.fenceScope = FenceScope.allCases[random.next(below: 3)]
        profile.fabric.packetByteCount = [16, 64, 4096][random.next(below: 3)]
        profile.vanillaQueuePairs = 1 + random.next(below: 4)
        profile.queuePairLimit = 1 + random.next(below: 8)
        profile.layerNanoseconds = 0
        return profile
    }

    /// Half of the time the scheme's own ordering, where the fabric honours it; otherwise any that it honours.
    private static func drawOrdering(
        _ random: inout SeededRandom, _ profile: Profile, _ scheme: Scheme
    ) -> SignalOrdering? {
        func isHonoured(_ ordering: SignalOrdering) -> Bool {
            ordering.proof(on: profile.nic(for: ordering).guarantees).isProven
                && !(scheme == .collective && ordering == .countedImmediate)
        }
        let choices = SignalOrdering.allCases.filter(isHonoured)
        let own = scheme.definingOrdering(profile: profile)
        if random.chance(0.5), own.map(isHonoured) ?? true { return nil }
        return choices[random.next(below: choices.count)]
    }

    public var description: String {
        let faults = settings.faults.isEmpty ? "no faults" : "\(settings.faults)"
        return
            "\(ranks) ranks (\(ranksPerNode) per node), tokens \(tokensPerRank), \(model.expertCount) experts"
            + " top-\(model.topK), hidden \(model.hidden), scheme \(scheme.rawValue), ordering"
            + " \(settings.options.ordering?.rawValue ?? "own"), fabric \(settings.profile.name), \(faults)"
    }

    public var replayLine: String { Self.replayLine(seed: seed) }

    /// What to type to see one scenario again.
    public static func replayLine(seed: UInt64) -> String {
        "replay: swift run -c release perseus simulate seeds --seed 0x\(String(seed, radix: 16)) --count 1"
    }

    // MARK: Running

    /// What a scenario found; nil problems mean that every property held.
    public struct Verdict: Sendable {
        public var problem: String?
        /// Signals whose data was compared.
        public var checkedSignals = 0
        public var steps = 0
    }

    /// Runs the scenario and compares it with the same layer on one rank.
    public func run() throws -> Verdict {
        let weights = RandomWeights(model: model, seed: seed).makeLayerWeights()
        let compute = LayerCompute(
            experts: try PackedExperts(
                source: weights.experts, activation: model.activation, threads: 1),
            shared: try weights.shared.map {
                try PackedExperts(source: $0, activation: .silu, threads: 1)
            })
        let tokens = tokensPerRank.reduce(0, +)
        let hidden = BFloat16Buffer(count: tokens * model.hidden) {
            RandomWeights(model: model, seed: seed).fillHidden($0, tokens: 0..<tokens)
        }
        let input = JobInput(
            hidden: hidden.elements,
            routing: .router(Router(model: model, parameters: weights.router)))
        let run = try runScheme(
            scheme,
            try workload(
                ranks: ranks, tokensPerRank, heapByteLimit, input: input, compute: compute),
            settings)
        let alone = try runScheme(
            .coupled, try workload(ranks: 1, [tokens], .max, input: input, compute: compute),
            // One rank sends nothing: any fabric does.
            RunSettings(profile: Self.fabrics[0]))
        return withExtendedLifetime(hidden) { judge(run, alone: alone) }
    }

    private func workload(
        ranks: Int, _ tokens: [Int], _ limit: UInt64, input: JobInput, compute: LayerCompute
    ) throws -> LayerWorkload {
        LayerWorkload(
            geometry: try LayerGeometry(
                model: model, rankCount: ranks, ranksPerNode: ranks == 1 ? 1 : ranksPerNode,
                tokensPerRank: tokens, heapByteLimit: limit), input: input, compute: compute)
    }

    /// Safety first: no signal before its data, ever. Then liveness: the layer ends, or fails where a rank died.
    private func judge(_ run: SchemeRun, alone: SchemeRun) -> Verdict {
        var verdict = Verdict(
            checkedSignals: run.checker?.checkCount ?? 0, steps: run.outcome.stepCount)
        if let violation = run.checker?.violations.first {
            verdict.problem = "order: \(violation)"
        } else if let failure = run.outcome.failure {
            if !hasKill { verdict.problem = "liveness: \(failure)" }
        } else if !run.hasSameOutput(as: alone) {
            verdict.problem = "output: differs from the layer on one rank"
        }
        return verdict
    }
}
