// What every role of the megakernel looks at: the layer, its own rank, the round.
#pragma once

#include "hopper.cuh"
#include "perseus_device.cuh"
#include "perseus_device_layer.h"
#include "shape.cuh"
#include "tasks.cuh"

namespace perseus {

/// Warps of the operator block, which sorts; each has a counter for each expert in shared memory.
constexpr int kPlanWarps = PERSEUS_DEVICE_THREADS / kWarpThreads;
/// The warpgroups that multiply, pack and combine.
constexpr int kWorkThreads = 2 * kWarpgroupThreads;
/// Tokens of one combine task.
constexpr uint32_t kCombineTokens = 16;
/// Most groups of a batch; a lane of a warp sets each.
constexpr uint32_t kBatchGroups = 16;
/// Most words that a leader sends in one block.
constexpr uint32_t kSignalsAtOnce = 32;

struct LayerView {
    const perseus_device_layer *layer;
    uint32_t rank_index;

    __device__ __forceinline__ const perseus_device_rank &rank(uint32_t index) const {
        return reinterpret_cast<const perseus_device_rank *>(layer->ranks)[index];
    }
    __device__ __forceinline__ const perseus_device_rank &rank() const { return rank(rank_index); }

    __device__ __forceinline__ bool is_local(uint32_t peer) const {
        return peer - rank().first_local < rank().local_count;
    }

    /// The rank that owns `expert`: experts lie in blocks.
    __device__ __forceinline__ uint32_t owner_of(uint32_t expert) const {
        uint32_t peer = static_cast<uint64_t>(expert) * layer->rank_count / Shape::kExperts;
        while (expert < rank(peer).first_expert) --peer;
        while (expert >= rank(peer).first_expert + rank(peer).expert_count) ++peer;
        return peer;
    }

    __device__ __forceinline__ bool has_stage(uint32_t stage) const { return layer->stages & stage; }

    __device__ __forceinline__ ErrorWord error() const {
        return ErrorWord{reinterpret_cast<perseus_error_record *>(layer->error)};
    }
    __device__ __forceinline__ Patience patience() const {
        return Patience(error(), layer->cycle_limit);
    }

    __device__ __forceinline__ uint32_t epoch(uint32_t round) const {
        return (layer->first_round + round) % 0x7FFF + 1;
    }
};

/// The tokens of a rank in one round.
struct Round {
    uint32_t index;
    uint32_t epoch;
    int first_token;
    int tokens;
    /// In shared memory of the operator block: words that come back.
    uint32_t *return_blocks;

    __device__ __forceinline__ Round(const LayerView &layer, uint32_t index, uint32_t *return_blocks)
        : index(index), epoch(layer.epoch(index)), return_blocks(return_blocks) {
        const uint32_t *tokens_of = reinterpret_cast<const uint32_t *>(layer.rank().round_tokens);
        first_token = static_cast<int>(tokens_of[2 * index]);
        tokens = static_cast<int>(tokens_of[2 * index + 1]);
    }
};

/// Where `source` stores its dispatch word for an expert of this rank.
__device__ __forceinline__ const uint64_t *dispatch_word_place(
    const LayerView &layer, uint32_t source, uint32_t expert) {
    return reinterpret_cast<const uint64_t *>(layer.rank().signals)
        + perseus_dispatch_word_index(source, expert, layer.layer->layout.max_experts_per_rank);
}

/// The dispatch word of `source` for an expert of this rank, if it announced rows in this round; otherwise 0. It was seen
/// before.
__device__ __forceinline__ uint64_t received_word(
    const LayerView &layer, const Round &round, uint32_t source, uint32_t expert) {
    const uint64_t word = load_relaxed_sys(dispatch_word_place(layer, source, expert));
    return perseus_signal_epoch(word) == round.epoch && perseus_signal_rows(word) > 0 ? word : 0;
}

}  // namespace perseus
