// Bytes, order, times and failures of the soft NIC, compared with numbers worked out by hand.

import PerseusPrimitives
import PerseusTransport
import Testing

@testable import PerseusSoftNIC

@Suite struct NICEngineTests {
    /// 1 byte per nanosecond, 100 ns per message at least, 1,000 ns one way, no other cost.
    private func plain(_ mode: DeliveryMode = .inOrder) -> NICParameters {
        var parameters = NICParameters()
        parameters.bytesPerNanosecond = 1
        parameters.messageNanoseconds = 100
        parameters.latencyNanoseconds = 1000
        parameters.completionNanoseconds = 0
        parameters.reorderNanoseconds = 0
        parameters.mode = mode
        return parameters
    }

    @Test(arguments: DeliveryMode.allCases)
    func bytesArriveExactly(mode: DeliveryMode) {
        let rig = NICRig(plain(mode))
        var random = SeededRandom(seed: 7)
        for index in 0..<NICRig.bytes {
            rig.memory[0].storeBytes(
                of: UInt8(truncatingIfNeeded: random.next()), toByteOffset: index, as: UInt8.self)
        }
        let sizes = [16, 48, 4096, 4112, 20_000]
        var offset = 0
        for size in sizes {
            #expect(rig.write(at: offset, byteCount: size) == .accepted)
            offset += size
        }
        rig.run()
        for index in 0..<NICRig.bytes {
            let expected =
                index < offset ? rig.memory[0].load(fromByteOffset: index, as: UInt8.self) : 0
            #expect(rig.memory[1].load(fromByteOffset: index, as: UInt8.self) == expected)
        }
        #expect(rig.completions().count == sizes.count)
    }

    @Test func timesAreThoseOfTheModel() {
        let rig = NICRig(plain())
        _ = rig.write(at: 0, byteCount: 5000)
        // 5,000 on the wire, 1,000 there, 1,000 back.
        #expect(rig.run() == 7000)
        let small = NICRig(plain())
        _ = small.write(at: 0, byteCount: 16)
        #expect(small.run() == 100 + 1000 + 1000)
    }

    @Test func anIdleNICIsRefilledAndAFenceCosts() {
        var parameters = plain()
        parameters.refillNanoseconds = 500
        parameters.refillByteCount = 1
        parameters.fenceNanoseconds = 40
        let rig = NICRig(parameters)
        _ = rig.write(at: 0, byteCount: 5000)
        #expect(rig.run() == 500 + 5000 + 2000)
        let fenced = NICRig(parameters)
        _ = fenced.write(at: 0, byteCount: 5000)
        _ = fenced.write(at: 5008, byteCount: 1008, isFenced: true)
        // The flagged request waits for the acknowledgement at 7,500 and finds the NIC idle.
        #expect(fenced.run() == 7500 + 500 + 1008 + 40 + 2000)
    }

    @Test func aReceivingPortIsShared() {
        let rig = NICRig(plain(), ranks: 3)
        _ = rig.write(to: 2, at: 0, byteCount: 5000)
        var request = WorkRequest(
            operation: .write, peer: 2, queue: 0, byteCount: 5000, identifier: 0)
        request.remoteOffset = 8192
        _ = rig.endpoints[1].post(request)
        // Both arrive on one port of 1 byte per nanosecond: the second one is 5,000 later.
        #expect(rig.run() == 1000 + 5000 + 5000 + 1000)
    }

    @Test func completionsAreSlowerByDestination() {
        var parameters = plain()
        parameters.completionNanoseconds = 300
        parameters.completionPerDestinationNanoseconds = 10
        let rig = NICRig(parameters, ranks: 4)
        _ = rig.write(at: 0, byteCount: 5000)
        rig.run()
        #expect(rig.endpoints[0].nextCompletionAt == 7000 + 300 + 10 * 4)
    }

    @Test(arguments: 1...40)
    func inOrderNeverReorders(seed: Int) {
        let faults = FaultPlan.random(seed: UInt64(seed), rankCount: 2)
        let rig = NICRig(plain(), faults: faults)
        rig.memory[0].storeBytes(of: 1, as: UInt64.self)
        // Each write carries a larger number to the same word: it must only grow.
        for value in 1...30 as ClosedRange<UInt64> {
            rig.memory[0].storeBytes(of: value, toByteOffset: Int(value) * 16, as: UInt64.self)
            var request = WorkRequest(
                operation: .write, peer: 1, queue: 0, byteCount: 16, identifier: value)
            request.localOffset = value * 16
            request.remoteOffset = 0
            #expect(rig.endpoints[0].post(request) == .accepted)
        }
        var last: UInt64 = 0
        while let due = rig.engines[0].nextDue {
            _ = rig.engines[0].step(now: due)
            let seen = rig.memory[1].load(as: UInt64.self)
            #expect(seen >= last, "replay: FaultPlan.random(seed: \(seed))")
            last = seen
        }
        #expect(last == 30)
        #expect(rig.completions().map(\.identifier) == Array(1...30))
    }

    @Test func adaptiveRoutingReordersWrites() throws {
        let faults = try FaultPlan(parsing: "seed=1,reorder=0.9@50us", rankCount: 2)
        let rig = NICRig(plain(.adaptiveRouting), faults: faults)
        var isReordered = false
        for value in 1...30 as ClosedRange<UInt64> {
            rig.memory[0].storeBytes(of: value, toByteOffset: Int(value) * 16, as: UInt64.self)
            var request = WorkRequest(
                operation: .write, peer: 1, queue: 0, byteCount: 16, identifier: value)
            request.localOffset = value * 16
            _ = rig.endpoints[0].post(request)
        }
        var last: UInt64 = 0
        while let due = rig.engines[0].nextDue {
            _ = rig.engines[0].step(now: due)
            let seen = rig.memory[1].load(as: UInt64.self)
            if seen < last { isReordered = true }
            last = seen
        }
        #expect(isReordered)
        #expect(rig.completions().map(\.identifier) == Array(1...30), "completions stay in order")
    }

    @Test func aFullQueuePairRefusesAndRecovers() {
        var parameters = plain()
        parameters.queueDepth = 2
        let rig = NICRig(parameters)
        #expect(rig.write(at: 0, byteCount: 16) == .accepted)
        #expect(rig.write(at: 16, byteCount: 16) == .accepted)
        #expect(rig.write(at: 32, byteCount: 16) == .full)
        rig.run()
        #expect(rig.completions().count == 2)
        #expect(rig.write(at: 32, byteCount: 16) == .accepted)
    }

    @Test func aDeadPeerIsGivenUpAfterItsRetries() {
        let rig = NICRig(plain())
        rig.fabric.kill(rank: 1)
        _ = rig.write(at: 0, byteCount: 16, identifier: 1)
        _ = rig.write(at: 16, byteCount: 16, identifier: 2)
        #expect(rig.run() >= NICParameters().retryNanoseconds)
        let completions = rig.completions()
        #expect(completions.map(\.identifier) == [1, 2])
        #expect(completions.map(\.status) == [.retryExceeded, .flushed])
    }

    @Test func anAddressOutsideTheRegionIsRefused() {
        let rig = NICRig(plain())
        _ = rig.write(at: NICRig.bytes - 16, byteCount: 32)
        rig.run()
        #expect(rig.completions().map(\.status) == [.remoteAccessError])
    }
}
