// Every interleaving of small scopes: nothing lost, doubled, torn or out of order.
import Testing

@testable import PerseusCommandRing

struct InterleavingTests {
    static let wrapOf64Bits = UInt64.max - 1

    /// One producer: every visibility order of its stores, every batch size, lap after lap.
    @Test(arguments: [1, 2, 4, 8], [StoreModel.released, .unordered])
    func oneProducerOverLaps(capacity: Int, model: StoreModel) throws {
        for start in [0, 1, UInt64.max - 1] {
            let puts = Array(repeating: ScriptedPush.put, count: capacity * 2 + 1)
            let scenario = Scenario(
                capacity: capacity, scripts: [Array(puts.prefix(5))], storeModel: model,
                start: start, lookahead: 2)
            #expect(try RingExplorer(scenario).run() > 20)
        }
    }

    /// Commands of several slots; the ring is as long as one of them, so each waits for the last.
    @Test(arguments: [StoreModel.released, .unordered])
    func operandsAcrossTheLap(model: StoreModel) throws {
        for start in [0, 3, Self.wrapOf64Bits] {
            let scripts = [[ScriptedPush.signal(3), .put, .putSignal(2)]]
            let scenario = Scenario(
                capacity: 4, scripts: scripts, storeModel: model, start: start, lookahead: 2)
            #expect(try RingExplorer(scenario).run() > 100)
        }
    }

    @Test(arguments: [StoreModel.released, .unordered])
    func twoProducersFillTheRing(model: StoreModel) throws {
        for capacity in [1, 2, 4] {
            let scripts = [[ScriptedPush.put, .put], [ScriptedPush.put, .put]]
            let scenario = Scenario(capacity: capacity, scripts: scripts, storeModel: model)
            #expect(try RingExplorer(scenario).run() > 100)
        }
    }

    @Test func twoProducersWithPairs() throws {
        let scripts = [[ScriptedPush.putSignal(1)], [ScriptedPush.signal(2), .put]]
        for start in [UInt64(0), Self.wrapOf64Bits] {
            for capacity in [4, 8] {
                let scenario = Scenario(capacity: capacity, scripts: scripts, start: start)
                #expect(try RingExplorer(scenario).run() > 1000)
            }
        }
    }

    @Test func threeProducers() throws {
        let scripts = [[ScriptedPush.put, .put], [.signal(1)], [.put]]
        for capacity in [2, 4] {
            let scenario = Scenario(capacity: capacity, scripts: scripts)
            #expect(try RingExplorer(scenario).run() > 1000)
        }
        let single = Scenario(capacity: 1, scripts: Array(repeating: [.put], count: 3))
        #expect(try RingExplorer(single).run() > 100)
    }
}

/// The explorer notices each defect; without this, its silence above would mean nothing.
struct ExplorerTeethTests {
    static func scenario(for defect: Defect) -> Scenario {
        switch defect {
        case .secondParityUnchecked:
            Scenario(capacity: 2, scripts: [[.put, .put, .put]], storeModel: .unordered)
        case .operandsUnchecked:
            Scenario(capacity: 4, scripts: [[.signal(3)]])
        case .retireBeforeCopyOut:
            Scenario(capacity: 2, scripts: [[.signal(2), .signal(1)]])
        case .parityNeverFlipped:
            Scenario(capacity: 2, scripts: [[.put, .put, .put]])
        case .creditIgnored:
            Scenario(capacity: 2, scripts: [[.put, .put], [.put]])
        case .pairClaimedApart:
            Scenario(capacity: 8, scripts: [[.putSignal(1)], [.put]])
        }
    }

    @Test(arguments: Defect.allCases)
    func defectIsFound(_ defect: Defect) throws {
        var scenario = Self.scenario(for: defect)
        #expect(throws: Never.self) { try RingExplorer(scenario).run() }
        scenario.defect = defect
        let violation = #expect(throws: RingViolation.self) { try RingExplorer(scenario).run() }
        let found = try #require(violation)
        #expect(!found.schedule.isEmpty)
        print("\(defect): \(found)")
    }
}
