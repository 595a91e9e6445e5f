// Builds the soft NIC of one rank: one engine and an endpoint for every proxy thread.

import PerseusCommandRing
import PerseusPrimitives
import PerseusTransport

/// The parts of one rank's soft NIC. Endpoints are taken out one by one, each by its proxy.
public final class SoftNIC: @unchecked Sendable {
    private let fabric: SoftFabric
    private let rank: Int
    private let parameters: NICParameters
    private let hasOneThread: Bool
    private let links: [SoftNICLink]
    private let memory: [UnsafeMutablePointer<UInt64>]

    /// - Parameters:
    ///   - endpointCount: proxies of this rank.
    ///   - queueCount: queue pairs of each endpoint.
    ///   - sendCapacity: most requests posted and not yet finished, over all queue pairs of an endpoint; power of
    ///   two. No more room is made than the queue pairs together hold.
    ///   - hasOneThread: the engine and its endpoints are stepped by one thread.
    public init(
        fabric: SoftFabric, rank: Int, endpointCount: Int, queueCount: Int, sendCapacity: Int,
        parameters: NICParameters, hasOneThread: Bool = false
    ) {
        precondition(sendCapacity & (sendCapacity - 1) == 0, "SoftNIC: capacity not a power of two")
        self.fabric = fabric
        self.rank = rank
        self.parameters = parameters
        self.hasOneThread = hasOneThread
        let payloadWords = parameters.inlineCapacityByteCount / 8
        var sendCapacity = sendCapacity
        while sendCapacity / 2 >= queueCount * parameters.queueDepth { sendCapacity /= 2 }
        var links: [SoftNICLink] = []
        var memory: [UnsafeMutablePointer<UInt64>] = []
        for endpoint in 0..<endpointCount {
            let payloads = UnsafeMutablePointer<UInt64>.allocate(
                capacity: PayloadQueue.wordCount(sendCapacity, payloadWords: payloadWords))
            memory.append(payloads)
            links.append(
                SoftNICLink(
                    sendQueue: .allocate(capacity: sendCapacity, hasOneThread: hasOneThread),
                    completionQueue: .allocate(
                        capacity: 2 * sendCapacity, hasOneThread: hasOneThread),
                    payloads: PayloadQueue(
                        words: payloads, sendCapacity: sendCapacity, payloadWords: payloadWords),
                    payloadWords: payloadWords, sendCapacity: sendCapacity, queueCount: queueCount,
                    firstQueue: endpoint * queueCount))
        }
        self.links = links
        self.memory = memory
    }

    deinit {
        for link in links {
            link.sendQueue.deallocate()
            link.completionQueue.deallocate()
        }
        for payloads in memory { payloads.deallocate() }
    }

    /// The engine; call once.
    ///
    /// - Parameter destinationCount: peers that each endpoint sends to; counts into the completion delay where the
    ///   fabric keeps completions in software.
    /// - Parameter copies: who places bytes in memory that the CPU does not reach; outlives the engine.
    public func makeEngine(
        faults: FaultPlan, reportsTransmissions: Bool, recordsTimings: Bool = false,
        destinationCount: Int? = nil, copies: UnsafeMutablePointer<CopyQueue>? = nil
    ) -> NICEngine {
        NICEngine(
            model: fabric.model(
                parameters, faults: faults, reportsTransmissions: reportsTransmissions,
                recordsTimings: recordsTimings),
            rank: rank, links: links,
            destinationCount: destinationCount ?? max(1, fabric.rankCount / max(1, links.count)),
            copies: copies, hasOneThread: hasOneThread)
    }

    /// The endpoint of proxy `index`; call once for each. Endpoint 0 receives the immediates of the rank.
    public func makeEndpoint(
        _ index: Int, costs: PostingCosts, clock: UnsafeMutablePointer<StepClock>
    ) -> SoftNICEndpoint {
        let receives = index == 0 && fabric.hasReceiveQueues
        return SoftNICEndpoint(
            fabric: fabric, link: links[index],
            receiveQueue: receives ? CommandRingConsumer(fabric.view.receiveQueues[rank]) : nil,
            parameters: parameters, costs: costs, clock: clock)
    }
}
