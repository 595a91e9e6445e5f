// What one change would buy: every other scheme is tried or refused with a reason, and the best comes first.

import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import Testing

@testable import PerseusExperiments

@Suite struct ExplanationTests {
    private func explain(_ scheme: Scheme, _ profile: String) throws -> Explanation {
        try Explanation(smallLayer(scheme, profile: profile), profile: .named(profile)!) {
            Laboratory(profiles: $0, threads: 2)
        }
    }

    private func isSorted(_ changes: [WhatIf]) -> Bool {
        zip(changes, changes.dropFirst()).allSatisfy { $0.savedNanoseconds >= $1.savedNanoseconds }
    }

    @Test func whatCouldBeChosenHoldsTheOtherSchemes() throws {
        let explanation = try explain(.coupled, PaperSettings.perlmutter)
        let choices = explanation.changes.filter { $0.kind == .choice }.map(\.change)
        for scheme in Scheme.allCases {
            #expect(
                choices.contains("--scheme \(scheme.rawValue)") == (scheme != .coupled),
                "\(scheme.rawValue)")
        }
        #expect(!choices.contains("--ordering drain-all"), "what it does already")
        #expect(choices.contains("--ordering drain-peer"))
        #expect(Set(choices).count == choices.count)
        #expect(isSorted(explanation.changes))
        #expect(explanation.path.total == explanation.layerNanoseconds)
        let measured = try Laboratory(profiles: Profile.builtIn, threads: 1).evaluate {
            $0.measure(smallLayer(.perseus)).nanoseconds
        }
        let perseus = try #require(
            explanation.changes.first { $0.change == "--scheme perseus" })
        #expect(perseus.layerNanoseconds == measured)
        #expect(
            perseus.savedNanoseconds == Int(explanation.layerNanoseconds) - Int(measured))
        #expect(perseus.savedNanoseconds > 0 && perseus.speedup > 1)
    }

    /// A cost that is taken away cannot cost time, and on a fabric without it saves none.
    @Test func singleCostsOfTheClusterAreWorthWhatTheyCost() throws {
        let changes = try explain(.coupled, PaperSettings.perlmutter).changes
        let completions = try #require(
            changes.first { $0.change == "completions are seen at once" })
        #expect(completions.kind == .cluster && completions.savedNanoseconds > 0)
        #expect(changes.contains { $0.change == "a fence flag holds back one peer only" })
        let free = try explain(.coupled, "ideal").changes
        let nothing = try #require(free.first { $0.change == "completions are seen at once" })
        #expect(nothing.savedNanoseconds == 0 && nothing.speedup == 1)
        #expect(!free.contains { $0.change == "a fence flag holds back one peer only" })
    }

    @Test func whatTheFabricCannotHonourIsRefusedByItsName() throws {
        let explanation = try explain(.coupled, "efa-srd")
        let tried = Set(explanation.changes.map(\.change))
        for (change, scheme, ordering) in [
            ("--scheme nic-ordered", "nic-ordered", "fence-flag"),
            ("--scheme perseus", "perseus", "fence-flag"),
            ("--scheme gpu-direct", "gpu-direct", "in-order"),
            ("--ordering in-order", "coupled", "in-order"),
            ("--ordering atomic", "coupled", "atomic"),
        ] {
            #expect(!tried.contains(change))
            #expect(
                explanation.refused.contains {
                    $0.hasPrefix(
                        "\(change): scheme \(scheme) on efa-srd: ordering \(ordering) needs ")
                }, "\(change): \(explanation.refused)")
        }
        for change in ["--scheme decoupled", "--ordering counted-immediate"] {
            #expect(tried.contains(change), "\(change)")
        }
        #expect(isSorted(explanation.changes))
    }
}
