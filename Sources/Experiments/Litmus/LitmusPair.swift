// Two ranks in one process that send each other groups of rows and words, over whatever transport, with the production proxy.

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusPrimitives
import PerseusProxy
import PerseusTransport

/// The memory of both ranks, before any NIC knows of it.
final class LitmusMemory {
    /// Rows of one batch, bytes of a row, and words.
    static let rowCount = 1024
    static let rowBytes = 4096
    static let wordCount = 64
    let layout: perseus_arena_layout
    /// [rank]
    let data: [UnsafeMutableRawPointer]
    let words: [UnsafeMutablePointer<UInt64>]
    let shadows: [UnsafeMutablePointer<UInt64>]

    var dataByteCount: Int { Int(layout.data_byte_count) }
    var wordByteCount: Int { Int(layout.signal_byte_count) }

    init() {
        let layout = perseus_arena_layout_in_place(
            perseus_arena_layout_make(
                2, UInt32(Self.rowCount), UInt32(Self.rowBytes), UInt32(Self.wordCount),
                UInt32(Self.wordCount)))
        self.layout = layout
        data = (0..<2).map { _ in
            let region = UnsafeMutableRawPointer.allocate(
                byteCount: Int(layout.data_byte_count), alignment: 4096)
            region.initializeMemory(
                as: UInt8.self, repeating: 0, count: Int(layout.data_byte_count))
            return region
        }
        func makeWords() -> UnsafeMutablePointer<UInt64> {
            let words = UnsafeMutableRawPointer.allocate(
                byteCount: Int(layout.signal_byte_count), alignment: 4096
            ).bindMemory(to: UInt64.self, capacity: Int(layout.signal_byte_count) / 8)
            words.initialize(repeating: 0, count: Int(layout.signal_byte_count) / 8)
            return words
        }
        words = (0..<2).map { _ in makeWords() }
        shadows = (0..<2).map { _ in makeWords() }
    }

    deinit {
        for region in data { region.deallocate() }
        for region in words + shadows { region.deallocate() }
    }

    func sendRow(_ row: Int) -> Int {
        withUnsafePointer(to: layout) { Int(perseus_arena_send_row($0, UInt64(row))) }
    }

    func dispatchRow(source: Int, _ row: Int) -> Int {
        withUnsafePointer(to: layout) {
            Int(perseus_arena_dispatch_row($0, UInt64(source), UInt64(row)))
        }
    }
}

/// The next groups of one sender: rows that follow each other, and the word that announces them.
struct LitmusBatch {
    let sender: Int
    let epoch: UInt64
    let seed: UInt64
    /// [word]
    private(set) var groups: [Range<Int>] = []

    /// - Parameter mostWords: groups at most; batches end earlier when the rows do.
    init(sender: Int, epoch: UInt64, seed: UInt64, mostWords: Int) {
        self.sender = sender
        self.epoch = epoch
        self.seed = seed
        var random = SeededRandom(seed: seed, stream: epoch)
        var row = 0
        while groups.count < min(mostWords, LitmusMemory.wordCount) {
            // Mostly a few rows, sometimes a megabyte: what a signal overtakes is what takes long.
            let count = 1 + Int(random.next() % (random.next() % 8 == 0 ? 256 : 12))
            guard row + count <= LitmusMemory.rowCount else { return }
            groups.append(row..<row + count)
            row += count
        }
    }

    func payload(row: Int, place: Int) -> UInt64 {
        let index = (epoch &* UInt64(LitmusMemory.rowCount) &+ UInt64(row)) &* 512
        return (index &+ UInt64(place) &+ seed) &* 0x9E37_79B9_7F4A_7C15 | 1
    }

    func word(_ group: Int) -> UInt64 {
        perseus_signal_make(epoch, UInt64(groups[group].lowerBound), UInt64(groups[group].count))
    }
}

/// Both ranks.
final class LitmusPair<NIC: Transport & ~Copyable> {
    private let memory: LitmusMemory
    private let ordering: SignalOrdering
    private let rings: [CommandRing]
    private let ringMemory: [UnsafeMutableRawPointer]
    private let boards: [CompletionBoard]
    private let proxies: UnsafeMutablePointer<ProxyLoop<NIC>>
    /// Moves what the endpoints have posted, where they do not do it themselves; returns their time.
    private let progress: () -> UInt64
    private static var ringCapacity: Int { 1024 }

    init(
        _ memory: LitmusMemory, _ ordering: SignalOrdering, first: consuming NIC,
        second: consuming NIC, progress: @escaping () -> UInt64
    ) {
        self.memory = memory
        self.ordering = ordering
        self.progress = progress
        let byteCount = CommandRing.byteCount(capacity: Self.ringCapacity)
        ringMemory = (0..<2).map { _ in .allocate(byteCount: byteCount, alignment: 128) }
        rings = ringMemory.map { CommandRing.initialize(at: $0, capacity: Self.ringCapacity) }
        boards = (0..<2).map { _ in CompletionBoard(wordCount: 1) }
        proxies = .allocate(capacity: 2)
        proxies.initialize(to: Self.proxy(0, consume first, memory, ordering, rings, boards))
        (proxies + 1).initialize(
            to: Self.proxy(1, consume second, memory, ordering, rings, boards))
    }

    deinit {
        proxies.deinitialize(count: 2)
        proxies.deallocate()
        for memory in ringMemory { memory.deallocate() }
        for board in boards { board.deallocate() }
    }

