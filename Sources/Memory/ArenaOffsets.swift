// Byte offsets inside a rank's regions: the Swift spelling of the layout in perseus_arena.h.

import CPerseusABI

extension perseus_arena_layout {
    /// sendData[row], bytes in the data region.
    @inlinable @inline(__always)
    public func sendOffset(row: Int) -> UInt64 { send_data + UInt64(row) * UInt64(row_stride) }

    /// dispatchData[source][row].
    @inlinable @inline(__always)
    public func dispatchOffset(source: Int, row: Int) -> UInt64 {
        dispatch_data + UInt64(source * Int(rows_per_source) + row) * UInt64(row_stride)
    }

    /// resultData[source][row].
    @inlinable @inline(__always)
    public func resultOffset(source: Int, row: Int) -> UInt64 {
        result_data + UInt64(source * Int(rows_per_source) + row) * UInt64(row_stride)
    }

    /// returnData[row].
    @inlinable @inline(__always)
    public func returnOffset(row: Int) -> UInt64 { return_data + UInt64(row) * UInt64(row_stride) }

    /// Word [source][localExpert] of the dispatch words, counted from the start of the signal region.
    @inlinable @inline(__always)
    public func dispatchWord(source: Int, localExpert: Int) -> Int {
        source * Int(max_experts_per_rank) + localExpert
    }

    /// The return word of the block that starts at `row`, counted from the start of the signal region.
    @inlinable @inline(__always)
    public func returnWord(row: Int, expert: Int) -> Int {
        Int(return_words >> 3) + Int(perseus_return_word_index(UInt64(row), UInt32(expert)))
    }

    /// The first return word, counted from the start of the signal region.
    @inlinable @inline(__always)
    public var firstReturnWord: Int { Int(return_words >> 3) }
}
