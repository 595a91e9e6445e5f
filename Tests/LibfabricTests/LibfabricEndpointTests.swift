// The production proxy over real libfabric providers: is what a signal announces there when it is seen?

import CPerseusShims
import PerseusLibfabric
import PerseusPrimitives
import PerseusProxy
import PerseusTransport
import Testing

@Suite(.serialized) struct LibfabricEndpointTests {
    /// Those of this machine that need no hardware.
    static var providers: [String] {
        let known = Set(LibfabricProvider.available.map { String($0.name.prefix { $0 != ";" }) })
        return ["tcp", "shm", "sockets", "udp", "net"].filter(known.contains)
    }

    /// Puts of random sizes in groups, each group behind it a word.
    private struct Traffic {
        let seed: UInt64
        /// [group]: ranges of the data region.
        private(set) var groups: [[Range<Int>]] = []

        init(seed: UInt64) {
            self.seed = seed
            var random = SeededRandom(seed: seed)
            var offset = 0
            while groups.count < FabricPair.wordCount {
                var group: [Range<Int>] = []
                for _ in 0..<1 + Int(random.next() % 4) {
                    let isLarge = random.next() % 8 == 0
                    let units = 1 + Int(random.next() % (isLarge ? 4096 : 64))
                    guard offset + units * 16 <= FabricPair.dataByteCount else { return }
                    group.append(offset..<offset + units * 16)
                    offset += units * 16
                }
                groups.append(group)
            }
        }

        func payload(_ place: Int) -> UInt64 {
            (UInt64(place) &+ seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        }

        func fill(_ data: UnsafeMutableRawPointer) {
            for range in groups.joined() {
                for place in stride(from: range.lowerBound, to: range.upperBound, by: 8) {
                    data.storeBytes(of: payload(place), toByteOffset: place, as: UInt64.self)
                }
            }
        }

        func isThere(_ group: Int, in data: UnsafeMutableRawPointer) -> Bool {
            groups[group].allSatisfy { range in
                stride(from: range.lowerBound, to: range.upperBound, by: 8).allSatisfy {
                    data.load(fromByteOffset: $0, as: UInt64.self) == payload($0)
                }
            }
        }
    }

    /// Groups whose word was seen before their data was there.
    private func violations(
        _ provider: String, _ ordering: SignalOrdering, seed: UInt64, announcesFirst: Bool = false
    ) throws -> Int {
        let pair = try FabricPair(provider, ordering)
        let traffic = Traffic(seed: seed)
        traffic.fill(pair.data[0])
        var (seen, violations) = (0, 0)
        func look() {
            while seen < traffic.groups.count, pair.word(seen) == UInt64(seen + 1) {
                if !traffic.isThere(seen, in: pair.data[1]) { violations += 1 }
                seen += 1
            }
        }
        for (index, group) in traffic.groups.enumerated() {
            if announcesFirst {
                pair.signal(index, UInt64(index + 1))
                for _ in 0..<100_000 where pair.word(index) == 0 { pair.step() }
                look()
            }
            for range in group { pair.put(range) }
            if !announcesFirst { pair.signal(index, UInt64(index + 1)) }
            pair.step()
            look()
        }
        let deadline = perseus_monotonic_nanoseconds() + 20_000_000_000
        while seen < traffic.groups.count, pair.failure == nil {
            pair.step()
            look()
            if perseus_monotonic_nanoseconds() > deadline { break }
        }
        #expect(
            seen == traffic.groups.count && pair.failure == nil,
            "\(provider), \(ordering.rawValue), seed \(seed): \(seen) of \(traffic.groups.count) words, \(pair.failure.map { "\($0)" } ?? "no failure")"
        )
        return violations
    }

    @Test(arguments: providers)
    func dataIsThereWhenItsSignalIs(provider: String) throws {
        let promised = try FabricPair(provider, .drainPeer).guarantees
        let orderings = SignalOrdering.allCases.filter {
            $0.proof(on: promised).isProven && !$0.usesImmediates
        }
        #expect(orderings.contains(.drainPeer), "\(provider) promises nothing")
        for ordering in orderings {
            let seed = UInt64.random(in: 1...1 << 32)
            let count = try violations(provider, ordering, seed: seed)
            #expect(count == 0, "\(provider), \(ordering.rawValue): seed \(seed)")
        }
    }

