// The command ring in shared memory: its header, its slots, and who may write which word.
#ifndef PERSEUS_RING_H
#define PERSEUS_RING_H

#include "perseus_command.h"

//   byte    0   magic, version, capacity     written once, before the ring is shared
//         128   claimed                      producers: compare-and-swap (or fetch-add on a GPU)
//         256   retired                      the consumer alone
//         384   slot[capacity]               the producer that claimed the position
//
// No word is an address, so the ring may be mapped at different places by different parties.
//
// Positions run freely from 0: slot = position & (capacity - 1), lap = position >> log2(capacity),
// and the parity bit of a published slot is 1 on even laps and 0 on odd ones. Fresh zeros therefore
// read as unpublished, and nobody ever clears a slot.
//
// Producer: read `retired` (acquire), claim positions while claimed + n - retired <= capacity, then
// for each slot store the second word (relaxed) and the first word (release). Consumer: load the
// first word (acquire), then the second; both parities must match; copy out; store `retired`
// (release) once per batch. Copying out frees the slot, so the wire's latency never holds a
// producer.
//
// On a GPU: publish a slot with one 16-byte store, after one system fence for the payload of the
// whole warp. `claimed` and the credit word lie in device memory, the latter fed by one relaying
// store from the host: reads of one host word are served one at a time for the whole GPU, about 1
// M/s, and every system fence queues behind them. The `retired` word below is what the relay
// copies; GPU producers never poll it.

/// What stands before the slots.
typedef struct perseus_ring_header {
    uint64_t magic;
    uint32_t version;
    uint32_t capacity;
    uint8_t padding_0[PERSEUS_SHARED_WORD_STRIDE - 16];
    /// Positions handed to producers.
    uint64_t claimed;
    uint8_t padding_1[PERSEUS_SHARED_WORD_STRIDE - 8];
    /// Positions copied out by the consumer; producers read it as credit.
    uint64_t retired;
    uint8_t padding_2[PERSEUS_SHARED_WORD_STRIDE - 8];
} perseus_ring_header;

/// "PRSSRING" read as little-endian bytes.
#define PERSEUS_RING_MAGIC 0x474E495253535250ULL

enum {
    /// Changes whenever the meaning of a byte in this header or in perseus_command.h does.
    PERSEUS_RING_VERSION = 1,
    /// Largest legal capacity, slots: 16 MiB of ring.
    PERSEUS_RING_MAX_CAPACITY = 1 << 20
};

PERSEUS_ASSERT_OFFSET(perseus_ring_header, version, 8);
PERSEUS_ASSERT_OFFSET(perseus_ring_header, capacity, 12);
PERSEUS_ASSERT_OFFSET(perseus_ring_header, claimed, 128);
PERSEUS_ASSERT_OFFSET(perseus_ring_header, retired, 256);
PERSEUS_STATIC_ASSERT(sizeof(perseus_ring_header) == 384, "slots start at byte 384");

/// The parity bit (bit 63, in place) of a slot published at `position` in a ring of 2^capacity_log2
/// slots.
PERSEUS_INLINE uint64_t perseus_ring_parity(uint64_t position, unsigned capacity_log2) {
    return ~position << (63 - capacity_log2) & (uint64_t)1 << PERSEUS_PARITY_SHIFT;
}

/// The ring of a destination. One ring has one proxy thread, so a group's puts and its signal stay
/// in order.
PERSEUS_INLINE uint32_t perseus_ring_index(uint32_t destination, uint32_t ring_count) {
    return destination % ring_count;
}

#endif
