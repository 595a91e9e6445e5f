// The proxy loop written in plain C, independently of the Swift proxy and step for step as it works.
#include "perseus_baseline_proxy.h"

#include "baseline_proxy_post.h"

#include <stdlib.h>

// MARK: Lanes that wait

static void append_backlog(proxy *self, perseus_command slot, lane *lane) {
    int32_t index = pool_take(&self->backlog);
    self->backlog_nodes[index] = slot;
    if (lane->backlog_tail >= 0) {
        self->backlog.links[lane->backlog_tail] = index;
    } else {
        lane->backlog_head = index;
    }
    lane->backlog_tail = index;
    lane->backlog_count++;
}

static void park(proxy *self, perseus_command command, lane *lane) {
    if (lane->backlog_head < 0) lane->queued_since = self->now;
    append_backlog(self, command, lane);
    uint32_t slots = perseus_command_operand_slots(command.first);
    for (uint32_t slot = 0; slot < slots; slot++) {
        const uint64_t *pair = self->operands + 2 * slot;
        append_backlog(self, (perseus_command){.first = pair[0], .second = pair[1]}, lane);
    }
    self->counters.parked_commands++;
}

static void pop_backlog(proxy *self, lane *lane) {
    int32_t index = lane->backlog_head;
    int32_t next = self->backlog.links[index];
    pool_give(&self->backlog, index);
    lane->backlog_head = next;
    if (next < 0) lane->backlog_tail = -1;
    lane->backlog_count--;
}

static uint32_t copy_operands(proxy *self, int32_t head, perseus_command command) {
    uint32_t slots = perseus_command_operand_slots(command.first);
    int32_t index = head;
    for (uint32_t slot = 0; slot < slots; slot++) {
        index = self->backlog.links[index];
        self->operands[2 * slot] = self->backlog_nodes[index].first;
        self->operands[2 * slot + 1] = self->backlog_nodes[index].second;
    }
    return slots;
}

ALWAYS_INLINE bool execute(
    proxy *self, perseus_command command, uint32_t destination, uint64_t position) {
    unsigned opcode = perseus_command_opcode(command.first);
    if (opcode == PERSEUS_OPCODE_PUT || opcode == PERSEUS_OPCODE_PUT_SIGNAL) {
        return execute_put(self, command, destination, position);
    }
    if (opcode != PERSEUS_OPCODE_SIGNAL_BLOCK) __builtin_trap();
    return execute_signal_block(self, command, self->operands, destination);
}

static void serve_lane(proxy *self, uint32_t destination) {
    lane *lane = self->lanes + destination;
    if (lane->state == LANE_FAILED) {
        clear_parked(self, destination);
        return;
    }
    lane->state = LANE_OPEN;
    if (lane->is_flushing && !flush(self, destination)) return;
    while (lane->backlog_head >= 0) {
        int32_t head = lane->backlog_head;
        perseus_command command = self->backlog_nodes[head];
        uint32_t slots = copy_operands(self, head, command);
        if (!execute(self, command, destination, 0)) return;
        for (uint32_t slot = 0; slot <= slots; slot++) pop_backlog(self, lane);
        if (lane->state != LANE_OPEN) return;
    }
    clear_parked(self, destination);
}

static void serve_parked_lanes(proxy *self) {
    for (uint32_t word = 0; word < self->bit_word_count; word++) {
        for (uint64_t bits = self->parked[word]; bits != 0; bits &= bits - 1) {
            serve_lane(self, word * 64 + (uint32_t)__builtin_ctzll(bits));
            if (self->stalled_lane >= 0) return;
        }
    }
}

static bool resume_stalled_lane(proxy *self) {
    uint32_t index = (uint32_t)self->stalled_lane;
    uint64_t open =
        self->plan.wait == 2 ? self->in_flight_total : self->lanes[index].in_flight_count;
    if (open != 0) return false;
    self->stalled_lane = -1;
    serve_lane(self, index);
    return self->stalled_lane < 0;
}

// MARK: Completions

ALWAYS_INLINE int32_t retire_oldest(proxy *self, lane *lane) {
    int32_t oldest = lane->oldest_in_flight;
    if (oldest < 0) __builtin_trap();
    int32_t next = self->in_flight.links[oldest];
    pool_give(&self->in_flight, oldest);
    lane->oldest_in_flight = next;
    if (next < 0) lane->newest_in_flight = -1;
    lane->in_flight_count--;
    self->in_flight_total--;
    return next;
}

static void reap(proxy *self) {
    uint32_t count = nic_poll(&self->nic, self->completions, POLL_LIMIT);
    for (uint32_t index = 0; index < count; index++) {
        work_completion completion = self->completions[index];
        if (completion.status != 0) __builtin_trap();
        lane *lane = self->lanes + (completion.identifier >> 32);
        int32_t entry = (int32_t)(uint32_t)completion.identifier;
        int32_t retired = lane->oldest_in_flight;
        while (retired != entry) retired = retire_oldest(self, lane);
        retire_oldest(self, lane);
    }
    self->counters.completions += count;
    self->completed += count;
}

static void check_one_deadline(proxy *self) {
    lane *lane = self->lanes + self->next_deadline_lane;
    if (++self->next_deadline_lane == self->lane_count) self->next_deadline_lane = 0;
    if (lane->state == LANE_FAILED) return;
    if (lane->oldest_in_flight >= 0) {
        uint64_t posted_at = self->in_flight_nodes[lane->oldest_in_flight].posted_at;
        if (self->now - posted_at > DEADLINE_NANOSECONDS) __builtin_trap();
    } else if (lane->backlog_head >= 0) {
        if (self->now - lane->queued_since > DEADLINE_NANOSECONDS) __builtin_trap();
    }
}

