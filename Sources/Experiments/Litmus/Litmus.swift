// Attacks the claim that a signal stays behind its data, ordering by ordering, on one fabric.

import CPerseusABI
import CPerseusShims
import PerseusLibfabric
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC
import PerseusTransport

/// What carries a litmus test between the two ranks of this process.
public enum LitmusFabric: Sendable {
    /// The soft NIC of a profile, on a clock of its own: the same trials find the same.
    case softNIC(Profile)
    /// A libfabric provider of this machine.
    case libfabric(String)

    public var name: String {
        switch self {
        case .softNIC(let profile): "softnic:\(profile.name)"
        case .libfabric(let provider): "libfabric:\(provider)"
        }
    }
}

/// What was found out about one ordering on one fabric.
public struct LitmusResult: Codable, Equatable, Sendable {
    public enum Verdict: String, Codable, Sendable {
        case proven = "proven by document"
        case notContradicted = "not contradicted"
        case violated
    }

    public var fabric: String
    public var ordering: String
    public var verdict: Verdict
    /// Groups of puts that were announced and looked at.
    public var trials: Int
    /// Of these, groups whose signal was seen before all of their bytes were there.
    public var violations: Int
    /// The promise that the ordering builds on, with its source; nil: there is none.
    public var guarantee: String?

    /// A promise that does not hold.
    public var isBrokenPromise: Bool { verdict == .violated && guarantee != nil }
}

/// How a litmus test is done.
public struct LitmusPlan: Sendable {
    public var fabric: LitmusFabric
    /// Tried in this order; those that the fabric does not promise only with `triesUnproven`.
    public var orderings: [SignalOrdering] = LitmusPlan.testable
    public var triesUnproven = false
    /// Of each ordering.
    public var trials = 2000
    public var seed: UInt64 = 1
    /// Nanoseconds that a batch may take.
    public var deadline: UInt64 = 10_000_000_000

    public init(_ fabric: LitmusFabric) { self.fabric = fabric }

    /// An addition has no place for the words of these trials.
    public static var testable: [SignalOrdering] {
        SignalOrdering.allCases.filter { $0 != .atomic }
    }

    /// Runs the trials of all orderings.
    ///
    /// - Parameter progress: told the ordering that begins.
    /// - Errors: `environment` when the fabric is not there, `deadline` when words do not come.
    public func run(progress: (SignalOrdering) -> Void = { _ in }) throws -> [LitmusResult] {
        let promised = try promises()
        var results: [LitmusResult] = []
        for ordering in orderings {
            let (isProven, reason) = ordering.proof(on: promised(ordering))
            guard isProven || triesUnproven else { continue }
            progress(ordering)
            let violations = try violations(ordering)
            results.append(
                LitmusResult(
                    fabric: fabric.name, ordering: ordering.rawValue,
                    verdict: violations > 0 ? .violated : isProven ? .proven : .notContradicted,
                    trials: trials, violations: violations, guarantee: isProven ? reason : nil))
        }
        return results
    }

    /// What the fabric promises to an ordering: a soft NIC is set up for each, a provider is asked once.
    private func promises() throws(PerseusError) -> (SignalOrdering) -> OrderingGuarantees {
        switch fabric {
        case .softNIC(let profile): return { profile.litmusNIC(for: $0).guarantees }
        case .libfabric(let provider):
            let endpoint = try LibfabricEndpoint(provider: provider, rank: 0, rankCount: 2)
            let granted = endpoint.guarantees
            return { _ in granted }
        }
    }

    /// Batches of either rank by turns, until there were enough groups.
    private func violations(_ ordering: SignalOrdering) throws(PerseusError) -> Int {
        let memory = LitmusMemory()
        switch fabric {
        case .softNIC(let profile):
            let wiring = SoftLitmus(memory, profile.litmusNIC(for: ordering), ordering)
            return try run(
                LitmusPair(
                    memory, ordering, first: wiring.endpoint(0), second: wiring.endpoint(1),
                    progress: wiring.step))
        case .libfabric(let provider):
            let first = try LibfabricEndpoint(provider: provider, rank: 0, rankCount: 2)
            let second = try LibfabricEndpoint(provider: provider, rank: 1, rankCount: 2)
            let addresses = [try memory.publish(0, first), try memory.publish(1, second)]
            for (peer, address) in addresses.enumerated() {
                try first.connect(peer, address)
                try second.connect(peer, address)
            }
            return try run(
                LitmusPair(
                    memory, ordering, first: first, second: second,
                    progress: perseus_monotonic_nanoseconds))
        }
    }