    /// The checker sees what it is for.
    @Test(arguments: providers)
    func aSignalThatLeavesFirstIsCaught(provider: String) throws {
        let count = try violations(provider, .none, seed: 7, announcesFirst: true)
        #expect(count > 0, "\(provider)")
    }

    /// Where they are promised, immediates arrive once each, with their source.
    @Test(arguments: providers)
    func immediatesArriveOnce(provider: String) throws {
        let count = 300
        let pair = try EndpointPair(provider)
        guard pair.guarantees.holds(.immediatesExactlyOnce) else { return }
        var (posted, completed) = (0, 0)
        var seen = Array(repeating: 0, count: count)
        let deadline = perseus_monotonic_nanoseconds() + 20_000_000_000
        while completed < count || seen.contains(0), perseus_monotonic_nanoseconds() < deadline {
            if posted < count, pair.post(immediate: UInt32(posted)) { posted += 1 }
            pair.ringDoorbell()
            completed += pair.poll()
            for arrival in pair.arrivals() {
                #expect(arrival.source == 0)
                seen[Int(arrival.immediate)] += 1
            }
        }
        #expect(
            completed == count && seen.allSatisfy { $0 == 1 }, "\(provider): \(completed), \(seen)")
    }

    @Test func aProviderThatIsNotThereIsNamed() throws {
        guard case .success = LibfabricProvider.library else { return }
        let error = #expect(throws: PerseusError.self) {
            _ = try LibfabricEndpoint(provider: "nonsense", rank: 0, rankCount: 2)
        }
        #expect(error?.kind == .environment)
        #expect(error?.reason.contains("libfabric:nonsense") == true)
    }

    @Test func onlySocketsHasAFenceAmongTheSoftwareProviders() {
        for provider in LibfabricProvider.available where Self.providers.contains(provider.name) {
            #expect(
                provider.guarantees.holds(.fenceCoversWrites) == (provider.name == "sockets"),
                "\(provider.name)")
        }
    }
}

/// Two endpoints without proxies: rank 0 writes to rank 1.
private final class EndpointPair {
    /// [rank]
    private let endpoints: UnsafeMutablePointer<LibfabricEndpoint>
    private let memory: UnsafeMutablePointer<UInt64>
    private let completions: UnsafeMutablePointer<WorkCompletion>
    private let received: UnsafeMutablePointer<ReceiveCompletion>
    let guarantees: OrderingGuarantees
    private static let limit = 32

    init(_ provider: String) throws {
        memory = .allocate(capacity: 1024)
        memory.initialize(repeating: 0, count: 1024)
        completions = .allocate(capacity: Self.limit)
        received = .allocate(capacity: Self.limit)
        endpoints = .allocate(capacity: 2)
        let first = try LibfabricEndpoint(provider: provider, rank: 0, rankCount: 2)
        let second = try LibfabricEndpoint(provider: provider, rank: 1, rankCount: 2)
        let own = try first.address([try first.register(region: 0, base: memory, byteCount: 4096)])
        let other = try second.address([
            try second.register(region: 0, base: memory + 512, byteCount: 4096)
        ])
        for (peer, address) in [own, other].enumerated() {
            try first.connect(peer, address)
            try second.connect(peer, address)
        }
        guarantees = first.guarantees
        endpoints.initialize(to: first)
        (endpoints + 1).initialize(to: second)
    }

    deinit {
        endpoints.deinitialize(count: 2)
        endpoints.deallocate()
        memory.deallocate()
        completions.deallocate()
        received.deallocate()
    }

    func post(immediate: UInt32) -> Bool {
        var request = WorkRequest(
            operation: .writeWithImmediate, peer: 1, queue: 0, byteCount: 64,
            identifier: UInt64(immediate))
        request.immediate = immediate
        return endpoints[0].post(request) == .accepted
    }

    func ringDoorbell() { endpoints[0].ringDoorbell() }

    /// Progress of both; requests of the first that have completed.
    func poll() -> Int {
        _ = endpoints[1].poll(completions, limit: Self.limit)
        let count = endpoints[0].poll(completions, limit: Self.limit)
        for index in 0..<count { #expect(completions[index].status == .success) }
        return count
    }

    func arrivals() -> [ReceiveCompletion] {
        let count = endpoints[1].pollReceive(received, limit: Self.limit)
        return (0..<count).map { received[$0] }
    }
}