// MARK: The step

ALWAYS_INLINE void admit(proxy *self, perseus_command command, uint64_t position) {
    uint32_t destination = perseus_command_destination(command.second);
    if (destination >= self->lane_count) __builtin_trap();
    lane *lane = self->lanes + destination;
    if (lane->state != LANE_OPEN || lane->backlog_head >= 0) {
        park(self, command, lane);
    } else if (!execute(self, command, destination, position)) {
        park(self, command, lane);
        set_parked(self, destination);
    }
}

static void drain(proxy *self) {
    uint32_t drained = 0;
    perseus_command command;
    while (drained < BATCH_LIMIT && self->stalled_lane < 0
        && self->backlog.free_count > PENDING_CAPACITY
        && reader_next(&self->reader, &command, self->operands)) {
        admit(self, command, self->reader.position - 1);
        drained++;
    }
    if (drained == 0) return;
    reader_retire(&self->reader);
    self->counters.commands += drained;
    self->drained += drained;
}

/// Returns false when the step found nothing to do.
static bool step(proxy *self, uint64_t now) {
    if (now > self->now) self->now = now;
    self->drained = self->posted = self->completed = 0;
    reap(self);
    check_one_deadline(self);
    if (self->stalled_lane < 0 || resume_stalled_lane(self)) {
        if (self->parked_lane_count > 0) serve_parked_lanes(self);
        if (self->stalled_lane < 0) drain(self);
    }
    if (self->unrung_count > 0) {
        self->nic.doorbell_count++;
        self->counters.doorbells++;
        self->posted = self->unrung_count;
        self->unrung_count = 0;
    }
    return self->drained || self->posted || self->completed;
}

uint64_t perseus_baseline_proxy_run(perseus_baseline_proxy *self, uint64_t *now) {
    uint64_t steps = 1;
    while (step(self, ++*now)) steps++;
    return steps;
}

// MARK: Beginning and end

static void *zeroed(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) abort();
    return memory;
}

static index_pool make_pool(void) {
    index_pool pool = {.links = zeroed(POOL_CAPACITY, sizeof(int32_t))};
    for (int32_t index = 0; index < POOL_CAPACITY; index++) pool.links[index] = index + 1;
    pool.links[POOL_CAPACITY - 1] = -1;
    pool.free_count = POOL_CAPACITY;
    return pool;
}

static ring_reader make_reader(void *ring) {
    perseus_ring_header *header = ring;
    uint64_t position = __atomic_load_n(&header->retired, __ATOMIC_ACQUIRE);
    return (ring_reader){.slots = (uint64_t *)(header + 1),
        .retired = &header->retired,
        .mask = header->capacity - 1,
        .capacity_log2 = (unsigned)__builtin_ctz(header->capacity),
        .position = position,
        .retired_position = position};
}

perseus_baseline_proxy *perseus_baseline_proxy_create(
    void *ring, uint32_t rank_count, uint32_t queue_count, perseus_baseline_plan plan) {
    proxy *self = zeroed(1, sizeof *self);
    self->nic.requests = zeroed(NIC_SLOT_COUNT, sizeof(work_request));
    self->nic.payloads = zeroed(NIC_SLOT_COUNT * NIC_INLINE_WORDS, sizeof(uint64_t));
    self->nic.completed = zeroed(NIC_COMPLETION_CAPACITY, sizeof(uint64_t));
    self->reader = make_reader(ring);
    self->lane_count = rank_count;
    self->lanes = zeroed(rank_count, sizeof(lane));
    for (uint32_t index = 0; index < rank_count; index++) {
        lane *lane = self->lanes + index;
        lane->queue = (uint16_t)(index % queue_count);
        lane->oldest_in_flight = lane->newest_in_flight = -1;
        lane->backlog_head = lane->backlog_tail = -1;
    }
    self->pending = zeroed((size_t)rank_count * PENDING_CAPACITY, sizeof(pending_signal));
    self->backlog = make_pool();
    self->backlog_nodes = zeroed(POOL_CAPACITY, sizeof(perseus_command));
    self->in_flight = make_pool();
    self->in_flight_nodes = zeroed(POOL_CAPACITY, sizeof(in_flight_entry));
    self->bit_word_count = (rank_count + 63) / 64;
    self->parked = zeroed(self->bit_word_count, sizeof(uint64_t));
    self->operands = zeroed(PERSEUS_MAX_OPERAND_WORDS, sizeof(uint64_t));
    self->payload = zeroed(NIC_INLINE_WORDS, sizeof(uint64_t));
    self->completions = zeroed(POLL_LIMIT, sizeof(work_completion));
    self->queue_ordered_through = zeroed(queue_count, sizeof(uint64_t));
    self->stalled_lane = -1;
    self->plan = plan;
    self->signal_interval = plan.wait == 0 ? SIGNAL_INTERVAL : 1;
    return self;
}

perseus_baseline_counters perseus_baseline_proxy_counters(const perseus_baseline_proxy *self) {
    return self->counters;
}

uint64_t perseus_baseline_proxy_checksum(const perseus_baseline_proxy *self) {
    return nic_checksum(&self->nic);
}

void perseus_baseline_proxy_destroy(perseus_baseline_proxy *self) {
    free(self->nic.requests);
    free(self->nic.payloads);
    free(self->nic.completed);
    free(self->lanes);
    free(self->pending);
    free(self->backlog.links);
    free(self->backlog_nodes);
    free(self->in_flight.links);
    free(self->in_flight_nodes);
    free(self->parked);
    free(self->operands);
    free(self->payload);
    free(self->completions);
    free(self->queue_ordered_through);
    free(self);
}
