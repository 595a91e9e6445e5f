// The 64-bit word at a peer that says: these rows of this epoch are visible.
#ifndef PERSEUS_SIGNAL_H
#define PERSEUS_SIGNAL_H

#include "perseus_base.h"

//   63         62...48   47...24    23...0
//   reserved   epoch     firstRow   rows
//   0          15        24         24
//
// Bit 63 stays 0, because it is the parity bit while the word travels in an operand slot.
// A word of all zeros was never written: epochs count from 1. Words are never reset; a reader
// compares epochs with `perseus_epoch_distance`, which is right as long as two parties are less
// than 2^14 epochs apart. Each word has one writer and its epochs only grow, so a repeated write is
// harmless.
//
// Dispatch words, at the receiver:
//     word[source][maxExpertsPerRank]; index = source * maxExpertsPerRank + localExpert.
//     A source writes one word for every expert of the receiver, empty (rows = 0) or not; when the
//     receiver owns no expert, it still writes word [source][0]. firstRow is the row in the
//     source's packed order.
//
// Return words, at the token's owner, one for each block of up to 64 packed rows of one expert:
//     index = (packedRow >> 6) + globalExpert, packedRow being the first row of the block.
//     Strictly increasing along the packed order: the next block of an expert starts 64 rows later,
//     and the next expert adds 1. There are (rows >> 6) + experts + 1 words in all, rows being the
//     packed rows of the owner.

enum {
    PERSEUS_SIGNAL_ROWS_SHIFT = 0,
    PERSEUS_SIGNAL_ROWS_WIDTH = 24,
    PERSEUS_SIGNAL_FIRST_ROW_SHIFT = 24,
    PERSEUS_SIGNAL_FIRST_ROW_WIDTH = 24,
    PERSEUS_SIGNAL_EPOCH_SHIFT = 48,
    PERSEUS_SIGNAL_EPOCH_WIDTH = 15,
    /// log2 of the rows that one return word covers.
    PERSEUS_RETURN_BLOCK_SHIFT = 6
};

PERSEUS_STATIC_ASSERT(
    (int)PERSEUS_SIGNAL_ROWS_SHIFT + PERSEUS_SIGNAL_ROWS_WIDTH == PERSEUS_SIGNAL_FIRST_ROW_SHIFT
        && (int)PERSEUS_SIGNAL_FIRST_ROW_SHIFT + PERSEUS_SIGNAL_FIRST_ROW_WIDTH
            == PERSEUS_SIGNAL_EPOCH_SHIFT
        && (int)PERSEUS_SIGNAL_EPOCH_SHIFT + PERSEUS_SIGNAL_EPOCH_WIDTH == 63,
    "fields of a signal word touch and leave bit 63 free");

/// A signal word. `epoch` is taken modulo 2^15; the rows must fit 24 bits each.
PERSEUS_INLINE uint64_t perseus_signal_make(uint64_t epoch, uint64_t first_row, uint64_t rows) {
    return (epoch & perseus_low_bits(PERSEUS_SIGNAL_EPOCH_WIDTH)) << PERSEUS_SIGNAL_EPOCH_SHIFT
        | first_row << PERSEUS_SIGNAL_FIRST_ROW_SHIFT | rows << PERSEUS_SIGNAL_ROWS_SHIFT;
}

PERSEUS_INLINE uint32_t perseus_signal_epoch(uint64_t word) {
    return (uint32_t)perseus_field(word, PERSEUS_SIGNAL_EPOCH_SHIFT, PERSEUS_SIGNAL_EPOCH_WIDTH);
}

PERSEUS_INLINE uint32_t perseus_signal_first_row(uint64_t word) {
    return (uint32_t)perseus_field(
        word, PERSEUS_SIGNAL_FIRST_ROW_SHIFT, PERSEUS_SIGNAL_FIRST_ROW_WIDTH);
}

PERSEUS_INLINE uint32_t perseus_signal_rows(uint64_t word) {
    return (uint32_t)perseus_field(word, PERSEUS_SIGNAL_ROWS_SHIFT, PERSEUS_SIGNAL_ROWS_WIDTH);
}

/// `a - b` in the ring of 2^15 epochs, as a signed number in -16384 ... 16383; positive when `a` is
/// newer.
PERSEUS_INLINE int32_t perseus_epoch_distance(uint32_t a, uint32_t b) {
    uint32_t difference = (a - b) & 0x7FFF;
    return (int32_t)(difference ^ 0x4000) - 0x4000;
}

/// True when `word` was written and is not older than `epoch`.
PERSEUS_INLINE int perseus_signal_reached(uint64_t word, uint32_t epoch) {
    return word != 0 && perseus_epoch_distance(perseus_signal_epoch(word), epoch) >= 0;
}

/// Index of the dispatch word of `local_expert` written by `source`, in words.
PERSEUS_INLINE uint64_t perseus_dispatch_word_index(
    uint32_t source, uint32_t local_expert, uint32_t max_experts_per_rank) {
    return (uint64_t)source * max_experts_per_rank + local_expert;
}

/// Index of the return word of the block that starts at `packed_row`, in words.
PERSEUS_INLINE uint64_t perseus_return_word_index(uint64_t packed_row, uint32_t global_expert) {
    return (packed_row >> PERSEUS_RETURN_BLOCK_SHIFT) + global_expert;
}

/// Return words that an owner of `rows` packed rows over `experts` global experts needs.
PERSEUS_INLINE uint64_t perseus_return_word_count(uint64_t rows, uint32_t experts) {
    return (rows >> PERSEUS_RETURN_BLOCK_SHIFT) + experts + 1;
}

#endif
