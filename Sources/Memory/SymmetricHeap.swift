// The memory of one rank that its peers may write to: same offsets on every rank.

import CPerseusABI
import Glibc
import PerseusPrimitives

/// One rank's data, signal and shadow regions (`perseus_arena.h`).
///
/// The data region is mapped lazily: rows that no token is sent to cost no memory. Signal regions start as zeros,
/// which reads as "never written".
/// - Threading: the owner frees it after everybody else has stopped.
public final class SymmetricHeap: @unchecked Sendable {
    public let layout: perseus_arena_layout
    /// nil in a run with modelled compute, which moves no bytes.
    public let data: UnsafeMutableRawPointer?
    public let signalWords: UnsafeMutablePointer<UInt64>
    /// nil where no ordering stages signal words.
    public let shadowWords: UnsafeMutablePointer<UInt64>?
    private let signalWordCount: Int
    /// Where the regions lie, in a job of processes; nil: this object owns them.
    private let shared: SharedMemory?

    /// - Throws: `environment` when the address space cannot be had.
    public init(layout: perseus_arena_layout, hasData: Bool, hasShadow: Bool = true) throws {
        self.layout = layout
        if hasData {
            let mapped = mmap(
                nil, Int(layout.data_byte_count), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
            guard let mapped, mapped != MAP_FAILED else {
                throw PerseusError(
                    .environment,
                    "cannot map \(layout.data_byte_count) bytes for the arenas of a rank: errno \(errno);"
                        + " try fewer tokens or --heap-limit")
            }
            data = mapped
        } else {
            data = nil
        }
        shared = nil
        signalWordCount = Int(layout.signal_byte_count) / 8
        signalWords = .allocateDense(capacity: signalWordCount)
        signalWords.initialize(repeating: 0, count: signalWordCount)
        shadowWords = hasShadow ? .allocateDense(capacity: signalWordCount) : nil
        shadowWords?.initialize(repeating: 0, count: signalWordCount)
    }

    /// Regions in shared memory, at byte offsets that are multiples of a page; zeros where nobody has written.
    public init(
        layout: perseus_arena_layout, in memory: SharedMemory, data: Int?, signals: Int,
        shadow: Int?
    ) {
        self.layout = layout
        shared = memory
        signalWordCount = Int(layout.signal_byte_count) / 8
        self.data = data.map { memory.base + $0 }
        signalWords = (memory.base + signals).bindMemory(
            to: UInt64.self, capacity: signalWordCount)
        let count = signalWordCount
        shadowWords = shadow.map {
            (memory.base + $0).bindMemory(to: UInt64.self, capacity: count)
        }
    }

    deinit {
        guard shared == nil else { return }
        if let data { munmap(data, Int(layout.data_byte_count)) }
        signalWords.deallocateDense()
        shadowWords?.deallocateDense()
    }

    /// Fills the receiving arenas with NaN patterns, so that a row which nobody wrote cannot pass for data.
    ///
    /// Touches every page: for tests and small runs.
    public func poison() {
        guard let data else { return }
        let begin = Int(layout.dispatch_data)
        memset(data + begin, 0xFF, Int(layout.data_byte_count) - begin)
    }
}
