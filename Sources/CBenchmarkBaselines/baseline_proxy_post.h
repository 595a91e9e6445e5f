// The proxy baseline's way from commands to work requests: posting, signals and their order.
#ifndef PERSEUS_BASELINE_PROXY_POST_H
#define PERSEUS_BASELINE_PROXY_POST_H

#include "baseline_proxy_state.h"

static inline bool park_full(proxy *self, uint32_t destination) {
    self->lanes[destination].state = LANE_FULL;
    set_parked(self, destination);
    return false;
}

ALWAYS_INLINE bool post(proxy *self, work_request *request, uint32_t destination,
    uint64_t position, bool is_signaled) {
    if (self->in_flight.free_count == 0) return park_full(self, destination);
    int32_t entry = pool_take(&self->in_flight);
    self->in_flight_nodes[entry] = (in_flight_entry){.position = position,
        .posted_at = self->now,
        .byte_count = request->byte_count,
        .operation = request->operation};
    request->identifier = (uint64_t)destination << 32 | (uint32_t)entry;
    request->is_signaled = is_signaled;
    if (!nic_post(&self->nic, request)) {
        pool_give(&self->in_flight, entry);
        return park_full(self, destination);
    }
    lane *lane = self->lanes + destination;
    if (lane->newest_in_flight >= 0) {
        self->in_flight.links[lane->newest_in_flight] = entry;
    } else {
        lane->oldest_in_flight = entry;
    }
    lane->newest_in_flight = entry;
    lane->in_flight_count++;
    lane->unsignaled_count = is_signaled ? 0 : lane->unsignaled_count + 1;
    self->in_flight_total++;
    self->unrung_count++;
    self->counters.bytes_sent += request->byte_count;
    return true;
}

/// Whether the lane has puts that nothing orders yet before what is posted from now on.
ALWAYS_INLINE bool is_dirty(const proxy *self, const lane *lane) {
    uint64_t last = lane->last_data;
    return last > lane->ordered_through && last > self->all_ordered_through
        && last > self->queue_ordered_through[lane->queue];
}

static inline void count_fence(proxy *self, const lane *lane) {
    if (lane->pending_phase == 0) {
        self->counters.dispatch_fences++;
    } else {
        self->counters.combine_fences++;
    }
}

static bool has_drained(proxy *self, uint32_t destination) {
    lane *lane = self->lanes + destination;
    if (!is_dirty(self, lane)) return true;
    bool waits_for_all = self->plan.wait == 2;
    uint64_t open = waits_for_all ? self->in_flight_total : lane->in_flight_count;
    if (!lane->has_begun_drain) count_fence(self, lane);
    if (open > 0) {
        if (!lane->has_begun_drain) {
            lane->has_begun_drain = true;
            lane->waiting_since = self->now;
            self->counters.drains++;
        }
        lane->state = LANE_DRAINING;
        set_parked(self, destination);
        if (waits_for_all) self->stalled_lane = destination;
        return false;
    }
    if (lane->has_begun_drain) {
        self->counters.drain_nanoseconds += self->now - lane->waiting_since;
        lane->has_begun_drain = false;
    }
    if (waits_for_all) {
        self->all_ordered_through = self->data_sequence;
    } else {
        lane->ordered_through = lane->last_data;
    }
    return true;
}

/// Posts the next run of consecutive signal words as one write.
static bool post_run(proxy *self, uint32_t destination) {
    lane *lane = self->lanes + destination;
    const pending_signal *slice = self->pending + (uint64_t)destination * PENDING_CAPACITY;
    uint32_t first = lane->pending_posted;
    uint32_t end = lane->pending_count;
    uint64_t word_offset = slice[first].word_offset;
    uint32_t count = 0;
    while (first + count < end && count < NIC_INLINE_WORDS
        && slice[first + count].word_offset == word_offset + count) {
        self->payload[count] = slice[first + count].word;
        count++;
    }
    work_request request = {.operation = OPERATION_WRITE,
        .is_inline = true,
        .remote_region = PERSEUS_REGION_SIGNAL,
        .queue = lane->queue,
        .peer = destination,
        .byte_count = count * 8,
        .remote_offset = word_offset << PERSEUS_SIGNAL_UNIT_SHIFT,
        .payload = self->payload};
    if (self->plan.is_immediate) {
        request.operation = OPERATION_WRITE_WITH_IMMEDIATE;
        request.remote_region = PERSEUS_REGION_SIGNAL_SHADOW;
        request.immediate = 0x80000000u | (uint32_t)word_offset << 10 | count;
    }
    request.is_fenced = self->plan.flags_signal && is_dirty(self, lane);
    bool asks_for_completion =
        first + count == end || lane->unsignaled_count + 1 >= self->signal_interval;
    if (!post(self, &request, destination, 0, asks_for_completion)) return false;
    if (request.is_fenced) {
        count_fence(self, lane);
        self->queue_ordered_through[lane->queue] = self->data_sequence;
    }
    self->counters.signals++;
    self->counters.signal_words += count;
    lane->pending_posted += count;
    return true;
}

