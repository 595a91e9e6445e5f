// Stage 8 of 10 — observe: count arrived immediates, then let a signal word be seen.
// Upstream:   NICEngine+Wire.swift
// Downstream: Subscriber.swift

import CPerseusABI
import CPerseusShims

/// Publishes signal words that wait in the shadow region, once everything they cover has arrived.
///
/// Guarantees: a word of the signal region is stored (release) only after the immediates that cover its data were
/// seen. Requires of the NIC: each immediate exactly once; for `immediate-last` also that its receive completion
/// covers earlier writes of the queue pair. Does not guarantee: any order between words.
///
/// - Threading: the proxy that polls the receive completions; readers of the words use acquire loads.
@frozen
public struct ImmediateReceiver: BitwiseCopyable {
    @usableFromInline let words: UnsafeMutablePointer<UInt64>?
    @usableFromInline let shadow: UnsafeMutablePointer<UInt64>?
    @usableFromInline let layout: perseus_arena_layout
    @usableFromInline let countsData: Bool
    /// One cell per row of dispatchData [source][row], then of returnData [row]: 0 nothing yet, -1 the data came
    /// first, n > 0 the word n - 1 was announced first.
    @usableFromInline let cells: UnsafeMutablePointer<Int32>
    @usableFromInline let dispatchCellCount: Int

    /// A receiver for orderings that need none.
    public init() {
        words = nil
        shadow = nil
        layout = perseus_arena_layout()
        countsData = false
        dispatchCellCount = 0
        cells = .allocate(capacity: 1)
    }

    /// - Parameters:
    ///   - words: this rank's signal region. - shadow: its staging twin.
    ///   - countsData: a word waits for the immediate of its put (`counted-immediate`).
    public init(
        words: UnsafeMutablePointer<UInt64>, shadow: UnsafeMutablePointer<UInt64>,
        layout: perseus_arena_layout, countsData: Bool
    ) {
        self.words = words
        self.shadow = shadow
        self.layout = layout
        self.countsData = countsData
        dispatchCellCount = Int(layout.rank_count) * Int(layout.rows_per_source)
        let count = countsData ? dispatchCellCount + Int(layout.rows_per_source) : 1
        cells = .allocate(capacity: max(1, count))
        cells.initialize(repeating: 0, count: max(1, count))
    }

    /// Frees the cells; the proxy that owns the receiver calls it once.
    func deallocate() { cells.deallocate() }

    /// Handles one arrived immediate.
    @inlinable
    mutating func receive(source: UInt32, immediate: UInt32) {
        if immediate >> 31 == 0 {
            receiveData(byteOffset: UInt64(immediate) << 4)
            return
        }
        let first = Int(immediate >> 10 & 0x1F_FFFF)
        let count = Int(immediate & 0x3FF)
        for index in first..<first + count { announce(index) }
    }

    /// A signal word has come: publish it, unless its data is still on the way.
    @inlinable
    mutating func announce(_ index: Int) {
        let (words, shadow) = regions
        let word = perseus_load_acquire(shadow + index)
        // A source that is a round ahead may have replaced an empty word before this immediate was looked at: the
        // newer word is then announced twice.
        if word == perseus_load_relaxed(words + index) { return }
        if countsData && perseus_signal_rows(word) > 0 {
            let cell = cell(ofWord: index, word: word)
            if cells[cell] == 0 {
                cells[cell] = Int32(index + 1)
                return
            }
            if cells[cell] == Int32(index + 1) { return }
            precondition(cells[cell] < 0, "ImmediateReceiver: two words wait for the same data")
            cells[cell] = 0
        }
        perseus_store_release(words + index, word)
    }

    /// The data of some word has come: publish the word if it was announced already.
    @inlinable
    mutating func receiveData(byteOffset: UInt64) {
        let (words, shadow) = regions
        let cell = cell(ofByteOffset: byteOffset)
        if cells[cell] == 0 {
            cells[cell] = -1
            return
        }
        let index = Int(cells[cell]) - 1
        precondition(index >= 0, "ImmediateReceiver: the same data arrived twice")
        cells[cell] = 0
        perseus_store_release(words + index, perseus_load_acquire(shadow + index))
    }

    /// The signal region and its shadow. Unwrapped behind a precondition: a failing `guard let` would have to end
    /// the life of a value that cannot be copied, and put a deallocation into the hot path.
    @inlinable @inline(__always)
    var regions: (UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<UInt64>) {
        precondition(words != nil && shadow != nil, "ImmediateReceiver: not configured")
        return (words.unsafelyUnwrapped, shadow.unsafelyUnwrapped)
    }

    /// The cell of the first row that a word covers.
    @inlinable @inline(__always)
    func cell(ofWord index: Int, word: UInt64) -> Int {
        let row = Int(perseus_signal_first_row(word))
        if UInt64(index) << 3 >= layout.return_words { return dispatchCellCount + row }
        return index / Int(layout.max_experts_per_rank) * Int(layout.rows_per_source) + row
    }

    @inlinable @inline(__always)
    func cell(ofByteOffset offset: UInt64) -> Int {
        let stride = UInt64(layout.row_stride)
        if offset >= layout.return_data {
            return dispatchCellCount + Int((offset - layout.return_data) / stride)
        }
        return Int((offset - layout.dispatch_data) / stride)
    }
}
