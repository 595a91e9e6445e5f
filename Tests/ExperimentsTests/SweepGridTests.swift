// A grid numbers its points in one order, and refuses what cannot run before anything does.

import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import Testing

@testable import PerseusExperiments

/// 2 profiles x 2 models x 2 shapes x 3 schemes x 2 orderings x 2 skews.
func sampleGrid() throws -> SweepGrid {
    var grid = SweepGrid(
        profiles: try ["ideal", "efa-srd"].map { try #require(Profile.named($0)) },
        models: ["qwen3-30b", "llama4-scout"], nodes: [2, 1], ranksPerNode: [1], tokens: [8],
        schemes: [.coupled, .perseusPlus, .collective])
    grid.orderings = [nil, .fenceFlag]
    grid.zipfExponents = [0, 1.5]
    grid.seed = 7
    return grid
}

@Suite struct SweepGridTests {
    @Test func theLastAxisVariesQuickest() throws {
        let grid = try sampleGrid()
        #expect(grid.count == 96)
        let points = (0..<grid.count).map { grid[$0] }
        #expect(Set(points).count == 96 && points.allSatisfy { $0.seed == 7 })
        #expect(points.prefix(4).map(\.zipf) == [0, 1.5, 0, 1.5])
        #expect(points.prefix(4).map(\.ordering) == [nil, nil, .fenceFlag, .fenceFlag])
        #expect(points.map(\.scheme)[3...4] == [.coupled, .perseusPlus])
        #expect(points.map(\.nodes)[11...12] == [2, 1])
        #expect(points.map(\.model)[23...24] == ["qwen3-30b", "llama4-scout"])
        #expect(points.map(\.profile)[47...48] == ["ideal", "efa-srd"])
    }

    @Test func numbersAndPointsBelongTogether() throws {
        let grid = try sampleGrid()
        for index in 0..<grid.count {
            #expect(grid.index(of: grid[index]) == index)
            #expect(grid.profile(of: index).profile.name == grid[index].profile)
        }
        let point = grid[0]
        for (foreign, what) in [
            (point.with(\.profile, "mine"), "profile mine"), (point.with(\.nodes, 3), "nodes 3"),
            (point.with(\.seed, 1), "seed 1"), (point.with(\.zipf, 1), "zipf 1.0"),
            (point.with(\.ordering, .drainAll), "ordering drain-all"),
            (point.with(\.groupSize, 4), "group size 4"),
        ] {
            #expect(grid.index(of: foreign) == nil)
            #expect(grid.foreignValue(of: foreign) == what)
        }
    }
}

@Suite struct SweepGridCheckTests {
    private func refusal(_ change: (inout SweepGrid) -> Void) throws -> String {
        var grid = try sampleGrid()
        change(&grid)
        let error = #expect(throws: PerseusError.self) { try grid.check { _ in } }
        #expect(error?.kind == .badInput)
        return error?.message ?? ""
    }

    @Test func whatCannotExistIsRefused() throws {
        #expect(
            try refusal { $0.nodes = [2, 20_000] }
                == "qwen3-30b, 20000 nodes, 1 ranks per node, 8 tokens:"
                + " a command names at most 16383 destinations")
        #expect(
            try refusal { $0.tokens = [3_000_000] }
                == "qwen3-30b, 2 nodes, 1 ranks per node, 3000000 tokens:"
                + " 3000000 tokens x top-8 exceed the 2^24 rows of a signal word")
        #expect(
            try refusal { $0.tokens = Array(0..<10_417) }
                == "the grid has 1000032 points, at most 1000000 can be run")
        #expect(
            try refusal {
                $0.tokens = Array(0..<1_000_000)
                $0.groupSizes = Array(0..<1_000_000)
                $0.proxyThreads = Array(0..<1_000_000)
            } == "the grid has more than 10^15 points, at most 1000000 can be run")
    }

    @Test func twoProfilesOfOneNameAreRefused() throws {
        var other = try #require(Profile.named("efa-srd"))
        other.name = "ideal"
        let grid = SweepGrid(
            profiles: [try #require(Profile.named("ideal")), other], models: ["qwen3-30b"],
            nodes: [1], ranksPerNode: [1], tokens: [1], schemes: [.coupled])
        let error = #expect(throws: PerseusError.self) { try grid.check { _ in } }
        #expect(
            error?.message
                == "--profile: two profiles are called ideal; give one of them a name of its own")
    }

    /// What a point needs depends on its shape and on its proxies, and on nothing else.
    @Test func everyShapeIsRequiredWithItsMostProxies() throws {
        var grid = try sampleGrid()
        grid.proxyThreads = [1, 4, 2]
        var seen: [LayerPoint] = []
        try grid.check { seen.append($0) }
        #expect(seen.count == 8 && seen.allSatisfy { $0.proxyThreads == 4 })
        #expect(Set(seen).count == 8)
        #expect(throws: PerseusError(.environment, "too large")) {
            try grid.check { point throws(PerseusError) in
                if point.nodes == 1 { throw PerseusError(.environment, "too large") }
            }
        }
    }
}

@Suite struct FingerprintTests {
    @Test func valuesCountAndNamesDoNot() throws {
        var profile = try #require(Profile.named("ideal"))
        let fingerprint = profile.fingerprint
        #expect(fingerprint.count == 16)
        profile.name = "mine"
        profile.summary = "another"
        #expect(profile.fingerprint == fingerprint)
        for parameter in ProfileParameter.all {
            guard case .number(let value) = parameter.value(in: profile) else { continue }
            var changed = profile
            parameter.setNumber(value == 1 ? 2 : 1, in: &changed)
            #expect(changed.fingerprint != fingerprint, "\(parameter.key)")
        }
        #expect(Set(Profile.builtIn.map(\.fingerprint)).count == Profile.builtIn.count)
    }
}
