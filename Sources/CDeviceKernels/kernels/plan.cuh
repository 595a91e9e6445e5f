// Stages 1 to 2 of a round on the GPU: rows of the packed order from routing, by a stable counting sort of one block.
#pragma once

#include "layer.cuh"

namespace perseus {

/// The next 32 slots of a warp: which expert each lane's slot has (-1 behind the end), and where it stands among the
/// warp's lanes with the same expert.
struct SlotGroup {
    int expert;
    uint32_t before;
    uint32_t count;
    bool is_first;

    __device__ __forceinline__ explicit SlotGroup(int expert) : expert(expert) {
        const uint32_t same = __match_any_sync(0xFFFFFFFF, expert);
        before = __popc(same & lanes_below());
        count = __popc(same);
        is_first = before == 0 && expert >= 0;
    }
};

/// Groups of 32 slots whose experts are loaded at once.
constexpr int kPlanAhead = 8;

/// This lane's experts of the next groups; -1 behind the end.
__device__ __forceinline__ void load_experts(
    int (&experts)[kPlanAhead], const int32_t *ids, int slot, int end) {
#pragma unroll
    for (int step = 0; step < kPlanAhead; ++step) {
        const int at = slot + step * kWarpThreads;
        experts[step] = at < end ? ids[at] : -1;
    }
}

/// Sorts the round's slots by expert, stable in token order. All threads of the operator block.
///
/// Each warp has consecutive slots. Writes slot_of_row, row_of_slot, first_row, unpacked, unsent and the list of words
/// that will come back; nobody has arrived at a group yet. `counts` has room for kPlanWarps x experts words:
/// [warp][expert].
__device__ void plan_round(const LayerView &layer, const Round &round, uint32_t *counts) {
    const perseus_device_rank &rank = layer.rank();
    const int thread = threadIdx.x;
    const int lane = thread % kWarpThreads;
    const int warp = thread / kWarpThreads;
    const int slots = round.tokens * Shape::kTopK;
    const int portion = tiles(slots, kPlanWarps * kWarpThreads) * kWarpThreads;
    const int begin = min(slots, warp * portion);
    const int end = min(slots, begin + portion);
    const int32_t *ids = reinterpret_cast<const int32_t *>(rank.ids) + round.first_token * Shape::kTopK;
    uint32_t *first_row = reinterpret_cast<uint32_t *>(rank.first_row);
    uint32_t *row_of_slot = reinterpret_cast<uint32_t *>(rank.row_of_slot);
    uint32_t *slot_of_row = reinterpret_cast<uint32_t *>(rank.slot_of_row);
    uint32_t *unpacked = reinterpret_cast<uint32_t *>(rank.unpacked);
    uint32_t *unsent = reinterpret_cast<uint32_t *>(rank.unsent);
    uint32_t *mine = counts + warp * Shape::kExperts;
    uint32_t *arrivals = reinterpret_cast<uint32_t *>(rank.group_arrivals);

    for (int index = thread; index < kPlanWarps * Shape::kExperts; index += blockDim.x) counts[index] = 0;
    for (int index = thread; index <= Shape::kExperts; index += blockDim.x) arrivals[index] = 0;
    __syncthreads();
    for (int slot = begin; slot < end; slot += kPlanAhead * kWarpThreads) {
        int experts[kPlanAhead];
        load_experts(experts, ids, slot + lane, end);
#pragma unroll
        for (int step = 0; step < kPlanAhead; ++step) {
            const SlotGroup group(experts[step]);
            if (group.is_first) mine[group.expert] += group.count;
            __syncwarp();
        }
    }
    __syncthreads();
    // Per expert: how many come before each warp's; the totals are in unpacked.
    for (int expert = thread; expert < Shape::kExperts; expert += blockDim.x) {
        uint32_t total = 0;
        for (int other = 0; other < kPlanWarps; ++other) {
            const uint32_t count = counts[other * Shape::kExperts + expert];
            counts[other * Shape::kExperts + expert] = total;
            total += count;
        }
        unpacked[expert] = total;
    }
    __syncthreads();
    if (warp == 0) {
        uint32_t row = 0;
        for (int base = 0; base < Shape::kExperts; base += kWarpThreads) {
            const int expert = base + lane;
            const uint32_t rows = expert < Shape::kExperts ? unpacked[expert] : 0;
            const uint32_t sum = inclusive_sum(rows);
            if (expert < Shape::kExperts) first_row[expert] = row + sum - rows;
            row += __shfl_sync(0xFFFFFFFF, sum, kWarpThreads - 1);
        }
        if (lane == 0) first_row[Shape::kExperts] = row;
        for (uint32_t peer = lane; peer < layer.layer->rank_count; peer += kWarpThreads) {
            unsent[peer] = layer.rank(peer).expert_count;
        }
    }
    __syncthreads();
    for (int slot = begin; slot < end; slot += kPlanAhead * kWarpThreads) {
        int experts[kPlanAhead];
        load_experts(experts, ids, slot + lane, end);
#pragma unroll
        for (int step = 0; step < kPlanAhead; ++step) {
            const SlotGroup group(experts[step]);
            if (group.expert >= 0) {
                const int at = slot + step * kWarpThreads + lane;
                const uint32_t row = first_row[group.expert] + mine[group.expert] + group.before;
                row_of_slot[at] = row;
                slot_of_row[row] = at;
            }
            __syncwarp();
            if (group.is_first) mine[group.expert] += group.count;
            __syncwarp();
        }
    }
    __syncthreads();
    // Blocks of up to 64 rows come back with one word each; experts follow each other in the list.
    uint32_t *words = reinterpret_cast<uint32_t *>(rank.return_words);
    if (thread == 0) {
        uint32_t block = 0;
#pragma unroll 8
        for (int expert = 0; expert < Shape::kExperts; ++expert) {
            counts[expert] = block;
            block += (unpacked[expert] + PERSEUS_DEVICE_SEGMENT_ROWS - 1) / PERSEUS_DEVICE_SEGMENT_ROWS;
        }
        *round.return_blocks = block;
    }
    __syncthreads();
    for (int expert = thread; expert < Shape::kExperts; expert += blockDim.x) {
        uint32_t block = counts[expert];
        for (uint32_t row = 0; row < unpacked[expert]; row += PERSEUS_DEVICE_SEGMENT_ROWS) {
            words[block++] = static_cast<uint32_t>(layer.layer->layout.return_words / 8
                + perseus_return_word_index(first_row[expert] + row, expert));
        }
    }
    fence_gpu();
    __syncthreads();
}

}  // namespace perseus
