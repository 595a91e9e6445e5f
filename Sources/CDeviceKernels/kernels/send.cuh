// Sending on the GPU: packed rows and results into rings or the NIC's queue, signals with them or behind their group.
//
// One thread sends, and its code is out of line with views by value: the multiplying warps need the registers.
#pragma once

#include "direct.cuh"
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
__device__ __noinline__ void push_rows(LayerView layer, uint32_t destination, uint64_t source,
    uint64_t target, uint64_t byte_count, uint32_t flags, uint64_t word_index,
    const uint64_t *words, uint32_t word_count) {
    if (layer.layer->is_direct) {
        post_requests(layer, destination, source, target, byte_count, word_index, words, word_count, flags, true);
        return;
    }
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

/// Up to `kSignalsAtOnce` consecutive signal words at `destination`, behind everything that was pushed to it. One thread.
///
/// - is_ordered: rows were pushed before that no earlier words stay behind; a proxy finds that out by itself.
__device__ __noinline__ bool push_words(LayerView layer, uint32_t destination, uint64_t word_index,
    const uint64_t *words, uint32_t count, uint32_t flags, bool is_ordered) {
    if (layer.layer->is_direct) {
        return post_requests(
            layer, destination, 0, 0, 0, word_index, words, count, flags, is_ordered);
    }
    return ring_to(layer, destination)
        .push_signal_block<Fence::system>(
            destination, {PERSEUS_REGION_SIGNAL, word_index * 8}, words, count, flags);
}

/// The leader of a destination's group: one block of consecutive words, or a word after the other. One thread.
__device__ __noinline__ void push_group_signals(LayerView layer, Round round, uint32_t owner) {
    const perseus_device_rank &peer = layer.rank(owner);
    const uint32_t most = layer.layer->coalesces_group ? kSignalsAtOnce : 1;
    uint64_t words[kSignalsAtOnce];
    for (uint32_t first = 0; first < peer.expert_count; first += most) {
        const uint32_t count = min(most, peer.expert_count - first);
        for (uint32_t index = 0; index < count; ++index) {
            words[index] = dispatch_word(layer, round, peer.first_expert + first + index);
        }
        const uint64_t place = dispatch_word_index(layer, owner, peer.first_expert + first);
        const bool is_last = first + count == peer.expert_count;
        if (!push_words(layer, owner, place, words, count, is_last ? PERSEUS_FLAG_LAST_OF_GROUP : 0,
                first == 0)) return;
    }
}

/// Transfers of a round that leave the node; the experts of a node lie side by side.
__device__ __forceinline__ uint32_t remote_transfers(const LayerView &layer) {
    const perseus_device_rank &rank = layer.rank();
    const perseus_device_rank &last = layer.rank(rank.first_local + rank.local_count - 1);
    const uint32_t first = layer.rank(rank.first_local).first_expert;
    return Shape::kExperts - (last.first_expert + last.expert_count - first);
}

/// The leader of a group of transfers: signals members `first ..< first + count` of the round, in their order; those that
/// follow each other at one owner as one block where the scheme joins them. One thread.
__device__ __noinline__ void push_member_signals(
    LayerView layer, Round round, uint32_t first, uint32_t count) {
    const uint32_t *members = reinterpret_cast<const uint32_t *>(layer.rank().members) + first;
    const uint32_t most = layer.layer->coalesces_group ? kSignalsAtOnce : 1;
    uint64_t words[kSignalsAtOnce];
    // Owners to which a signal of this group has gone behind its rows; beyond 64 ranks each signal is ordered.
    uint64_t ordered = 0;
    for (uint32_t index = 0; index < count;) {
        const uint32_t expert = members[index];
        const uint32_t owner = layer.owner_of(expert);
        const uint32_t end = layer.rank(owner).first_expert + layer.rank(owner).expert_count;
        uint32_t run = 0;
        do {
            words[run] = dispatch_word(layer, round, expert + run);
            ++run;
        } while (run < most && index + run < count && expert + run < end
            && members[index + run] == expert + run);
        index += run;
        const uint64_t bit = owner < 64 ? static_cast<uint64_t>(1) << owner : 0;
        if (!push_words(layer, owner, dispatch_word_index(layer, owner, expert), words, run,
                index == count ? PERSEUS_FLAG_LAST_OF_GROUP : 0, (ordered & bit) == 0)) return;
        ordered |= bit;
    }
}

/// A transfer to another node is packed and its put pushed: the last one of its group leads. One thread.
///
/// The first counter gives the transfer its place, the group's own counter finds the last of it: it acquires what every
/// member released, so its signals come behind all of their puts. The last group has what is left of the round.
__device__ void arrive_at_group(const LayerView &layer, const Round &round, uint32_t expert) {
    const perseus_device_rank &rank = layer.rank();
    uint32_t *arrivals = reinterpret_cast<uint32_t *>(rank.group_arrivals);
    const uint32_t size = layer.layer->group_size;
    const uint32_t place = add_acq_rel_gpu(arrivals, 1);
    const uint32_t first = place / size * size;
    const uint32_t count = min(size, remote_transfers(layer) - first);
    reinterpret_cast<uint32_t *>(rank.members)[place] = expert;
    if (add_acq_rel_gpu(arrivals + 1 + place / size, 1) + 1 == count) {
        push_member_signals(layer, round, first, count);
    }
}

/// Bulk: the last packed transfer of a peer sends the rows of all of them, which follow each other in the packed order.
/// One thread.
__device__ __noinline__ void arrive_at_peer(LayerView layer, uint32_t owner) {
    const perseus_device_rank &rank = layer.rank();
    const perseus_arena_layout &layout = layer.layer->layout;
    if (add_acq_rel_gpu(reinterpret_cast<uint32_t *>(rank.unsent) + owner, -1u) == 1) {
        const perseus_device_rank &peer = layer.rank(owner);
        const uint32_t *first_row = reinterpret_cast<const uint32_t *>(rank.first_row);
        const uint32_t first = first_row[peer.first_expert];
        const uint32_t rows = first_row[peer.first_expert + peer.expert_count] - first;
        if (rows > 0) {
            push_rows(layer, owner, perseus_arena_send_row(&layout, first),
                perseus_arena_dispatch_row(&layout, layer.rank_index, first),
                static_cast<uint64_t>(rows) * layout.row_stride, 0, 0, nullptr, 0);
        }
    }
    // The operator signals when all have arrived here.
    add_acq_rel_gpu(reinterpret_cast<uint32_t *>(rank.group_arrivals), 1);
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
        } else if (layer.layer->is_staged) {
            arrive_at_peer(layer, owner);
        } else if (layer.layer->signaling == PERSEUS_DEVICE_COUPLED) {
            if (bytes == 0) {
                push_words(layer, owner, index, &word, 1, PERSEUS_FLAG_LAST_OF_GROUP, false);
            } else {
                push_rows(layer, owner, perseus_arena_send_row(&layout, first),
                    perseus_arena_dispatch_row(&layout, layer.rank_index, first), bytes, 0, index, &word, 1);
            }
        } else {
            if (bytes > 0) {
                push_rows(layer, owner, perseus_arena_send_row(&layout, first),
                    perseus_arena_dispatch_row(&layout, layer.rank_index, first), bytes, 0, 0, nullptr, 0);
            }
            if (layer.layer->signaling == PERSEUS_DEVICE_PER_TRANSFERS) {
                arrive_at_group(layer, round, expert);
            } else {
                // The last transfer of the destination leads: its fence and signals come behind all of its puts.
                uint32_t *unsent = reinterpret_cast<uint32_t *>(rank.unsent) + owner;
                if (add_acq_rel_gpu(unsent, -1u) == 1) push_group_signals(layer, round, owner);
            }
        }
    }
    __syncwarp();
}

