// The send queue that a kernel fills itself: work requests of 64 bytes as a NIC reads them.
#ifndef PERSEUS_DIRECT_H
#define PERSEUS_DIRECT_H

#include "perseus_ring.h"

// Bit 63 of EVERY word is the lap parity of the entry's position (`perseus_ring_parity`), so each
// word validates itself and an entry may become visible in any order of its parts. Nobody clears an
// entry: its place is free again when the queue's `completed` word has passed its position.
//
//   segment  word  63       62 ... 0
//   control  0     parity   flags:7 | localRegion:4 | remoteRegion:4 | peer:16 | byteCount:32
//            1     parity   position in the queue
//   target   2     parity   offset in the peer's region, bytes
//            3     parity   0
//   data     4     parity   offset in the local region, bytes; or the first inline word
//            5..7  parity   further inline words
//
// Positions run freely from 0. The producer: claim positions while position + n - completed <=
// capacity, fence what the requests refer to, store the entries in any order. The NIC: takes entries
// in order of their positions, transmits them in that order for each peer, and stores `completed`
// (release): requests that are done, without a gap, counted from 0.
//
// A request without the SIGNALED flag is done when a later one to the same peer is; so the last one
// that a producer claims together has the flag, and all of them where completions have no order.
// The lap parity also takes the doorbell's place: the flag says only where a producer would ring it.

enum {
    PERSEUS_DIRECT_ENTRY_WORDS = 8,
    PERSEUS_DIRECT_ENTRY_BYTES = 64,
    /// Signal words that one entry carries.
    PERSEUS_DIRECT_INLINE_WORDS = 4,
    /// Where the local offset or the inline words begin.
    PERSEUS_DIRECT_DATA_WORD = 4
};

/// What an entry asks for beside its addresses.
enum perseus_direct_flag {
    /// Asks for a completion of its own.
    PERSEUS_DIRECT_SIGNALED = 1,
    /// Stays behind earlier requests, as far as the NIC's fence reaches.
    PERSEUS_DIRECT_FENCED = 2,
    /// Carries words instead of an offset.
    PERSEUS_DIRECT_INLINE = 4,
    /// Belongs to the way back (`PERSEUS_FLAG_COMBINE`); for counting alone.
    PERSEUS_DIRECT_COMBINE = 8,
    /// The last entry of a doorbell; for counting alone.
    PERSEUS_DIRECT_DOORBELL = 16
};

/// One entry, parity and position clear.
typedef struct perseus_direct_request {
    uint64_t words[PERSEUS_DIRECT_ENTRY_WORDS];
} perseus_direct_request;

PERSEUS_STATIC_ASSERT(
    sizeof(perseus_direct_request) == PERSEUS_DIRECT_ENTRY_BYTES, "an entry is 64 bytes");

/// Word 0.
PERSEUS_INLINE uint64_t perseus_direct_control(
    uint32_t flags, uint32_t local_region, uint32_t remote_region, uint32_t peer,
    uint32_t byte_count) {
    return (uint64_t)flags << 56 | (uint64_t)local_region << 52 | (uint64_t)remote_region << 48
        | (uint64_t)peer << 32 | byte_count;
}

PERSEUS_INLINE uint32_t perseus_direct_flags(uint64_t control) {
    return (uint32_t)perseus_field(control, 56, 7);
}
PERSEUS_INLINE uint32_t perseus_direct_local_region(uint64_t control) {
    return (uint32_t)perseus_field(control, 52, 4);
}
PERSEUS_INLINE uint32_t perseus_direct_remote_region(uint64_t control) {
    return (uint32_t)perseus_field(control, 48, 4);
}
PERSEUS_INLINE uint32_t perseus_direct_peer(uint64_t control) {
    return (uint32_t)perseus_field(control, 32, 16);
}
PERSEUS_INLINE uint32_t perseus_direct_byte_count(uint64_t control) {
    return (uint32_t)perseus_field(control, 0, 32);
}

/// A write of `byte_count` bytes, a multiple of 16, between two data regions.
PERSEUS_INLINE perseus_direct_request perseus_direct_put(
    uint32_t peer, uint32_t local_region, uint64_t local_offset, uint32_t remote_region,
    uint64_t remote_offset, uint32_t byte_count, uint32_t flags) {
    perseus_direct_request request = {{0, 0, 0, 0, 0, 0, 0, 0}};
    request.words[0] =
        perseus_direct_control(flags, local_region, remote_region, peer, byte_count);
    request.words[2] = remote_offset;
    request.words[4] = local_offset;
    return request;
}

/// A write of `count` (1 ... 4) words, bit 63 of each clear, that travel in the entry.
PERSEUS_INLINE perseus_direct_request perseus_direct_signal(
    uint32_t peer, uint32_t remote_region, uint64_t remote_offset, const uint64_t *words,
    uint32_t count, uint32_t flags) {
    perseus_direct_request request = {{0, 0, 0, 0, 0, 0, 0, 0}};
    request.words[0] = perseus_direct_control(
        flags | PERSEUS_DIRECT_INLINE, 0, remote_region, peer, count * 8);
    request.words[2] = remote_offset;
    request.words[4] = words[0];
    request.words[5] = count > 1 ? words[1] : 0;
    request.words[6] = count > 2 ? words[2] : 0;
    request.words[7] = count > 3 ? words[3] : 0;
    return request;
}

#endif
