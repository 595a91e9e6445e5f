// What a device kernel leaves behind when one of its bounded waits ran out: the first failure.
#ifndef PERSEUS_ERROR_RECORD_H
#define PERSEUS_ERROR_RECORD_H

#include "perseus_base.h"

// One record for each launch, in device memory, zeroed before it. The first thread whose wait runs
// out takes the record (state 0 -> 1 by compare-and-swap at gpu scope), fills it, releases it (2).
// Every other wait of the launch reads `state` now and then and gives up when it is not 0, so that
// one broken part ends the kernel after one time limit and not after one for each wait.
// The host reads the record after the kernel has ended.

/// What a thread waited for.
enum perseus_wait_kind {
    PERSEUS_WAIT_NONE = 0,
    /// Room in a command ring. index: ring; expected: the least credit, in slots, that admits the
    /// command; seen: the credit.
    PERSEUS_WAIT_RING_CREDIT = 1,
    /// That the proxy copies a command out. index: ring; expected: the least credit, in slots;
    /// seen: the credit.
    PERSEUS_WAIT_RING_RETIRED = 2,
    /// A signal word. index: the word's; expected: the epoch; seen: the word.
    PERSEUS_WAIT_SIGNAL = 3,
    /// A completion-board word (quiet). index: the word's; expected: the least count; seen: the
    /// count.
    PERSEUS_WAIT_QUIET = 4,
    /// Arrivals at a group counter. index: the group; expected: the target; seen: the counter.
    PERSEUS_WAIT_GROUP = 5,
    /// In the relay: that the producers of the launch end. index: ring; expected: blocks; seen:
    /// blocks that ended.
    PERSEUS_WAIT_PRODUCERS = 6,
    /// In the operator of a megakernel: the end of a round. index: round; expected: dispatch words missing << 32 | groups
    /// of tiles made; seen: tokens combined << 32 | groups done.
    PERSEUS_WAIT_ROUND = 7,
    /// In a worker of a megakernel: its next task. index: place in the queue.
    PERSEUS_WAIT_TASK = 8,
    /// At the start of a launch: its other blocks. expected: blocks; seen: blocks that have begun.
    PERSEUS_WAIT_BLOCKS = 9,
    /// Room in a send queue (perseus_direct.h). index: queue; expected: the least count of completed requests that admits
    /// the request; seen: the count.
    PERSEUS_WAIT_SEND_QUEUE = 10
};

/// States of a record.
enum perseus_error_state {
    PERSEUS_ERROR_NONE = 0,
    /// A thread is writing the fields.
    PERSEUS_ERROR_CLAIMED = 1,
    /// The fields are complete.
    PERSEUS_ERROR_RECORDED = 2
};

/// The first failed wait of a launch.
typedef struct perseus_error_record {
    /// A `perseus_error_state`; acquire before reading the rest.
    uint32_t state;
    /// A `perseus_wait_kind`; the meaning of index, expected and seen depends on it.
    uint32_t wait_kind;
    /// The rank that waited.
    uint32_t rank;
    /// blockIdx.x of the thread that waited.
    uint32_t block;
    /// threadIdx.x of the thread that waited.
    uint32_t thread;
    uint32_t reserved;
    uint64_t index;
    uint64_t expected;
    uint64_t seen;
    /// SM clock cycles that the wait took.
    uint64_t cycles;
    uint64_t padding;
} perseus_error_record;

PERSEUS_STATIC_ASSERT(sizeof(perseus_error_record) == 64, "a record is 64 bytes");
PERSEUS_ASSERT_OFFSET(perseus_error_record, wait_kind, 4);
PERSEUS_ASSERT_OFFSET(perseus_error_record, rank, 8);
PERSEUS_ASSERT_OFFSET(perseus_error_record, block, 12);
PERSEUS_ASSERT_OFFSET(perseus_error_record, thread, 16);
PERSEUS_ASSERT_OFFSET(perseus_error_record, index, 24);
PERSEUS_ASSERT_OFFSET(perseus_error_record, expected, 32);
PERSEUS_ASSERT_OFFSET(perseus_error_record, seen, 40);
PERSEUS_ASSERT_OFFSET(perseus_error_record, cycles, 48);

#endif
