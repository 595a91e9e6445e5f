// Order statistics, ratios and the JSON of a result.

import Foundation
import PerseusBenchmarks
import Testing

@Suite struct BenchmarkReportTests {
    @Test func statisticsAreOrderStatistics() {
        let statistics = BenchmarkStatistics(samples: [5, 1, 4, 2, 3, 100])
        #expect(statistics.minimum == 1)
        #expect(statistics.thirdFastest == 3)
        #expect(statistics.median == 3.5)
        #expect(statistics.p99 == 100)
        #expect(BenchmarkStatistics(samples: [7]).thirdFastest == 7)
    }

    @Test func aRatioAboveOneIsBetterForTimesAndForRates() {
        let statistics = BenchmarkStatistics(samples: [10, 10, 10])
        let time = BenchmarkResult(
            name: "t", nanoseconds: statistics, baseline: .init(name: "C", value: 20), checksum: 1)
        #expect(time.ratio == 2)
        let rate = BenchmarkResult(
            name: "r", unit: "GB/s", amount: 50, nanoseconds: statistics,
            baseline: .init(name: "memcpy", value: 10), checksum: 1)
        #expect(rate.value == 5)
        #expect(rate.ratio == 0.5)
    }

    @Test func parametersKeepTheirTypesInJSON() throws {
        let result = BenchmarkResult(
            name: "push",
            parameters: [
                "batch": .integer(32), "share": .real(0.5), "ring": .text("a"),
                "pinned": .flag(true),
            ],
            nanoseconds: BenchmarkStatistics(samples: [4]),
            baseline: .init(name: "deque", value: 8), checksum: .max)
        let bytes = try JSONEncoder().encode(result)
        #expect(try JSONDecoder().decode(BenchmarkResult.self, from: bytes) == result)
    }

    @Test func everyContenderRunsOncePerRoundAndTheWarmUpIsDropped() throws {
        var calls = [0, 0]
        let statistics = try measureInterleaved(
            [
                BenchmarkContender("a") {
                    calls[0] += 1
                    return [calls[0] == 1 ? 1000 : 1]
                },
                BenchmarkContender("b") {
                    calls[1] += 1
                    return [2]
                },
            ], repetitions: 4)
        #expect(calls == [5, 5])
        #expect(statistics.map(\.p99) == [1, 2])
        #expect(statistics.map(\.repetitions) == [4, 4])
    }
}
