// Where the arenas of a rank lie in the symmetric heap: same offsets on every rank.
#ifndef PERSEUS_ARENA_H
#define PERSEUS_ARENA_H

#include "perseus_signal.h"

/// Region ids of commands.
enum perseus_region {
    /// Rows. Writes may become visible in any order.
    PERSEUS_REGION_DATA = 0,
    /// Signal words. Registered for strict order: a write is visible after every earlier one of its
    /// queue pair.
    PERSEUS_REGION_SIGNAL = 1,
    /// Where immediate-based orderings stage signal words at the receiver, until its proxy may show
    /// them.
    PERSEUS_REGION_SIGNAL_SHADOW = 2
};

// A row is `row_stride` bytes: one hidden vector, padded to 16 bytes. `row` is always the row's
// index in the packed order of the rank that owns the token, so one index names it on the whole way
// and back.
//
//   data region     at the owner    sendData[row]               rows packed for dispatch
//                   at the expert   dispatchData[source][row]   rows received
//                   at the expert   resultData[source][row]     expert outputs, sent back from here
//                   at the owner    returnData[row]             expert outputs received
//   signal region   at the expert   dispatch words, then at the owner return words
//   shadow region   the same shape as the signal region

/// Sizes and byte offsets of one rank's arenas; equal on all ranks. Offsets count from their
/// region's base.
typedef struct perseus_arena_layout {
    uint32_t rank_count;
    /// Most packed rows of one rank: tokens x top-k, in the dropless worst case.
    uint32_t rows_per_source;
    /// Bytes from row to row; a multiple of 16.
    uint32_t row_stride;
    /// Dispatch words per source; at least 1.
    uint32_t max_experts_per_rank;
    uint32_t expert_count;
    uint32_t reserved;
    uint64_t send_data;
    uint64_t dispatch_data;
    uint64_t result_data;
    uint64_t return_data;
    uint64_t data_byte_count;
    uint64_t dispatch_words;
    uint64_t return_words;
    /// Bytes of the signal region, and of its shadow.
    uint64_t signal_byte_count;
} perseus_arena_layout;

PERSEUS_STATIC_ASSERT(sizeof(perseus_arena_layout) == 88, "arena layout size");
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, rows_per_source, 4);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, row_stride, 8);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, max_experts_per_rank, 12);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, send_data, 24);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, dispatch_data, 32);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, result_data, 40);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, return_data, 48);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, data_byte_count, 56);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, dispatch_words, 64);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, return_words, 72);
PERSEUS_ASSERT_OFFSET(perseus_arena_layout, signal_byte_count, 80);

/// Rounds up to the stride at which different writers do not share lines.
PERSEUS_INLINE uint64_t perseus_arena_round_up(uint64_t byte_count) {
    uint64_t mask = PERSEUS_SHARED_WORD_STRIDE - 1;
    return (byte_count + mask) & ~mask;
}

/// The layout for given sizes; arenas start at multiples of 128 bytes.
PERSEUS_INLINE perseus_arena_layout perseus_arena_layout_make(
    uint32_t rank_count, uint32_t rows_per_source, uint32_t row_stride,
    uint32_t max_experts_per_rank, uint32_t expert_count) {
    perseus_arena_layout layout;
    uint64_t packed = perseus_arena_round_up((uint64_t)rows_per_source * row_stride);
    uint64_t received = perseus_arena_round_up((uint64_t)rank_count * rows_per_source * row_stride);
    layout.rank_count = rank_count;
    layout.rows_per_source = rows_per_source;
    layout.row_stride = row_stride;
    layout.max_experts_per_rank = max_experts_per_rank > 0 ? max_experts_per_rank : 1;
    layout.expert_count = expert_count;
    layout.reserved = 0;
    layout.send_data = 0;
    layout.dispatch_data = packed;
    layout.result_data = layout.dispatch_data + received;
    layout.return_data = layout.result_data + received;
    layout.data_byte_count = layout.return_data + packed;
    layout.dispatch_words = 0;
    layout.return_words = perseus_arena_round_up(
        perseus_dispatch_word_index(rank_count, 0, layout.max_experts_per_rank) * 8);
    layout.signal_byte_count = layout.return_words
        + perseus_arena_round_up(perseus_return_word_count(rows_per_source, expert_count) * 8);
    return layout;
}

/// The same with results in the place of the rows that they are computed from, where a kernel has read all of these
/// before it stores the first result: a third of the memory less.
PERSEUS_INLINE perseus_arena_layout perseus_arena_layout_in_place(perseus_arena_layout layout) {
    uint64_t saved = layout.return_data - layout.result_data;
    layout.result_data = layout.dispatch_data;
    layout.return_data -= saved;
    layout.data_byte_count -= saved;
    return layout;
}

/// Byte offset of sendData[row] in the data region.
PERSEUS_INLINE uint64_t perseus_arena_send_row(const perseus_arena_layout *layout, uint64_t row) {
    return layout->send_data + row * layout->row_stride;
}

/// Byte offset of dispatchData[source][row] in the data region.
PERSEUS_INLINE uint64_t perseus_arena_dispatch_row(
    const perseus_arena_layout *layout, uint64_t source, uint64_t row) {
    return layout->dispatch_data + (source * layout->rows_per_source + row) * layout->row_stride;
}

/// Byte offset of resultData[source][row] in the data region.
PERSEUS_INLINE uint64_t perseus_arena_result_row(
    const perseus_arena_layout *layout, uint64_t source, uint64_t row) {
    return layout->result_data + (source * layout->rows_per_source + row) * layout->row_stride;
}

/// Byte offset of returnData[row] in the data region.
PERSEUS_INLINE uint64_t perseus_arena_return_row(const perseus_arena_layout *layout, uint64_t row) {
    return layout->return_data + row * layout->row_stride;
}

#endif
