// The ready queue of a rank: the operator and finishing blocks append, worker blocks take tickets.
//
// A place is 16 bytes with the lap in its last word. Everything that a task needs was written before its place was
// published; a block that saw the lap and fenced sees it. The queue holds more tasks than one round has, and a round ends
// only when its tasks are done, so no place is overwritten before it was read.
#pragma once

#include "perseus_device.cuh"
#include "perseus_device_layer.h"

namespace perseus {

struct TaskQueue {
    perseus_device_task *places;
    uint32_t *head;
    uint32_t *tail;
    uint32_t log2;

    __device__ __forceinline__ explicit TaskQueue(const perseus_device_rank &rank)
        : places(reinterpret_cast<perseus_device_task *>(rank.queue)),
          head(reinterpret_cast<uint32_t *>(rank.queue_cursors)),
          tail(reinterpret_cast<uint32_t *>(rank.queue_cursors + PERSEUS_SHARED_WORD_STRIDE)),
          log2(rank.queue_log2) {}

    __device__ __forceinline__ perseus_device_task *place(uint32_t position) const {
        return places + (position & ((1u << log2) - 1));
    }
    __device__ __forceinline__ uint32_t lap(uint32_t position) const { return (position >> log2) + 1; }

    /// Reserves `count` consecutive positions. One thread.
    __device__ __forceinline__ uint32_t reserve(uint32_t count) const { return atomicAdd(tail, count); }

    /// Publishes a task at a reserved position. The caller has fenced what the task refers to.
    __device__ __forceinline__ void publish(
        uint32_t position, uint32_t type, uint32_t expert, uint32_t tile, uint32_t group) const {
        asm volatile("st.relaxed.gpu.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(place(position)),
            "r"(type << 24 | expert), "r"(tile), "r"(group), "r"(lap(position))
            : "memory");
    }

    /// The task at `position`, if it is there; false: not yet. What the task refers to is visible afterwards.
    __device__ __forceinline__ bool read(uint32_t position, perseus_device_task &task) const {
        asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(task.type_and_expert), "=r"(task.tile), "=r"(task.group), "=r"(task.lap)
                     : "l"(place(position))
                     : "memory");
        if (task.lap != lap(position)) return false;
        fence_gpu();
        return true;
    }

    __device__ __forceinline__ bool is_dry() const {
        return static_cast<int32_t>(load_acquire_gpu(head) - load_acquire_gpu(tail)) >= 0;
    }
};

__device__ __forceinline__ uint32_t type_of(const perseus_device_task &task) {
    return task.type_and_expert >> 24;
}
__device__ __forceinline__ uint32_t expert_of(const perseus_device_task &task) {
    return task.type_and_expert & 0xFFFFFF;
}

/// Counters of a rank, 128 bytes apart.
enum Counter { kExpertGroupsDone = 0, kSharedGroupsDone = 1, kTokensCombined = 2, kRoundWord = 3 };

__device__ __forceinline__ uint32_t *counter(const perseus_device_rank &rank, Counter which) {
    return reinterpret_cast<uint32_t *>(rank.counters + which * PERSEUS_SHARED_WORD_STRIDE);
}

}  // namespace perseus
