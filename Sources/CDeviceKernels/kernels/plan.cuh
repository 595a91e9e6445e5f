// Stages 1 to 2 of a round on the GPU: rows of the packed order from routing, by a stable counting sort of one block.
#pragma once

#include "layer.cuh"

namespace perseus {

/// Sorts the round's slots by expert, stable in token order. All threads of the operator block.
///
/// Writes slot_of_row, row_of_slot, first_row, unpacked, unsent and the list of words that will come back; nobody has
/// arrived at a group yet.
/// `counts` has room for kPlanThreads x experts words: [thread][expert].
__device__ void plan_round(const LayerView &layer, const Round &round, uint32_t *counts) {
    const perseus_device_rank &rank = layer.rank();
    const int thread = threadIdx.x;
    const int slots = round.tokens * Shape::kTopK;
    const int portion = (slots + kPlanThreads - 1) / kPlanThreads;
    const int begin = min(slots, thread * portion);
    const int end = thread < kPlanThreads ? min(slots, begin + portion) : begin;
    const int32_t *ids = reinterpret_cast<const int32_t *>(rank.ids) + round.first_token * Shape::kTopK;
    uint32_t *first_row = reinterpret_cast<uint32_t *>(rank.first_row);
    uint32_t *row_of_slot = reinterpret_cast<uint32_t *>(rank.row_of_slot);
    uint32_t *slot_of_row = reinterpret_cast<uint32_t *>(rank.slot_of_row);
    uint32_t *unpacked = reinterpret_cast<uint32_t *>(rank.unpacked);
    uint32_t *unsent = reinterpret_cast<uint32_t *>(rank.unsent);
    uint32_t *arrivals = reinterpret_cast<uint32_t *>(rank.group_arrivals);

    for (int index = thread; index < kPlanThreads * Shape::kExperts; index += blockDim.x) counts[index] = 0;
    for (int index = thread; index <= Shape::kExperts; index += blockDim.x) arrivals[index] = 0;
    __syncthreads();
    for (int slot = begin; slot < end; ++slot) ++counts[thread * Shape::kExperts + ids[slot]];
    __syncthreads();
    // Per expert: how many come before each thread's; the totals are in unpacked.
    for (int expert = thread; expert < Shape::kExperts; expert += blockDim.x) {
        uint32_t total = 0;
        for (int other = 0; other < kPlanThreads; ++other) {
            const uint32_t count = counts[other * Shape::kExperts + expert];
            counts[other * Shape::kExperts + expert] = total;
            total += count;
        }
        unpacked[expert] = total;
    }
    __syncthreads();
    if (thread == 0) {
        uint32_t row = 0;
        for (int expert = 0; expert < Shape::kExperts; ++expert) {
            first_row[expert] = row;
            row += unpacked[expert];
        }
        first_row[Shape::kExperts] = row;
        for (uint32_t peer = 0; peer < layer.layer->rank_count; ++peer) {
            unsent[peer] = layer.rank(peer).expert_count;
        }
    }
    __syncthreads();
    for (int slot = begin; slot < end; ++slot) {
        const int expert = ids[slot];
        const uint32_t row = first_row[expert] + counts[thread * Shape::kExperts + expert]++;
        row_of_slot[slot] = row;
        slot_of_row[row] = slot;
    }
    // Blocks of up to 64 rows come back with one word each; experts follow each other in the list.
    uint32_t *words = reinterpret_cast<uint32_t *>(rank.return_words);
    if (thread == 0) {
        uint32_t block = 0;
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
    __threadfence();
    __syncthreads();
}

}  // namespace perseus
