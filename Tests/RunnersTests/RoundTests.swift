// Rounds, epochs and shapes that do not divide: the same bits as one rank with one round.

import CPerseusABI
import PerseusCheckpoints
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import Testing

@Suite struct RoundTests {
    /// A heap that holds `tokens` tokens per rank and no more.
    private func limit(_ layer: FixtureLayer, ranks: Int, tokens: Int) throws -> UInt64 {
        try LayerGeometry(
            model: layer.weights.model, rankCount: ranks, ranksPerNode: 1,
            tokensPerRank: Array(repeating: tokens, count: ranks), heapByteLimit: .max
        ).layout.data_byte_count
    }

    @Test(arguments: Scheme.allCases)
    func aSmallHeapMeansRoundsAndTheSameBits(scheme: Scheme) throws {
        let layer = FixtureLayer.named("qwen3")
        let alone = try layer.alone()
        let workload = try layer.workload(
            ranks: 3, heapByteLimit: limit(layer, ranks: 3, tokens: 5))
        #expect(workload.geometry.roundCount == 8)
        for clock in [RunClock.virtual, .real(threads: 2)] {
            let run = try runScheme(
                scheme, workload, settings("perlmutter-slingshot11", clock: clock))
            #expect(run.outcome.failure == nil)
            #expect(run.hasSameOutput(as: alone), "\(scheme), \(clock)")
        }
    }

    @Test(arguments: SignalOrdering.allCases.filter { $0 != .none })
    func everyOrderingKeepsRoundsApart(ordering: SignalOrdering) throws {
        let layer = FixtureLayer.named("gpt_oss")
        let alone = try layer.alone()
        for profile in ["h100-connectx7", "roce-adaptive", "efa-srd", "perlmutter-slingshot11"] {
            var settings = settings(profile)
            settings.options.ordering = ordering
            let workload = try layer.workload(
                ranks: 3, heapByteLimit: limit(layer, ranks: 3, tokens: 4))
            do {
                let run = try runScheme(.perseusPlus, workload, settings)
                #expect(run.hasSameOutput(as: alone), "\(ordering.rawValue) on \(profile)")
                #expect(run.checker?.violationCount == 0)
            } catch let error as PerseusError {
                #expect(error.kind == .badInput, "\(error)")
            }
        }
    }

    /// The epoch is 15 bits wide and skips zero; words from before the wrap must not be believed after it.
    @Test(arguments: [0x1FFA, 0x3FFA, 0x7FF8])
    func epochsWrap(firstRound: Int) throws {
        let layer = FixtureLayer.named("qwen3")
        let alone = try layer.alone()
        for scheme in [Scheme.coupled, .perseusPlus] {
            var settings = settings("h100-connectx7")
            settings.options.firstRound = firstRound
            let workload = try layer.workload(
                ranks: 4, heapByteLimit: limit(layer, ranks: 4, tokens: 2))
            let run = try runScheme(scheme, workload, settings)
            #expect(run.outcome.failure == nil, "\(run.outcome.failure!)")
            #expect(run.hasSameOutput(as: alone), "\(scheme)")
        }
    }

    @Test func tokensMayDifferAndBeZero() throws {
        let layer = FixtureLayer.named("deepseek_v3")
        let alone = try layer.alone()
        for split in [[72, 0, 0], [0, 71, 1], [1, 1, 70], [0, 0, 72]] {
            for scheme in Scheme.allCases {
                let run = try runScheme(
                    scheme, layer.workload(ranks: 3, tokensPerRank: split),
                    settings("h100-connectx7"))
                #expect(run.hasSameOutput(as: alone), "\(split), \(scheme)")
            }
        }
    }

    @Test func noTokensAtAllIsALayerToo() throws {
        let layer = FixtureLayer.named("qwen3")
        for scheme in Scheme.allCases {
            let run = try runScheme(
                scheme, layer.workload(ranks: 3, tokensPerRank: [0, 0, 0]),
                settings("h100-connectx7"))
            #expect(run.outcome.failure == nil)
            #expect(run.output.isEmpty)
        }
    }

    @Test func ranksMayOwnNoExpert() throws {
        let layer = FixtureLayer.named("llama4")  // 8 experts
        let alone = try layer.alone()
        for ranks in [9, 13] {
            for tokens in [64, 2] {
                let workload = try layer.workload(
                    ranks: ranks, heapByteLimit: limit(layer, ranks: ranks, tokens: tokens))
                let run = try runScheme(.perseusPlus, workload, settings("h100-connectx7"))
                #expect(run.outcome.failure == nil, "\(ranks) ranks, rounds of \(tokens)")
                #expect(run.hasSameOutput(as: alone), "\(ranks) ranks, rounds of \(tokens)")
            }
        }
    }

    /// All tokens on one expert, on one rank's experts, or as unevenly as ids allow: several blocks per expert.
    @Test func adversarialRoutingChangesNothing() throws {
        let layer = FixtureLayer.named("qwen3")
        let (tokens, topK) = (layer.input.tokenCount, layer.weights.model.topK)
        let weights = (0..<tokens * topK).map { Float($0 % 7) / 7 }
        for pattern in 0..<3 {
            let ids = (0..<tokens * topK).map { index -> Int64 in
                let (token, slot) = (index / topK, index % topK)
                switch pattern {
                case 0: return Int64(slot)
                case 1: return Int64(24 + slot)
                default: return Int64((token * slot + slot * 5) % 4 + slot * 4)
                }
            }
            let routing = try RoutingTable(
                ids: ids, weights: weights, topK: topK,
                expertCount: layer.weights.model.expertCount)
            let alone = try runScheme(
                .coupled, layer.workload(ranks: 1, routing: routing), settings("ideal"))
            for scheme in [Scheme.coupled, .perseus, .perseusPlus, .collective] {
                let run = try runScheme(
                    scheme, layer.workload(ranks: 4, routing: routing), settings("h100-connectx7"))
                #expect(run.hasSameOutput(as: alone), "pattern \(pattern), \(scheme)")
            }
        }
    }
}
