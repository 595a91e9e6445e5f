// A NIC that completes everything at once: what remains is the cost of the proxy itself.

import PerseusTransport

/// Keeps the last requests that were posted, and returns a completion for each signaled one.
///
/// Its work for a request is that of a driver: copy the request and its inline payload into a send
/// queue. No memory of a peer is touched.
struct NullTransport: Transport, ~Copyable {
    static let slotCount = 256
    static let inlineWordCount = 16
    static let completionCapacity = 4096

    private let requests: UnsafeMutablePointer<WorkRequest>
    /// [slotCount][inlineWordCount]
    private let payloads: UnsafeMutablePointer<UInt64>
    private let completed: UnsafeMutablePointer<UInt64>
    private var postedCount: UInt64 = 0
    private var completedHead: UInt64 = 0
    private var completedTail: UInt64 = 0
    private var doorbellCount: UInt64 = 0
    let guarantees: OrderingGuarantees
    let queueCount: Int
    var queueDepth: Int { NullTransport.completionCapacity }
    var inlineCapacityByteCount: Int { NullTransport.inlineWordCount * 8 }

    init(queueCount: Int) {
        self.queueCount = queueCount
        guarantees = OrderingGuarantees(
            promises: OrderingGuarantee.allCases.map { .init($0, source: "completes at once") },
            completesInOrder: true, fenceScope: .lane)
        let payloadCount = NullTransport.slotCount * NullTransport.inlineWordCount
        requests = .allocate(capacity: NullTransport.slotCount)
        payloads = .allocate(capacity: payloadCount)
        payloads.initialize(repeating: 0, count: payloadCount)
        completed = .allocate(capacity: NullTransport.completionCapacity)
    }

    deinit {
        requests.deallocate()
        payloads.deallocate()
        completed.deallocate()
    }

    @inline(__always)
    mutating func post(_ request: WorkRequest) -> PostOutcome {
        let capacity = UInt64(NullTransport.completionCapacity)
        guard completedTail &- completedHead < capacity else { return .full }
        let slot = Int(truncatingIfNeeded: postedCount & UInt64(NullTransport.slotCount - 1))
        requests[slot] = request
        if request.isInline, let payload = request.payload {
            let target = payloads + slot &* NullTransport.inlineWordCount
            for index in 0..<Int(request.byteCount >> 3) { target[index] = payload[index] }
        }
        postedCount &+= 1
        if request.isSignaled {
            completed[Int(truncatingIfNeeded: completedTail & (capacity - 1))] = request.identifier
            completedTail &+= 1
        }
        return .accepted
    }

    @inline(__always)
    mutating func ringDoorbell() { doorbellCount &+= 1 }

    @inline(__always)
    mutating func poll(
        _ completions: UnsafeMutablePointer<WorkCompletion>, limit: Int
    ) -> Int {
        let mask = UInt64(NullTransport.completionCapacity - 1)
        var count = 0
        while count < limit && completedHead != completedTail {
            let slot = Int(truncatingIfNeeded: completedHead & mask)
            completions[count] = WorkCompletion(identifier: completed[slot], status: .success)
            completedHead &+= 1
            count &+= 1
        }
        return count
    }

    @inline(__always)
    mutating func pollReceive(
        _ completions: UnsafeMutablePointer<ReceiveCompletion>, limit: Int
    ) -> Int { 0 }

    /// Of the last requests, with their payloads; the C baseline computes the same.
    var checksum: UInt64 {
        var sum: UInt64 = 0xCBF2_9CE4_8422_2325
        func mix(_ word: UInt64) { sum = (sum ^ word) &* 0x100_0000_01B3 }
        for slot in 0..<Int(min(postedCount, UInt64(NullTransport.slotCount))) {
            let request = requests[slot]
            mix(UInt64(request.operation.rawValue))
            mix((request.isFenced ? 1 : 0) | (request.isSignaled ? 2 : 0))
            mix(UInt64(request.peer) << 32 | UInt64(request.byteCount))
            mix(UInt64(request.immediate) << 16 | UInt64(request.queue))
            mix(UInt64(request.remoteRegion) << 8 | UInt64(request.localRegion))
            mix(request.localOffset)
            mix(request.remoteOffset)
            guard request.isInline else { continue }
            let payload = payloads + slot * NullTransport.inlineWordCount
            for index in 0..<Int(request.byteCount >> 3) { mix(payload[index]) }
        }
        return sum
    }
}
