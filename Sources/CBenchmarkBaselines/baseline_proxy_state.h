// The data structures of the proxy baseline: ring reader, pools, lanes. Field for field as in Swift.
#ifndef PERSEUS_BASELINE_PROXY_STATE_H
#define PERSEUS_BASELINE_PROXY_STATE_H

#include "baseline_null_nic.h"
#include "perseus_arena.h"
#include "perseus_baseline_proxy.h"
#include "perseus_ring.h"

enum {
    BATCH_LIMIT = 32,
    POLL_LIMIT = 32,
    SIGNAL_INTERVAL = 16,
    POOL_CAPACITY = 4096,
    PENDING_CAPACITY = 64,
    COALESCE_BYTE_LIMIT = 8192
};

#define DEADLINE_NANOSECONDS 10000000000u

enum lane_state { LANE_OPEN, LANE_DRAINING, LANE_FULL, LANE_FAILED };

typedef struct {
    uint64_t *slots;
    uint64_t *retired;
    uint64_t mask;
    unsigned capacity_log2;
    uint64_t position;
    uint64_t retired_position;
} ring_reader;

/// Nodes that are linked by 32-bit indices; what a node holds lies in an array beside it.
typedef struct {
    int32_t *links;
    int32_t free;
    int64_t free_count;
} index_pool;

typedef struct {
    uint64_t position;
    uint64_t posted_at;
    uint32_t byte_count;
    uint8_t operation;
    bool is_done;
} in_flight_entry;

typedef struct {
    uint64_t word_offset;
    uint64_t word;
} pending_signal;

typedef struct {
    uint8_t state;
    uint8_t pending_phase;
    uint16_t pending_count;
    uint16_t pending_posted;
    bool is_flushing;
    bool has_begun_drain;
    uint16_t queue;
    uint32_t in_flight_count;
    uint32_t unsignaled_count;
    int32_t oldest_in_flight;
    int32_t newest_in_flight;
    int32_t backlog_head;
    int32_t backlog_tail;
    uint32_t backlog_count;
    uint64_t last_data;
    uint64_t ordered_through;
    uint64_t waiting_since;
    uint64_t queued_since;
} lane;

struct perseus_baseline_proxy {
    null_nic nic;
    ring_reader reader;
    lane *lanes;
    uint32_t lane_count;
    pending_signal *pending;
    index_pool backlog;
    perseus_command *backlog_nodes;
    index_pool in_flight;
    in_flight_entry *in_flight_nodes;
    uint64_t *parked;
    uint32_t bit_word_count;
    uint64_t *operands;
    uint64_t *payload;
    work_completion *completions;
    uint64_t *queue_ordered_through;
    uint64_t all_ordered_through;
    uint64_t data_sequence;
    uint64_t in_flight_total;
    uint64_t parked_lane_count;
    int64_t stalled_lane;
    uint64_t now;
    uint32_t next_deadline_lane;
    uint32_t unrung_count;
    perseus_baseline_plan plan;
    uint32_t signal_interval;
    perseus_baseline_counters counters;
    // What the current step did.
    uint32_t drained;
    uint32_t posted;
    uint32_t completed;
};

typedef struct perseus_baseline_proxy proxy;

ALWAYS_INLINE int32_t pool_take(index_pool *pool) {
    int32_t index = pool->free;
    if (index < 0) __builtin_trap();
    pool->free = pool->links[index];
    pool->links[index] = -1;
    pool->free_count--;
    return index;
}

ALWAYS_INLINE void pool_give(index_pool *pool, int32_t index) {
    pool->links[index] = pool->free;
    pool->free = index;
    pool->free_count++;
}

ALWAYS_INLINE bool observe(const ring_reader *reader, uint64_t position, uint64_t *pair) {
    const uint64_t *slot = reader->slots + (position & reader->mask) * 2;
    uint64_t parity = perseus_ring_parity(position, reader->capacity_log2);
    uint64_t first = __atomic_load_n(slot, __ATOMIC_ACQUIRE) ^ parity;
    if (first >> 63) return false;
    uint64_t second = __atomic_load_n(slot + 1, __ATOMIC_ACQUIRE) ^ parity;
    if (second >> 63) return false;
    pair[0] = first;
    pair[1] = second;
    return true;
}

ALWAYS_INLINE bool reader_next(ring_reader *reader, perseus_command *command, uint64_t *operands) {
    uint64_t header[2];
    if (!observe(reader, reader->position, header)) return false;
    uint64_t slots = perseus_command_operand_slots(header[0]);
    for (uint64_t index = 0; index < slots; index++) {
        if (!observe(reader, reader->position + 1 + index, operands + index * 2)) return false;
    }
    *command = (perseus_command){.first = header[0], .second = header[1]};
    reader->position += 1 + slots;
    return true;
}

static inline void reader_retire(ring_reader *reader) {
    if (reader->retired_position == reader->position) return;
    reader->retired_position = reader->position;
    __atomic_store_n(reader->retired, reader->position, __ATOMIC_RELEASE);
}

static inline void set_parked(proxy *self, uint32_t index) {
    uint64_t bit = (uint64_t)1 << (index & 63);
    if (self->parked[index >> 6] & bit) return;
    self->parked[index >> 6] |= bit;
    self->parked_lane_count++;
}

static inline void clear_parked(proxy *self, uint32_t index) {
    uint64_t bit = (uint64_t)1 << (index & 63);
    if (!(self->parked[index >> 6] & bit)) return;
    self->parked[index >> 6] &= ~bit;
    self->parked_lane_count--;
}

#endif