static inline void sort_pending(proxy *self, uint32_t destination) {
    pending_signal *slice = self->pending + (uint64_t)destination * PENDING_CAPACITY;
    for (uint32_t index = 1; index < self->lanes[destination].pending_count; index++) {
        pending_signal entry = slice[index];
        uint32_t hole = index;
        for (; hole > 0 && slice[hole - 1].word_offset > entry.word_offset; hole--) {
            slice[hole] = slice[hole - 1];
        }
        slice[hole] = entry;
    }
}

static bool flush(proxy *self, uint32_t destination) {
    lane *lane = self->lanes + destination;
    if (lane->pending_count == 0) return true;
    if (!lane->is_flushing) {
        lane->is_flushing = true;
        sort_pending(self, destination);
    }
    if (self->plan.wait != 0 && !has_drained(self, destination)) return false;
    while (lane->pending_posted < lane->pending_count) {
        if (!post_run(self, destination)) return false;
    }
    lane->pending_count = 0;
    lane->pending_posted = 0;
    lane->is_flushing = false;
    return true;
}

static bool execute_signal_block(
    proxy *self, perseus_command command, const uint64_t *operands, uint32_t destination) {
    lane *lane = self->lanes + destination;
    uint32_t count = perseus_command_count(command.first);
    uint8_t phase = (perseus_command_flags(command.second) & PERSEUS_FLAG_COMBINE) != 0;
    if (count > PENDING_CAPACITY) __builtin_trap();
    uint32_t held = lane->pending_count;
    if (held > 0 && (phase != lane->pending_phase || held + count > PENDING_CAPACITY)) {
        if (!flush(self, destination)) return false;
    }
    uint64_t first = perseus_command_remote_offset(command.second);
    pending_signal *slice =
        self->pending + (uint64_t)destination * PENDING_CAPACITY + lane->pending_count;
    for (uint32_t index = 0; index < count; index++) {
        slice[index] = (pending_signal){.word_offset = first + index, .word = operands[index]};
    }
    lane->pending_count += count;
    lane->pending_phase = phase;
    flush(self, destination);
    return true;
}

ALWAYS_INLINE bool execute_put(
    proxy *self, perseus_command command, uint32_t destination, uint64_t position) {
    lane *lane = self->lanes + destination;
    uint32_t byte_count = perseus_command_count(command.first) << PERSEUS_PUT_UNIT_SHIFT;
    bool is_combine = (perseus_command_flags(command.second) & PERSEUS_FLAG_COMBINE) != 0;
    bool holds_through_puts = self->plan.wait != 0 || self->plan.flags_signal;
    if (lane->pending_count > 0
        && (lane->pending_phase != is_combine
            || (!holds_through_puts && byte_count > COALESCE_BYTE_LIMIT))) {
        if (!flush(self, destination)) return false;
    }
    uint64_t remote_units = perseus_command_remote_offset(command.second);
    work_request request = {
        .operation = self->plan.counts_data ? OPERATION_WRITE_WITH_IMMEDIATE : OPERATION_WRITE,
        .local_region = perseus_command_local_region(command.first),
        .remote_region = perseus_command_remote_region(command.first),
        .queue = lane->queue,
        .peer = destination,
        .byte_count = byte_count,
        .local_offset = perseus_command_local_offset(command.first) << PERSEUS_PUT_UNIT_SHIFT,
        .remote_offset = remote_units << PERSEUS_PUT_UNIT_SHIFT};
    if (self->plan.counts_data) request.immediate = (uint32_t)remote_units & 0x7FFFFFFF;
    bool asks_for_completion = lane->unsignaled_count + 1 >= self->signal_interval;
    if (!post(self, &request, destination, position, asks_for_completion)) return false;
    self->data_sequence++;
    lane->last_data = self->data_sequence;
    if (is_combine) {
        self->counters.combine_puts++;
    } else {
        self->counters.dispatch_puts++;
    }
    return true;
}

#endif
