// The Swift proxy and its C baseline are compared only while they do the same.

import PerseusBenchmarks
import PerseusPrimitives
import Testing

@Suite struct ProxyDifferentialTests {
    /// The benchmark itself throws when a counter or a posted request differs.
    @Test func bothProxiesPostTheSameRequests() throws {
        var options = ProxyBenchmarkOptions()
        options.repetitions = 1
        options.makeQuick()
        let report = try runProxyBenchmark(options)
        #expect(report.results.count == 10)
        #expect(Set(report.results.map(\.name)).count == report.results.count)
        for result in report.results {
            #expect(result.value > 0)
            #expect(result.baseline?.name == "C")
        }
        // Orderings differ in what they post, so equal checksums would mean that nothing is seen.
        let checksums = report.results.filter { $0.name.hasSuffix("put and signal") }
            .map(\.checksum)
        #expect(Set(checksums).count >= 3)
    }

    @Test func optionsOutOfRangeAreRefused() {
        var options = ProxyBenchmarkOptions()
        options.destinationCount = 0
        #expect(throws: PerseusError.self) { try runProxyBenchmark(options) }
    }
}
