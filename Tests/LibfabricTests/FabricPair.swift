// Two ranks in one process, each with the production proxy over an endpoint of its own.

import CPerseusShims
import PerseusCommandRing
import PerseusLibfabric
import PerseusPrimitives
import PerseusProxy
import PerseusTransport

/// Rank 0 sends, rank 1 receives.
final class FabricPair {
    static let dataByteCount = 8 << 20
    static let wordCount = 256
    let guarantees: OrderingGuarantees
    private let ring: CommandRing
    private let idleRing: CommandRing
    private let memory: [UnsafeMutableRawPointer]
    private let boards: [CompletionBoard]
    private let proxies: UnsafeMutablePointer<ProxyLoop<LibfabricEndpoint>>
    /// [rank]
    let data: [UnsafeMutableRawPointer]
    let words: [UnsafeMutablePointer<UInt64>]

    init(_ provider: String, _ ordering: SignalOrdering) throws {
        let capacity = 1024
        let ringBytes = CommandRing.byteCount(capacity: capacity)
        data = (0..<2).map { _ in
            let region = UnsafeMutableRawPointer.allocate(
                byteCount: Self.dataByteCount, alignment: 4096)
            region.initializeMemory(as: UInt8.self, repeating: 0, count: Self.dataByteCount)
            return region
        }
        words = (0..<2).map { _ in
            let region = UnsafeMutablePointer<UInt64>.allocate(capacity: Self.wordCount)
            region.initialize(repeating: 0, count: Self.wordCount)
            return region
        }
        memory = (0..<2).map { _ in .allocate(byteCount: ringBytes, alignment: 128) }
        ring = CommandRing.initialize(at: memory[0], capacity: capacity)
        idleRing = CommandRing.initialize(at: memory[1], capacity: capacity)
        boards = (0..<2).map { _ in CompletionBoard(wordCount: 1) }
        proxies = .allocate(capacity: 2)
        let first = try LibfabricEndpoint(provider: provider, rank: 0, rankCount: 2)
        let second = try LibfabricEndpoint(provider: provider, rank: 1, rankCount: 2)
        guarantees = first.guarantees
        let addresses = [
            try Self.address(first, data[0], words[0]), try Self.address(second, data[1], words[1]),
        ]
        for (peer, address) in addresses.enumerated() {
            try first.connect(peer, address)
            try second.connect(peer, address)
        }
        var configuration = ProxyConfiguration()
        configuration.coalesces = true
        proxies.initialize(
            to: ProxyLoop(
                transport: first, rings: [ring], rankCount: 2, ordering: ordering,
                receiver: ImmediateReceiver(), board: boards[0], configuration: configuration))
        (proxies + 1).initialize(
            to: ProxyLoop(
                transport: second, rings: [idleRing], rankCount: 2, ordering: ordering,
                receiver: ImmediateReceiver(), board: boards[1], configuration: configuration))
    }

    deinit {
        proxies.deinitialize(count: 2)
        proxies.deallocate()
        for region in data + memory { region.deallocate() }
        for region in words { region.deallocate() }
        for board in boards { board.deallocate() }
    }

    private static func address(
        _ endpoint: borrowing LibfabricEndpoint, _ data: UnsafeMutableRawPointer,
        _ words: UnsafeMutablePointer<UInt64>
    ) throws(PerseusError) -> LibfabricAddress {
        try endpoint.address([
            try endpoint.register(region: 0, base: data, byteCount: dataByteCount),
            try endpoint.register(
                region: 1, base: UnsafeMutableRawPointer(words), byteCount: wordCount * 8),
        ])
    }

    var failure: StuckOperation? { proxies[0].failure ?? proxies[1].failure }
    var counters: ProxyCounters { proxies[0].counters }

    /// Both proxies once.
    func step() {
        let now = perseus_monotonic_nanoseconds()
        _ = proxies[0].step(now: now)
        _ = proxies[1].step(now: now)
    }

    /// Steps until `push` finds room.
    private func pushing(_ push: () -> Bool) {
        while !push() && failure == nil { step() }
    }

    func put(_ bytes: Range<Int>) {
        pushing {
            ring.tryPush(
                .put(
                    destination: 1, source: HeapLocation(.data, byteOffset: bytes.lowerBound),
                    target: HeapLocation(.data, byteOffset: bytes.lowerBound),
                    byteCount: bytes.count, flags: []))
        }
    }

    func signal(_ index: Int, _ word: UInt64) {
        let header = Command.signalBlock(
            destination: 1, target: HeapLocation(.signal, byteOffset: index * 8), wordCount: 1,
            flags: [])
        pushing {
            [word].withUnsafeBufferPointer { ring.tryPush(header: header, operands: $0) }
        }
    }

    func word(_ index: Int) -> UInt64 { perseus_load_acquire(words[1] + index) }
}
