// The NIC of the proxy baseline: it keeps what was posted last and completes everything at once.
#ifndef PERSEUS_BASELINE_NULL_NIC_H
#define PERSEUS_BASELINE_NULL_NIC_H

#include <stdbool.h>
#include <stdint.h>

enum {
    NIC_SLOT_COUNT = 256,
    NIC_INLINE_WORDS = 16,
    NIC_COMPLETION_CAPACITY = 4096
};

/// Where the Swift proxy says `@inline(__always)`.
#define ALWAYS_INLINE __attribute__((always_inline)) static inline

enum operation { OPERATION_WRITE = 0, OPERATION_WRITE_WITH_IMMEDIATE = 1 };

/// The fields of `WorkRequest`, in its order.
typedef struct {
    uint8_t operation;
    bool is_fenced;
    bool is_signaled;
    bool is_inline;
    uint8_t local_region;
    uint8_t remote_region;
    uint16_t queue;
    uint32_t peer;
    uint32_t byte_count;
    uint32_t immediate;
    uint64_t identifier;
    uint64_t local_offset;
    uint64_t remote_offset;
    const uint64_t *payload;
} work_request;

typedef struct {
    uint64_t identifier;
    uint8_t status;
} work_completion;

typedef struct {
    work_request *requests;
    uint64_t *payloads;
    uint64_t *completed;
    uint64_t posted_count;
    uint64_t completed_head;
    uint64_t completed_tail;
    uint64_t doorbell_count;
} null_nic;

/// False when the completion ring is full.
ALWAYS_INLINE bool nic_post(null_nic *nic, const work_request *request) {
    if (nic->completed_tail - nic->completed_head == NIC_COMPLETION_CAPACITY) return false;
    uint64_t slot = nic->posted_count & (NIC_SLOT_COUNT - 1);
    nic->requests[slot] = *request;
    if (request->is_inline) {
        uint64_t *target = nic->payloads + slot * NIC_INLINE_WORDS;
        uint32_t count = request->byte_count >> 3;
        for (uint32_t index = 0; index < count; index++) target[index] = request->payload[index];
    }
    nic->posted_count++;
    if (request->is_signaled) {
        nic->completed[nic->completed_tail & (NIC_COMPLETION_CAPACITY - 1)] = request->identifier;
        nic->completed_tail++;
    }
    return true;
}

ALWAYS_INLINE uint32_t nic_poll(null_nic *nic, work_completion *completions, uint32_t limit) {
    uint32_t count = 0;
    while (count < limit && nic->completed_head != nic->completed_tail) {
        uint64_t slot = nic->completed_head & (NIC_COMPLETION_CAPACITY - 1);
        completions[count++] = (work_completion){.identifier = nic->completed[slot]};
        nic->completed_head++;
    }
    return count;
}

static inline uint64_t nic_mix(uint64_t sum, uint64_t word) {
    return (sum ^ word) * 0x100000001B3u;
}

static inline uint64_t nic_checksum(const null_nic *nic) {
    uint64_t sum = 0xCBF29CE484222325u;
    uint64_t count = nic->posted_count < NIC_SLOT_COUNT ? nic->posted_count : NIC_SLOT_COUNT;
    for (uint64_t slot = 0; slot < count; slot++) {
        const work_request *request = nic->requests + slot;
        sum = nic_mix(sum, request->operation);
        sum = nic_mix(sum, request->is_fenced | request->is_signaled << 1);
        sum = nic_mix(sum, (uint64_t)request->peer << 32 | request->byte_count);
        sum = nic_mix(sum, (uint64_t)request->immediate << 16 | request->queue);
        sum = nic_mix(sum, (uint64_t)request->remote_region << 8 | request->local_region);
        sum = nic_mix(sum, request->local_offset);
        sum = nic_mix(sum, request->remote_offset);
        uint32_t words = request->is_inline ? request->byte_count >> 3 : 0;
        for (uint32_t index = 0; index < words; index++) {
            sum = nic_mix(sum, nic->payloads[slot * NIC_INLINE_WORDS + index]);
        }
    }
    return sum;
}

#endif