    private static func proxy(
        _ rank: Int, _ transport: consuming NIC, _ memory: LitmusMemory,
        _ ordering: SignalOrdering, _ rings: [CommandRing], _ boards: [CompletionBoard]
    ) -> ProxyLoop<NIC> {
        var configuration = ProxyConfiguration()
        configuration.coalesces = true
        let receiver =
            ordering.usesImmediates
            ? ImmediateReceiver(
                words: memory.words[rank], shadow: memory.shadows[rank], layout: memory.layout,
                countsData: ordering == .countedImmediate)
            : ImmediateReceiver()
        return ProxyLoop(
            transport: transport, rings: [rings[rank]], rankCount: 2, ordering: ordering,
            receiver: receiver, board: boards[rank], configuration: configuration)
    }

    // MARK: A batch

    /// Sends one batch and looks at its rows when their words are seen.
    ///
    /// - Returns: groups whose word was there before all of their rows were.
    /// - Errors: `deadline` when words do not come.
    func send(_ batch: LitmusBatch, deadline: UInt64) throws(PerseusError) -> Int {
        fill(batch)
        let begin = perseus_monotonic_nanoseconds()
        var (next, seen, violations) = (0, Set<Int>(), 0)
        while seen.count < batch.groups.count {
            // A few groups under way at a time, so that signals have something to overtake.
            if next < batch.groups.count, push(batch, group: next) { next += 1 }
            step()
            for group in batch.groups.indices
            where !seen.contains(group) && isAnnounced(batch, group) {
                seen.insert(group)
                if !isThere(batch, group) { violations += 1 }
            }
            if let failure = proxies[0].failure ?? proxies[1].failure {
                throw PerseusError(.deadline, "ordering \(ordering.rawValue): \(failure)")
            }
            guard perseus_monotonic_nanoseconds() &- begin <= deadline else {
                throw PerseusError(
                    .deadline,
                    "ordering \(ordering.rawValue): \(seen.count) of \(batch.groups.count) words of rank"
                        + " \(batch.sender) came within \(deadline / 1_000_000) ms")
            }
        }
        try drain(begin, deadline)
        return violations
    }

    /// Rows may be written again when nothing is under way.
    private func drain(_ begin: UInt64, _ deadline: UInt64) throws(PerseusError) {
        var idle = 0
        while idle < 100 {
            idle = step() ? 0 : idle + 1
            guard perseus_monotonic_nanoseconds() &- begin <= deadline else {
                throw PerseusError(
                    .deadline, "ordering \(ordering.rawValue): the proxies do not come to rest")
            }
        }
    }

    /// Everybody once; false: nothing happened.
    @discardableResult
    private func step() -> Bool {
        let now = progress()
        let first = proxies[0].step(now: now)
        let second = proxies[1].step(now: now)
        return !first.isIdle || !second.isIdle
    }

    private func fill(_ batch: LitmusBatch) {
        let receiver = 1 - batch.sender
        memory.data[receiver].advanced(by: memory.dispatchRow(source: batch.sender, 0))
            .initializeMemory(
                as: UInt8.self, repeating: 0xFF,
                count: LitmusMemory.rowCount * LitmusMemory.rowBytes)
        for row in batch.groups.flatMap(\.self) {
            let target = memory.data[batch.sender] + memory.sendRow(row)
            for place in 0..<LitmusMemory.rowBytes / 8 {
                target.storeBytes(
                    of: batch.payload(row: row, place: place), toByteOffset: place * 8,
                    as: UInt64.self)
            }
        }
    }

    /// Pushes a group's puts and its word; false: there is no room for both.
    private func push(_ batch: LitmusBatch, group: Int) -> Bool {
        let rows = batch.groups[group]
        let ring = rings[batch.sender]
        // What counts puts counts one for each word.
        let portion = ordering == .countedImmediate ? rows.count : 64
        let taken = Int(ring.claimedPosition &- ring.retiredPosition)
        guard Self.ringCapacity - taken > (rows.count + portion - 1) / portion + 2 else {
            return false
        }
        for first in stride(from: rows.lowerBound, to: rows.upperBound, by: portion) {
            let count = min(portion, rows.upperBound - first)
            _ = ring.tryPush(
                .put(
                    destination: 1 - batch.sender,
                    source: HeapLocation(.data, byteOffset: memory.sendRow(first)),
                    target: HeapLocation(
                        .data, byteOffset: memory.dispatchRow(source: batch.sender, first)),
                    byteCount: count * LitmusMemory.rowBytes, flags: []))
        }
        let header = Command.signalBlock(
            destination: 1 - batch.sender,
            target: HeapLocation(.signal, byteOffset: place(batch, group) * 8), wordCount: 1,
            flags: .lastOfGroup)
        return [batch.word(group)].withUnsafeBufferPointer {
            ring.tryPush(header: header, operands: $0)
        }
    }

    private func place(_ batch: LitmusBatch, _ group: Int) -> Int {
        Int(
            perseus_dispatch_word_index(
                UInt32(batch.sender), UInt32(group), memory.layout.max_experts_per_rank))
    }

    private func isAnnounced(_ batch: LitmusBatch, _ group: Int) -> Bool {
        perseus_load_acquire(memory.words[1 - batch.sender] + place(batch, group))
            == batch.word(group)
    }

    private func isThere(_ batch: LitmusBatch, _ group: Int) -> Bool {
        let data = memory.data[1 - batch.sender]
        // The last row first: what is written last is what a signal overtakes.
        return batch.groups[group].reversed().allSatisfy { row in
            let source = data + memory.dispatchRow(source: batch.sender, row)
            return (0..<LitmusMemory.rowBytes / 8).allSatisfy { place in
                source.load(fromByteOffset: place * 8, as: UInt64.self)
                    == batch.payload(row: row, place: place)
            }
        }
    }
}
