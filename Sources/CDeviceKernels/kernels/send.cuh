// Stage 4 of a round on the GPU: packed rows and results into rings, signals with them or behind their group.
#pragma once

#include "layer.cuh"

namespace perseus {

/// The dispatch word of `expert` for this round.
__device__ __forceinline__ uint64_t dispatch_word(
    const LayerView &layer, const Round &round, uint32_t expert) {
    const uint32_t *first_row = reinterpret_cast<const uint32_t *>(layer.rank().first_row);
    return perseus_signal_make(
        round.epoch, first_row[expert], first_row[expert + 1] - first_row[expert]);
}

__device__ __forceinline__ uint64_t dispatch_word_index(
    const LayerView &layer, uint32_t owner, uint32_t expert) {
    return perseus_dispatch_word_index(layer.rank_index, expert - layer.rank(owner).first_expert,
        layer.layer->layout.max_experts_per_rank);
}

__device__ __forceinline__ Ring ring_to(const LayerView &layer, uint32_t destination) {
    const perseus_device_rank &rank = layer.rank();
    return Ring(rank.rings[perseus_ring_index(destination, rank.ring_count)]);
}

/// Consecutive rows as puts of at most PERSEUS_MAX_PUT_BYTES, the signal words (if any) with the last. One thread.
/// What the rows hold has been fenced at gpu scope towards this thread; the ring's fence makes it the system's.
__device__ void push_rows(const LayerView &layer, uint32_t destination, uint64_t source,
    uint64_t target, uint64_t byte_count, uint32_t flags, uint64_t word_index,
    const uint64_t *words, uint32_t word_count) {
    const Ring ring = ring_to(layer, destination);
    while (byte_count > PERSEUS_MAX_PUT_BYTES) {
        if (!ring.push_put(destination, {PERSEUS_REGION_DATA, source}, {PERSEUS_REGION_DATA, target},
                PERSEUS_MAX_PUT_BYTES, flags)) return;
        source += PERSEUS_MAX_PUT_BYTES;
        target += PERSEUS_MAX_PUT_BYTES;
        byte_count -= PERSEUS_MAX_PUT_BYTES;
    }
    const Place from = {PERSEUS_REGION_DATA, source};
    const Place to = {PERSEUS_REGION_DATA, target};
    if (word_count == 0) {
        ring.push_put(destination, from, to, static_cast<uint32_t>(byte_count), flags);
    } else {
        ring.push_put_signal(destination, from, to, static_cast<uint32_t>(byte_count),
            {PERSEUS_REGION_SIGNAL, word_index * 8}, words, word_count, flags);
    }
}

/// The leader of a destination's group: one block of consecutive words, or a word after the other. One thread.
__device__ void push_group_signals(const LayerView &layer, const Round &round, uint32_t owner) {
    const perseus_device_rank &peer = layer.rank(owner);
    const Ring ring = ring_to(layer, owner);
    const uint32_t most = layer.layer->coalesces_group ? kSignalsAtOnce : 1;
    uint64_t words[kSignalsAtOnce];
    for (uint32_t first = 0; first < peer.expert_count; first += most) {
        const uint32_t count = min(most, peer.expert_count - first);
        for (uint32_t index = 0; index < count; ++index) {
            words[index] = dispatch_word(layer, round, peer.first_expert + first + index);
        }
        const uint64_t place = dispatch_word_index(layer, owner, peer.first_expert + first) * 8;
        const bool is_last = first + count == peer.expert_count;
        if (!ring.push_signal_block<Fence::system>(owner, {PERSEUS_REGION_SIGNAL, place}, words, count,
                is_last ? PERSEUS_FLAG_LAST_OF_GROUP : 0)) return;
    }
}

/// All rows of `expert` are packed (or there are none): stores its word at a local peer, or pushes what the scheme asks
/// for. One warp, converged; lane 0 does it.
__device__ void send_transfer(const LayerView &layer, const Round &round, uint32_t expert) {
    if (threadIdx.x % kWarpThreads == 0) {
        const perseus_device_rank &rank = layer.rank();
        const perseus_arena_layout &layout = layer.layer->layout;
        const uint32_t owner = layer.owner_of(expert);
        const uint32_t first = reinterpret_cast<const uint32_t *>(rank.first_row)[expert];
        const uint64_t word = dispatch_word(layer, round, expert);
        const uint64_t index = dispatch_word_index(layer, owner, expert);
        const uint64_t bytes = static_cast<uint64_t>(perseus_signal_rows(word)) * layout.row_stride;
        if (layer.is_local(owner)) {
            store_release_sys(reinterpret_cast<uint64_t *>(layer.rank(owner).signals) + index, word);
        } else if (layer.layer->signaling == PERSEUS_DEVICE_COUPLED) {
            if (bytes == 0) {
                ring_to(layer, owner).push_signal_block<Fence::system>(
                    owner, {PERSEUS_REGION_SIGNAL, index * 8}, &word, 1, PERSEUS_FLAG_LAST_OF_GROUP);
            } else {
                push_rows(layer, owner, perseus_arena_send_row(&layout, first),
                    perseus_arena_dispatch_row(&layout, layer.rank_index, first), bytes, 0, index, &word, 1);
            }
        } else {
            if (bytes > 0) {
                push_rows(layer, owner, perseus_arena_send_row(&layout, first),
                    perseus_arena_dispatch_row(&layout, layer.rank_index, first), bytes, 0, 0, nullptr, 0);
            }
            // The last transfer of the destination leads: its fence and signals come behind all of its puts.
            uint32_t *unsent = reinterpret_cast<uint32_t *>(rank.unsent) + owner;
            if (add_acq_rel_gpu(unsent, -1u) == 1) push_group_signals(layer, round, owner);
        }
    }
    __syncwarp();
}

/// The results of a group are stored: words for local owners, puts with their words for the others. One thread.
__device__ void send_results(
    const LayerView &layer, const Round &round, const perseus_device_group &group) {
    const perseus_device_rank &rank = layer.rank();
    const perseus_arena_layout &layout = layer.layer->layout;
    const uint32_t expert = rank.first_expert + group.expert;
    // Two segments that follow each other go back as one put with two words.
    const bool is_one = group.rows[1] > 0 && group.source[0] == group.source[1]
        && group.first_row[0] + group.rows[0] == group.first_row[1];
    for (int segment = 0; segment < (is_one ? 1 : 2); ++segment) {
        if (group.rows[segment] == 0) continue;
        const uint32_t source = group.source[segment];
        const uint32_t first = group.first_row[segment];
        const uint64_t index = layout.return_words / 8 + perseus_return_word_index(first, expert);
        const uint32_t count = is_one ? 2 : 1;
        const uint32_t rows = group.rows[segment] + (is_one ? group.rows[1] : 0);
        uint64_t words[2] = {perseus_signal_make(round.epoch, first, group.rows[segment]), 0};
        if (is_one) words[1] = perseus_signal_make(round.epoch, group.first_row[1], group.rows[1]);
        if (layer.is_local(source)) {
            uint64_t *place = reinterpret_cast<uint64_t *>(layer.rank(source).signals) + index;
            for (uint32_t word = 0; word < count; ++word) store_release_sys(place + word, words[word]);
        } else {
            push_rows(layer, source, perseus_arena_result_row(&layout, source, first),
                perseus_arena_return_row(&layout, first), static_cast<uint64_t>(rows) * layout.row_stride,
                PERSEUS_FLAG_COMBINE, index, words, count);
        }
    }
}

/// Waits until all puts of the rank have completed. One thread, while credits are relayed.
__device__ void wait_for_quiet(const LayerView &layer, const Round &round) {
    const perseus_device_rank &rank = layer.rank();
    for (uint32_t ring = 0; ring < rank.ring_count; ++ring) {
        if (!Ring(rank.rings[ring]).push_quiet(PERSEUS_DESTINATION_ALL, 0)) return;
    }
    for (uint32_t ring = 0; ring < rank.ring_count; ++ring) {
        const uint64_t *board =
            reinterpret_cast<const uint64_t *>(rank.boards + ring * PERSEUS_SHARED_WORD_STRIDE);
        if (!wait_quiet(board, round.index + 1, layer.layer->cycle_limit, layer.error(),
                layer.rank_index, ring)) return;
    }
}

/// Feeds the producers' credit until the round is over. One warp; a lane for each ring.
__device__ void relay_credits(const LayerView &layer, const uint32_t *is_round_over) {
    const perseus_device_rank &rank = layer.rank();
    const uint32_t lane = threadIdx.x % kWarpThreads;
    while (*static_cast<const volatile uint32_t *>(is_round_over) == 0) {
        if (lane < rank.ring_count) Ring(rank.rings[lane]).relay_once();
        __nanosleep(500);
        if (layer.error().is_set()) break;
    }
    __syncwarp();
}

/// Words that a round could match by accident are cleared before the 15-bit epoch can repeat, while nobody can be
/// writing them. All threads of the operator block.
__device__ void clear_old_words(const LayerView &layer, const Round &round) {
    if (((layer.layer->first_round + round.index) & 0x1FFF) != 0x1FFF) return;
    const perseus_arena_layout &layout = layer.layer->layout;
    uint64_t *words = reinterpret_cast<uint64_t *>(layer.rank().signals) + layout.return_words / 8;
    const uint64_t count = (layout.signal_byte_count - layout.return_words) / 8;
    for (uint64_t index = threadIdx.x; index < count; index += blockDim.x) words[index] = 0;
    __threadfence();
    __syncthreads();
}

}  // namespace perseus
