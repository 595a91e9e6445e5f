// The bulk scheme on the GPU: one put for each peer, a wait for completion, then the signals; on both ways.
//
// A library that the host drives does the same in kernels of their own: pack, exchange, multiply, exchange, combine. Here
// the operator stands at those places, so what launches and host barriers cost is left out, in favour of this scheme.
//
// Out of line, so that the other schemes have their registers.
#pragma once

#include "send.cuh"

namespace perseus {

/// Lane 0 waits until everything that the rank pushed has completed. Warp.
__device__ __forceinline__ void bulk_quiet(const LayerView &layer, uint32_t *quiets) {
    __syncwarp();
    if (threadIdx.x % kWarpThreads == 0) wait_for_quiet(layer, ++*quiets);
    __syncwarp();
}

/// The rows for other nodes were put, one put for each peer: when they have completed, all words. Warp.
__device__ __noinline__ void signal_bulk_rows(LayerView layer, Round round, uint32_t *quiets) {
    const uint32_t *order = reinterpret_cast<const uint32_t *>(layer.rank().order);
    bulk_quiet(layer, quiets);
    for (uint32_t index = threadIdx.x % kWarpThreads; index < Shape::kExperts; index += kWarpThreads) {
        const uint32_t expert = order[index];
        const uint32_t owner = layer.owner_of(expert);
        if (layer.is_local(owner)) continue;
        const uint64_t word = dispatch_word(layer, round, expert);
        if (!push_words(layer, owner, dispatch_word_index(layer, owner, expert), &word, 1,
                PERSEUS_FLAG_LAST_OF_GROUP, false)) break;
    }
    __syncwarp();
}

/// Signals the blocks of 64 rows of one expert's results for `source`. One thread.
__device__ bool signal_bulk_blocks(
    const LayerView &layer, const Round &round, uint32_t source, uint32_t expert, uint64_t received) {
    const uint64_t end = perseus_signal_first_row(received) + perseus_signal_rows(received);
    uint64_t words[kSignalsAtOnce];
    for (uint64_t row = perseus_signal_first_row(received); row < end;) {
        const uint64_t index = layer.layer->layout.return_words / 8
            + perseus_return_word_index(row, layer.rank().first_expert + expert);
        uint32_t count = 0;
        for (; row < end && count < kSignalsAtOnce; row += PERSEUS_DEVICE_SEGMENT_ROWS) {
            words[count++] = perseus_signal_make(
                round.epoch, row, min(end - row, static_cast<uint64_t>(PERSEUS_DEVICE_SEGMENT_ROWS)));
        }
        if (!push_words(layer, source, index, words, count,
                PERSEUS_FLAG_COMBINE | PERSEUS_FLAG_LAST_OF_GROUP, false)) return false;
    }
    return true;
}

/// All experts are done: results of each source on another node as one put, their completion, then their words. Warp.
__device__ __noinline__ void return_bulk_rows(LayerView layer, Round round, uint32_t *quiets) {
    const perseus_device_rank &rank = layer.rank();
    const perseus_arena_layout &layout = layer.layer->layout;
    const uint32_t lane = threadIdx.x % kWarpThreads;
    for (uint32_t source = lane; source < layer.layer->rank_count; source += kWarpThreads) {
        if (layer.is_local(source)) continue;
        // What a source sent here follows each other in its packed order.
        uint64_t first = ~static_cast<uint64_t>(0), end = 0;
        for (uint32_t expert = 0; expert < rank.expert_count; ++expert) {
            const uint64_t word = received_word(layer, round, source, expert);
            if (word == 0) continue;
            const uint64_t row = perseus_signal_first_row(word);
            first = min(first, row);
            end = max(end, row + perseus_signal_rows(word));
        }
        if (end == 0) continue;
        push_rows(layer, source, perseus_arena_result_row(&layout, source, first),
            perseus_arena_return_row(&layout, first), (end - first) * layout.row_stride,
            PERSEUS_FLAG_COMBINE, 0, nullptr, 0);
    }
    bulk_quiet(layer, quiets);
    const uint32_t pairs = layer.layer->rank_count * rank.expert_count;
    for (uint32_t pair = lane; pair < pairs; pair += kWarpThreads) {
        const uint32_t source = pair / rank.expert_count;
        const uint32_t expert = pair - source * rank.expert_count;
        const uint64_t word = layer.is_local(source) ? 0 : received_word(layer, round, source, expert);
        if (word != 0 && !signal_bulk_blocks(layer, round, source, expert, word)) break;
    }
    __syncwarp();
}

}  // namespace perseus
