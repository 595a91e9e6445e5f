// A fabric of soft NICs without proxies: post, advance time, look at memory and completions.

import CPerseusABI
import PerseusTransport

@testable import PerseusSoftNIC

/// Two or more ranks whose engines and endpoints a test drives by hand.
final class NICRig {
    static let bytes = 1 << 16
    let fabric: SoftFabric
    let engines: UnsafeMutablePointer<NICEngine>
    let endpoints: UnsafeMutablePointer<SoftNICEndpoint>
    let clocks: UnsafeMutablePointer<StepClock>
    let memory: [UnsafeMutableRawPointer]
    private let nics: [SoftNIC]
    let ranks: Int

    init(_ parameters: NICParameters, ranks: Int = 2, faults: FaultPlan = FaultPlan()) {
        self.ranks = ranks
        fabric = SoftFabric(rankCount: ranks, receiveDepth: 64)
        engines = .allocate(capacity: ranks)
        endpoints = .allocate(capacity: ranks)
        clocks = .allocate(capacity: ranks)
        clocks.initialize(repeating: StepClock(), count: ranks)
        var memory: [UnsafeMutableRawPointer] = []
        var nics: [SoftNIC] = []
        for rank in 0..<ranks {
            let base = UnsafeMutableRawPointer.allocate(byteCount: Self.bytes, alignment: 64)
            base.initializeMemory(as: UInt8.self, repeating: 0, count: Self.bytes)
            memory.append(base)
            for region in 0..<3 {
                fabric.register(
                    rank: rank, region: region,
                    SoftRegion(base: base, byteCount: UInt64(Self.bytes)))
            }
            let nic = SoftNIC(
                fabric: fabric, rank: rank, endpointCount: 1, queueCount: 1, sendCapacity: 256,
                parameters: parameters)
            nics.append(nic)
            (engines + rank).initialize(
                to: nic.makeEngine(faults: faults, reportsTransmissions: false))
            (endpoints + rank).initialize(
                to: nic.makeEndpoint(0, costs: PostingCosts(), clock: clocks + rank))
        }
        self.memory = memory
        self.nics = nics
    }

    deinit {
        engines.deinitialize(count: ranks)
        engines.deallocate()
        endpoints.deinitialize(count: ranks)
        endpoints.deallocate()
        clocks.deallocate()
        for base in memory { base.deallocate() }
    }

    /// Posts a write of `byteCount` bytes of rank 0 to the same offset of `peer`.
    func write(
        to peer: Int = 1, at offset: Int, byteCount: Int, identifier: UInt64 = 0,
        isFenced: Bool = false
    ) -> PostOutcome {
        var request = WorkRequest(
            operation: .write, peer: UInt32(peer), queue: 0, byteCount: UInt32(byteCount),
            identifier: identifier)
        request.localOffset = UInt64(offset)
        request.remoteOffset = UInt64(offset)
        request.isFenced = isFenced
        return endpoints[0].post(request)
    }

    /// Lets time pass until nothing is due any more or `end` is reached; returns the time of the last event.
    @discardableResult
    func run(until end: UInt64 = .max) -> UInt64 {
        var last: UInt64 = 0
        while let (rank, due) = nextDue(), due <= end {
            _ = engines[rank].step(now: due)
            last = max(last, due)
        }
        return last
    }

    private func nextDue() -> (Int, UInt64)? {
        var best: (Int, UInt64)?
        for rank in 0..<ranks {
            if let due = engines[rank].nextDue, due < best?.1 ?? .max { best = (rank, due) }
        }
        return best
    }

    /// Completions of rank 0 that can be seen at the end of time.
    func completions() -> [WorkCompletion] {
        clocks[0].now = .max
        var taken: [WorkCompletion] = []
        let buffer = UnsafeMutablePointer<WorkCompletion>.allocate(capacity: 64)
        defer { buffer.deallocate() }
        while true {
            let count = endpoints[0].poll(buffer, limit: 64)
            if count == 0 { return taken }
            for index in 0..<count { taken.append(buffer[index]) }
        }
    }
}
