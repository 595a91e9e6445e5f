// Points run once, on any number of threads, and a formula gets all that it asks for.

import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import Synchronization
import Testing

@testable import PerseusExperiments

/// A small layer: 4 ranks on 2 nodes.
func smallLayer(_ scheme: Scheme, profile: String = PaperSettings.perlmutter) -> LayerPoint {
    LayerPoint(
        profile: profile, model: "qwen3-30b", nodes: 2, ranksPerNode: 2, tokens: 16,
        scheme: scheme)
}

/// A few transfers: 8 of one rank on 2 nodes.
func smallPuts(_ scheme: Scheme?, profile: String = PaperSettings.perlmutter) -> PutSignalPoint {
    PutSignalPoint(
        profile: profile, nodes: 2, ranksPerNode: 2, concurrency: 8, byteCount: 4096,
        scheme: scheme)
}

@Suite struct LaboratoryTests {
    /// Counts points as they run.
    private final class Count: Sendable {
        private let runs = Atomic(0)
        var value: Int { runs.load(ordering: .relaxed) }

        func attach(to laboratory: Laboratory) {
            laboratory.progress = { [self] _, _ in runs.add(1, ordering: .relaxed) }
        }
    }

    private let layers = [
        smallLayer(.coupled), smallLayer(.perseus), smallLayer(.perseusPlus),
        smallLayer(.collective), smallLayer(.coupled).with(\.tokens, 8),
        smallLayer(.coupled).with(\.seed, 2),
    ]
    private let puts = [smallPuts(nil), smallPuts(.coupled), smallPuts(.perseus)]

    private func times(_ laboratory: Laboratory) throws -> [Double] {
        try laboratory.evaluate { lab in
            layers.map { lab.layer($0) } + puts.map { lab.put($0) } + [lab.layer(layers[0])]
        }
    }

    @Test func aPointRunsOnce() throws {
        let laboratory = Laboratory(profiles: Profile.builtIn, threads: 2)
        let count = Count()
        count.attach(to: laboratory)
        let first = try times(laboratory)
        #expect(count.value == 9)
        #expect(try times(laboratory) == first)
        #expect(count.value == 9, "what is known does not run again")
        #expect(Set(first).count == 9, "different points, different times: \(first)")
        _ = try laboratory.evaluate { $0.layer(smallLayer(.decoupled)) }
        #expect(count.value == 10)
    }

    @Test func theNumberOfThreadsChangesNothing() throws {
        let alone = try times(Laboratory(profiles: Profile.builtIn, threads: 1))
        #expect(try times(Laboratory(profiles: Profile.builtIn, threads: 2)) == alone)
    }

    /// `&&` and the like ask for a second point only when they know the first.
    @Test func aFormulaThatAsksLateGetsItsPoint() throws {
        let laboratory = Laboratory(profiles: Profile.builtIn, threads: 1)
        let (coupled, perseus) = (smallPuts(.coupled), smallPuts(.perseus))
        let asked = try laboratory.evaluate { lab in
            // Unknown points take one millisecond, these take less.
            lab.put(coupled) < 1 ? lab.put(perseus) : 0
        }
        let known = try Laboratory(profiles: Profile.builtIn, threads: 1).evaluate {
            $0.put(perseus)
        }
        #expect(asked == known)
    }

    @Test func aPointThatCannotRunIsAnError() {
        func refusal(_ point: LayerPoint) -> String? {
            do {
                _ = try Laboratory(profiles: Profile.builtIn, threads: 2).evaluate {
                    $0.layer(point)
                }
                return nil
            } catch { return "\(error)" }
        }
        #expect(
            refusal(smallLayer(.coupled, profile: "elephant")) == "unknown profile elephant")
        #expect(
            refusal(smallLayer(.coupled).with(\.model, "mouse")) == "unknown model mouse")
        #expect(
            refusal(smallLayer(.perseus, profile: "efa-srd"))?.hasPrefix(
                "scheme perseus on efa-srd: ") == true)
    }
}