    private func run<NIC: Transport & ~Copyable>(
        _ pair: LitmusPair<NIC>
    ) throws(PerseusError) -> Int {
        var (done, violations, epoch) = (0, 0, UInt64(1))
        while done < trials {
            let batch = LitmusBatch(
                sender: Int(epoch & 1), epoch: epoch, seed: seed, mostWords: trials - done)
            violations += try pair.send(batch, deadline: deadline)
            done += batch.groups.count
            epoch += 1
        }
        return violations
    }
}

extension Profile {
    /// The NIC as a test that may go without a promise sees it.
    fileprivate func litmusNIC(for ordering: SignalOrdering) -> NICParameters {
        nic(for: ordering == .none ? .fenceFlag : ordering)
    }
}

extension LitmusMemory {
    /// Registers a rank's memory, and says where it is.
    fileprivate func publish(
        _ rank: Int, _ endpoint: borrowing LibfabricEndpoint
    ) throws(PerseusError) -> LibfabricAddress {
        let regions = [
            (PERSEUS_REGION_DATA, data[rank], dataByteCount),
            (PERSEUS_REGION_SIGNAL, UnsafeMutableRawPointer(words[rank]), wordByteCount),
            (PERSEUS_REGION_SIGNAL_SHADOW, UnsafeMutableRawPointer(shadows[rank]), wordByteCount),
        ]
        var published: [LibfabricAddress.Region] = []
        for (region, base, byteCount) in regions {
            published.append(
                try endpoint.register(
                    region: Int(region.rawValue), base: base, byteCount: byteCount))
        }
        return try endpoint.address(published)
    }
}

/// Two soft NICs and the fabric between them.
private final class SoftLitmus {
    private let fabric: SoftFabric
    private let nics: [SoftNIC]
    private let engines: UnsafeMutablePointer<NICEngine>
    private let clocks: UnsafeMutablePointer<StepClock>
    private var now: UInt64 = 0

    init(_ memory: LitmusMemory, _ parameters: NICParameters, _ ordering: SignalOrdering) {
        let fabric = SoftFabric(
            rankCount: 2, receiveDepth: ordering.usesImmediates ? 1024 : 0)
        self.fabric = fabric
        for rank in 0..<2 {
            let regions = [
                (PERSEUS_REGION_DATA, memory.data[rank], memory.dataByteCount),
                (
                    PERSEUS_REGION_SIGNAL, UnsafeMutableRawPointer(memory.words[rank]),
                    memory.wordByteCount
                ),
                (
                    PERSEUS_REGION_SIGNAL_SHADOW, UnsafeMutableRawPointer(memory.shadows[rank]),
                    memory.wordByteCount
                ),
            ]
            for (region, base, byteCount) in regions {
                fabric.register(
                    rank: rank, region: Int(region.rawValue),
                    SoftRegion(base: base, byteCount: UInt64(byteCount)))
            }
        }
        nics = (0..<2).map {
            SoftNIC(
                fabric: fabric, rank: $0, endpointCount: 1, queueCount: 1, sendCapacity: 4096,
                parameters: parameters)
        }
        engines = .allocate(capacity: 2)
        for rank in 0..<2 {
            (engines + rank).initialize(
                to: nics[rank].makeEngine(faults: FaultPlan(), reportsTransmissions: false))
        }
        clocks = .allocate(capacity: 2)
        clocks.initialize(repeating: StepClock(), count: 2)
    }

    deinit {
        engines.deinitialize(count: 2)
        engines.deallocate()
        clocks.deallocate()
    }

    func endpoint(_ rank: Int) -> SoftNICEndpoint {
        nics[rank].makeEndpoint(0, costs: PostingCosts(), clock: clocks + rank)
    }

    /// A step of both NICs, 100 ns after the one before.
    func step() -> UInt64 {
        now += 100
        for rank in 0..<2 {
            clocks[rank].now = now
            _ = engines[rank].step(now: now)
        }
        return now
    }
}
