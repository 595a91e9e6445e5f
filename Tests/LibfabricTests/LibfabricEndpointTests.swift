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
