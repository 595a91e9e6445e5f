// The event queue and its C baseline hand out the same events in the same order.

import PerseusPrimitives
import PerseusSoftNIC
import Testing

@testable import PerseusBenchmarks

@Suite struct EventDifferentialTests {
    /// The benchmark itself throws when an event or its place differs; small queues have every shape of a last parent.
    @Test func bothQueuesHandOutTheSameEvents() throws {
        var options = SimulatorBenchmarkOptions()
        options.repetitions = 1
        options.makeQuick()
        options.pendingCounts = Array(1...9) + [64, 4096]
        let report = try runSimulatorBenchmark(options)
        #expect(report.results.count == 22)
        #expect(Set(report.results.map(\.checksum)).count == 22)
        for result in report.results {
            #expect(result.value > 0 && result.unit == "M events/s")
            #expect(result.baseline?.name == "C")
        }
    }

    @Test func payloadsHaveTheLayoutsOfTheSimulator() {
        #expect(MemoryLayout<NICPayload>.size == MemoryLayout<NICEvent>.size)
        #expect(MemoryLayout<NICPayload>.stride == MemoryLayout<NICEvent>.stride)
        #expect(MemoryLayout<NICPayload>.alignment == MemoryLayout<NICEvent>.alignment)
        #expect(MemoryLayout<EventHeap<NICEvent>.Event>.stride == 24)
    }

    @Test func optionsOutOfRangeAreRefused() {
        var options = SimulatorBenchmarkOptions()
        options.pendingCounts = [0]
        #expect(throws: PerseusError.self) { try runSimulatorBenchmark(options) }
    }
}