/// The results of a group are stored: words for local owners, puts with their words for the others (bulk: later). Warp, a
/// lane for each segment.
__device__ void send_results(
    const LayerView &layer, const Round &round, const perseus_device_group &group) {
    const perseus_arena_layout &layout = layer.layer->layout;
    const uint32_t lane = threadIdx.x % kWarpThreads;
    const uint32_t expert = layer.rank().first_expert + group.expert;
    const uint32_t segments = group.segment_count;
    const perseus_device_segment segment = group.segments[lane < segments ? lane : 0];
    const uint32_t first = segment.first_row, source = segment.source;
    // Two segments that follow each other go back as one put with two words.
    const uint32_t next_first = __shfl_down_sync(0xFFFFFFFF, first, 1);
    const uint32_t next_source = __shfl_down_sync(0xFFFFFFFF, source, 1);
    const uint32_t next_rows = __shfl_down_sync(0xFFFFFFFF, segment.rows, 1);
    const bool takes_next =
        lane + 1 < segments && next_source == source && next_first == first + segment.rows;
    const bool is_taken = __shfl_up_sync(0xFFFFFFFF, takes_next, 1) && lane > 0;
    if (lane < segments && !is_taken) {
        const uint64_t index = layout.return_words / 8 + perseus_return_word_index(first, expert);
        const uint32_t count = takes_next ? 2 : 1;
        const uint32_t rows = segment.rows + (takes_next ? next_rows : 0);
        const uint64_t words[2] = {perseus_signal_make(round.epoch, first, segment.rows),
            perseus_signal_make(round.epoch, next_first, next_rows)};
        if (layer.is_local(source)) {
            uint64_t *place = reinterpret_cast<uint64_t *>(layer.rank(source).signals) + index;
            for (uint32_t word = 0; word < count; ++word) store_release_sys(place + word, words[word]);
        } else if (!layer.layer->is_staged) {
            push_rows(layer, source, perseus_arena_result_row(&layout, source, first),
                perseus_arena_return_row(&layout, first), static_cast<uint64_t>(rows) * layout.row_stride,
                PERSEUS_FLAG_COMBINE, index, words, count);
        }
    }
    __syncwarp();
}

/// Waits until all puts of the rank have completed. One thread, while credits are relayed and nobody pushes.
///
/// - count: how many quiets of the launch this makes.
__device__ void wait_for_quiet(const LayerView &layer, uint32_t count) {
    const perseus_device_rank &rank = layer.rank();
    if (layer.layer->is_direct) {
        SendQueue(rank).wait_until_idle();
        return;
    }
    for (uint32_t ring = 0; ring < rank.ring_count; ++ring) {
        if (!Ring(rank.rings[ring]).push_quiet(PERSEUS_DESTINATION_ALL, 0)) return;
    }
    for (uint32_t ring = 0; ring < rank.ring_count; ++ring) {
        const uint64_t *board =
            reinterpret_cast<const uint64_t *>(rank.boards + ring * PERSEUS_SHARED_WORD_STRIDE);
        if (!wait_quiet(board, count, layer.layer->cycle_limit, layer.error(),
                layer.rank_index, ring)) return;
    }
}

/// Feeds the producers' credit until the phase of `round_over` with `parity` is over. One warp; a lane for each ring.
__device__ void relay_credits(const LayerView &layer, uint64_t *round_over, uint32_t parity) {
    const perseus_device_rank &rank = layer.rank();
    const uint32_t lane = threadIdx.x % kWarpThreads;
    while (!barrier_test(round_over, parity)) {
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
