// The operator block of a rank: plans the round, watches signal words, makes tasks, and knows when the round is over.
//
// Its warps are the subscriber and scheduler (warp 0), the relay of ring credits (warp 1), and the watchers of what comes
// back (the warps of the two upper warpgroups).
#pragma once

#include "bulk.cuh"
#include "layer.cuh"
#include "plan.cuh"
#include "send.cuh"

namespace perseus {

/// The operator's part of shared memory.
struct OperatorMemory {
    /// `plan_round` counts here; later free for others.
    uint32_t counts[kPlanWarps * Shape::kExperts];
    /// [local expert] sources whose rows are here and in no group yet, a bit for each, and their rows.
    unsigned long long pending[Shape::kExperts];
    uint32_t pending_rows[Shape::kExperts];
    /// [local expert] sources whose word was seen in this round.
    uint32_t words_seen[Shape::kExperts];
    uint32_t return_blocks;
    /// A phase each round: all watchers have seen their returns; the round is over.
    uint64_t returned;
    uint64_t round_over;
    /// Quiets of the launch so far; warp 0's.
    uint32_t quiets;
};

/// Appends the tasks of one multiplication over groups `first ..< first + count`: a tile of columns for all groups, then
/// the next tile, so that its weights are read from memory once. One warp, all lanes.
__device__ __forceinline__ void append_tiles(const TaskQueue &queue, uint32_t type, uint32_t expert,
    uint32_t first, uint32_t count, uint32_t tiles) {
    const uint32_t lane = threadIdx.x % kWarpThreads;
    const uint32_t total = count * tiles;
    fence_gpu();
    uint32_t position = lane == 0 ? queue.reserve(total) : 0;
    position = __shfl_sync(0xFFFFFFFF, position, 0);
    for (uint32_t index = lane; index < total; index += kWarpThreads) {
        queue.publish(position + index, type, expert, index / count, first + index % count);
    }
    __syncwarp();
}

/// A group that takes further segments.
struct OpenGroup {
    uint32_t index = 0;
    uint32_t slots = 0;
    uint32_t segments = 0;
};

/// The subscriber and scheduler of a rank. One warp, all lanes take part in every call.
struct Scheduler {
    const LayerView &layer;
    const Round &round;
    OperatorMemory &memory;
    TaskQueue queue;
    uint32_t words_left;
    uint32_t groups_made = 0;

    __device__ Scheduler(const LayerView &layer, const Round &round, OperatorMemory &memory)
        : layer(layer), round(round), memory(memory), queue(layer.rank()),
          words_left(layer.layer->rank_count * layer.rank().expert_count) {}

    __device__ __forceinline__ perseus_device_group *groups() const {
        return reinterpret_cast<perseus_device_group *>(layer.rank().groups);
    }

    /// A group whose segments are set. One thread.
    __device__ __forceinline__ void close_group(uint32_t index, uint32_t expert, uint32_t segments) const {
        perseus_device_group &group = groups()[index];
        group.expert = expert;
        group.segment_count = segments;
        group.up_done = 0;
        group.down_done = 0;
    }

    __device__ __forceinline__ void set_segment(uint32_t index, uint32_t at, uint32_t slot, uint32_t source,
        uint32_t first_row, uint32_t rows) const {
        perseus_device_segment &segment = groups()[index].segments[at];
        segment.first_row = first_row;
        segment.source = static_cast<uint16_t>(source);
        segment.first_slot = static_cast<uint8_t>(slot);
        segment.rows = static_cast<uint8_t>(rows);
    }

    /// Up to a tile's rows that follow each other, as a group of their own. One thread.
    __device__ __forceinline__ void set_group(uint32_t index, uint32_t expert, uint32_t source,
        uint32_t first_row, uint32_t rows) const {
        constexpr uint32_t most = PERSEUS_DEVICE_SEGMENT_ROWS;
        set_segment(index, 0, 0, source, first_row, min(rows, most));
        if (rows > most) {
            set_segment(index, 1, most / PERSEUS_DEVICE_SLOT_ROWS, source, first_row + most, rows - most);
        }
        close_group(index, expert, rows > most ? 2 : 1);
    }

    /// Appends the first multiplication of groups that were set, in batches.
    __device__ void append_batches(
        uint32_t type, uint32_t expert, uint32_t first, uint32_t count, uint32_t tiles) const {
        const uint32_t lane = threadIdx.x % kWarpThreads;
        for (uint32_t begin = 0; begin < count; begin += kBatchGroups) {
            const uint32_t size = min(count - begin, kBatchGroups);
            if (lane < size) {
                groups()[first + begin + lane].batch_first = first + begin;
                groups()[first + begin + lane].batch_count = size;
            }
            __syncwarp();
            append_tiles(queue, type, expert, first + begin, size, tiles);
        }
    }

    /// Pack tasks of all transfers in sending order; transfers without rows are sent at once.
    __device__ void append_packs() {
        const perseus_device_rank &rank = layer.rank();
        const uint32_t lane = threadIdx.x % kWarpThreads;
        const uint32_t *order = reinterpret_cast<const uint32_t *>(rank.order);
        const uint32_t *first_row = reinterpret_cast<const uint32_t *>(rank.first_row);
        // 32 transfers at a time, so that their places cost one addition to the tail.
        for (int base = 0; base < Shape::kExperts; base += kWarpThreads) {
            const int members = min(kWarpThreads, Shape::kExperts - base);
            const uint32_t expert = static_cast<int>(lane) < members ? order[base + lane] : 0;
            const uint32_t first = first_row[expert];
            const uint32_t rows = static_cast<int>(lane) < members ? first_row[expert + 1] - first : 0;
            const uint32_t chunks = (rows + PERSEUS_DEVICE_SEGMENT_ROWS - 1) / PERSEUS_DEVICE_SEGMENT_ROWS;
            const uint32_t sum = inclusive_sum(chunks);
            uint32_t position = lane == kWarpThreads - 1 ? queue.reserve(sum) : 0;
            position = __shfl_sync(0xFFFFFFFF, position, kWarpThreads - 1) + sum - chunks;
            for (int member = 0; member < members; ++member) {
                const uint32_t its_expert = __shfl_sync(0xFFFFFFFF, expert, member);
                const uint32_t its_first = __shfl_sync(0xFFFFFFFF, first, member);
                const uint32_t its_rows = __shfl_sync(0xFFFFFFFF, rows, member);
                const uint32_t its_place = __shfl_sync(0xFFFFFFFF, position, member);
                if (its_rows == 0) send_transfer(layer, round, its_expert);
                for (uint32_t begin = lane * PERSEUS_DEVICE_SEGMENT_ROWS; begin < its_rows;
                     begin += kWarpThreads * PERSEUS_DEVICE_SEGMENT_ROWS) {
                    queue.publish(its_place + begin / PERSEUS_DEVICE_SEGMENT_ROWS,
                        PERSEUS_DEVICE_TASK_PACK, its_expert, its_first + begin,
                        min(its_rows - begin, static_cast<uint32_t>(PERSEUS_DEVICE_SEGMENT_ROWS)));
                }
                __syncwarp();
            }
        }
    }

    /// The shared expert's groups: tokens that follow each other. They need nothing else.
    __device__ void append_shared() {
        if constexpr (Shape::kSharedIntermediate > 0) {
            const uint32_t lane = threadIdx.x % kWarpThreads;
            const uint32_t count = shared_group_count();
            const uint32_t first = shared_group_begin();
            for (uint32_t group = lane; group < count; group += kWarpThreads) {
                const uint32_t begin = group * PERSEUS_DEVICE_TILE_ROWS;
                set_group(first + group, 0, layer.rank_index, round.first_token + begin,
                    min(round.tokens - begin, static_cast<uint32_t>(PERSEUS_DEVICE_TILE_ROWS)));
            }
            __syncwarp();
            append_batches(PERSEUS_DEVICE_TASK_SHARED_UP, 0, first, count, Shape::kSharedUpTiles);
        }
    }

    __device__ __forceinline__ uint32_t shared_group_count() const {
        return Shape::kSharedIntermediate > 0
            ? (round.tokens + PERSEUS_DEVICE_TILE_ROWS - 1) / PERSEUS_DEVICE_TILE_ROWS
            : 0;
    }

    /// Groups of the shared expert lie at the end of the table.
    __device__ __forceinline__ uint32_t shared_group_begin() const {
        return layer.rank().group_capacity - shared_group_count();
    }

    /// Looks at the 32 dispatch words from `base` on and takes those that have come; `seen` has a bit for each word. An
    /// expert whose words are all here goes to the workers.
    __device__ bool look_for_words(uint32_t base, uint32_t *seen) {
        const uint32_t experts = layer.rank().expert_count;
        const uint32_t index = base + threadIdx.x % kWarpThreads;
        const uint32_t block = base / kWarpThreads;
        const uint32_t source = index / experts;
        const uint32_t expert = index - source * experts;
        bool has_come = false;
        if (index < layer.layer->rank_count * experts && !(seen[block] >> (index - base) & 1)) {
            const uint64_t word = load_acquire_sys(dispatch_word_place(layer, source, expert));
            has_come = perseus_signal_reached(word, round.epoch);
            if (has_come) {
                // A newer word took the place of one that announced nothing: its rows belong to the next round.
                take_word(source, expert, perseus_signal_epoch(word) == round.epoch ? perseus_signal_rows(word) : 0);
            }
        }
        const uint32_t come = __ballot_sync(0xFFFFFFFF, has_come);
        if (come == 0) return false;
        __syncwarp();
        if (index == base) seen[block] |= come;
        words_left -= __popc(come);
        const bool is_complete = has_come && memory.words_seen[expert] == layer.layer->rank_count;
        for (uint32_t left = __ballot_sync(0xFFFFFFFF, is_complete); left != 0; left &= left - 1) {
            release(__shfl_sync(0xFFFFFFFF, expert, __ffs(left) - 1));
        }
        __syncwarp();
        return true;
    }

    /// One word is here. One thread.
    __device__ __forceinline__ void take_word(uint32_t source, uint32_t expert, uint32_t rows) {
        if (rows > 0) {
            atomicOr(&memory.pending[expert], 1ull << source);
            atomicAdd(&memory.pending_rows[expert], rows);
        }
        atomicAdd(&memory.words_seen[expert], 1);
    }

    /// Whether all dispatch words of the round are here; none of them is taken. The same for all lanes.
    __device__ bool has_all_words() const {
        const uint32_t experts = layer.rank().expert_count;
        const uint32_t total = layer.layer->rank_count * experts;
        for (uint32_t base = 0; base < total; base += kWarpThreads) {
            const uint32_t index = base + threadIdx.x % kWarpThreads;
            bool has_come = true;
            if (index < total) {
                const uint64_t word =
                    load_relaxed_sys(dispatch_word_place(layer, index / experts, index % experts));
                has_come = perseus_signal_reached(word, round.epoch);
            }
            if (!__all_sync(0xFFFFFFFF, has_come)) return false;
        }
        return true;
    }

    /// Without packing, for measurements on one rank: all rows of the plan are taken as arrived.
    __device__ void take_planned_rows() {
        const uint32_t *first_row = reinterpret_cast<const uint32_t *>(layer.rank().first_row);
        for (uint32_t expert = 0; expert < layer.rank().expert_count; ++expert) {
            if (threadIdx.x % kWarpThreads == 0) take_word(0, expert, first_row[expert + 1] - first_row[expert]);
            __syncwarp();
            release(expert);
        }
        words_left = 0;
    }

    /// The word that announced pending rows.
    __device__ __forceinline__ uint64_t pending_word(uint32_t source, uint32_t expert) const {
        if (layer.has_stage(PERSEUS_DEVICE_STAGE_PACK)) return received_word(layer, round, source, expert);
        return dispatch_word(layer, round, layer.rank().first_expert + expert);
    }

    /// The pending rows of an expert become groups, and these tasks. Rows of whole tiles first; what is left of the sources
    /// shares tiles, two of which are open at a time, so that segments of many and of few rows find a place.
    __device__ void release(uint32_t expert) {
        const uint32_t lane = threadIdx.x % kWarpThreads;
        unsigned long long sources = memory.pending[expert];
        if (sources == 0) return;
        __syncwarp();
        if (lane == 0) {
            memory.pending[expert] = 0;
            memory.pending_rows[expert] = 0;
        }
        const uint32_t first = groups_made;
        OpenGroup fuller, other;
        for (; sources != 0; sources &= sources - 1) {
            const uint32_t source = __ffsll(static_cast<long long>(sources)) - 1;
            const uint64_t word = pending_word(source, expert);
            uint32_t row = perseus_signal_first_row(word);
            uint32_t rows = perseus_signal_rows(word);
            const uint32_t whole = rows / PERSEUS_DEVICE_TILE_ROWS;
            for (uint32_t group = lane; group < whole; group += kWarpThreads) {
                set_group(groups_made + group, expert, source, row + group * PERSEUS_DEVICE_TILE_ROWS,
                    PERSEUS_DEVICE_TILE_ROWS);
            }
            groups_made += whole;
            row += whole * PERSEUS_DEVICE_TILE_ROWS;
            rows -= whole * PERSEUS_DEVICE_TILE_ROWS;
            while (rows > 0) {
                const uint32_t count = min(rows, static_cast<uint32_t>(PERSEUS_DEVICE_SEGMENT_ROWS));
                place_segment(fuller, other, expert, source, row, count);
                row += count;
                rows -= count;
            }
        }
        if (lane == 0) {
            if (fuller.slots > 0) close_group(fuller.index, expert, fuller.segments);
            if (other.slots > 0) close_group(other.index, expert, other.segments);
        }
        __syncwarp();
        append_batches(PERSEUS_DEVICE_TASK_UP, expert, first, groups_made - first, Shape::kUpTiles);
    }

    /// Into the fuller group where it fits, else into the other one, else into a new one in the fuller one's place.
    __device__ __forceinline__ void place_segment(OpenGroup &fuller, OpenGroup &other, uint32_t expert,
        uint32_t source, uint32_t row, uint32_t rows) {
        const bool is_first = threadIdx.x % kWarpThreads == 0;
        const uint32_t slots = (rows + PERSEUS_DEVICE_SLOT_ROWS - 1) / PERSEUS_DEVICE_SLOT_ROWS;
        OpenGroup group = fuller, rest = other;
        if (group.slots + slots > PERSEUS_DEVICE_TILE_SLOTS) {
            group = other;
            rest = fuller;
            if (group.slots + slots > PERSEUS_DEVICE_TILE_SLOTS) {
                if (is_first) close_group(fuller.index, expert, fuller.segments);
                group = OpenGroup{};
                rest = other;
            }
        }
        if (group.slots == 0) group.index = groups_made++;
        if (is_first) set_segment(group.index, group.segments, group.slots, source, row, rows);
        group.slots += slots;
        ++group.segments;
        const bool is_fuller = group.slots >= rest.slots;
        fuller = is_fuller ? group : rest;
        other = is_fuller ? rest : group;
    }

    /// Workers have little to do: the expert with the most pending rows goes to them as it is. False: there are none.
    __device__ bool release_most() {
        uint32_t rows = 0, expert = 0;
        for (uint32_t index = threadIdx.x % kWarpThreads; index < layer.rank().expert_count;
             index += kWarpThreads) {
            if (memory.pending_rows[index] > rows) {
                rows = memory.pending_rows[index];
                expert = index;
            }
        }
        const uint32_t most = __reduce_max_sync(0xFFFFFFFF, rows);
        if (most == 0) return false;
        const uint32_t lanes = __ballot_sync(0xFFFFFFFF, rows == most);
        release(__shfl_sync(0xFFFFFFFF, expert, __ffs(lanes) - 1));
        return true;
    }

    __device__ void append_combines() {
        const uint32_t lane = threadIdx.x % kWarpThreads;
        const uint32_t count = (round.tokens + kCombineTokens - 1) / kCombineTokens;
        uint32_t position = lane == 0 ? queue.reserve(count) : 0;
        position = __shfl_sync(0xFFFFFFFF, position, 0);
        fence_gpu();
        for (uint32_t index = lane; index < count; index += kWarpThreads) {
            const uint32_t begin = index * kCombineTokens;
            queue.publish(position + index, PERSEUS_DEVICE_TASK_COMBINE, 0, begin,
                min(static_cast<uint32_t>(round.tokens) - begin, kCombineTokens));
        }
        __syncwarp();
    }
};

/// Warp 0 of the operator block, for one round.
__device__ void schedule_round(const LayerView &layer, const Round &round, OperatorMemory &memory) {
    const perseus_device_rank &rank = layer.rank();
    const uint32_t lane = threadIdx.x % kWarpThreads;
    // The counters of the plan are not needed any more.
    uint32_t *seen = memory.counts;
    Scheduler scheduler(layer, round, memory);
    const uint32_t total = scheduler.words_left;
    for (uint32_t block = lane; block < (total + 31) / 32; block += kWarpThreads) seen[block] = 0;
    for (uint32_t expert = lane; expert < Shape::kExperts; expert += kWarpThreads) {
        memory.pending[expert] = 0;
        memory.pending_rows[expert] = 0;
        memory.words_seen[expert] = 0;
    }
    __syncwarp();
    perseus_device_round_times *times =
        reinterpret_cast<perseus_device_round_times *>(rank.times) + round.index;
    // Workers begin with the first task that is made: what follows belongs to their time.
    if (lane == 0) times->planned = global_nanoseconds();
    if (layer.has_stage(PERSEUS_DEVICE_STAGE_PACK)) {
        scheduler.append_packs();
        scheduler.append_shared();
    } else {
        scheduler.take_planned_rows();
    }
    bool has_combines = false, is_multiplied = false;
    const bool is_staged = layer.layer->is_staged && layer.has_stage(PERSEUS_DEVICE_STAGE_PACK)
        && layer.has_stage(PERSEUS_DEVICE_STAGE_COMBINE);
    bool has_sent = !is_staged, may_multiply = !is_staged, has_returned = !is_staged;
    const uint32_t *arrivals = reinterpret_cast<const uint32_t *>(rank.group_arrivals);
    Patience patience = layer.patience();
    while (true) {
        bool has_worked = false;
        if (!has_sent && __all_sync(0xFFFFFFFF, load_acquire_gpu(arrivals) == remote_transfers(layer))) {
            signal_bulk_rows(layer, round, &memory.quiets);
            has_sent = true;
            has_worked = true;
        }
        if (!may_multiply) may_multiply = scheduler.has_all_words();
        if (scheduler.words_left > 0 && may_multiply) {
            for (uint32_t base = 0; base < total; base += kWarpThreads) {
                if (scheduler.look_for_words(base, seen)) has_worked = true;
            }
            while (__all_sync(0xFFFFFFFF, scheduler.queue.is_dry()) && scheduler.release_most()) {}
        }
        const bool all_here = scheduler.words_left == 0;
        const uint32_t groups_done = load_acquire_gpu(counter(rank, kExpertGroupsDone));
        // Lanes decide together: each of them has acquired what it counts.
        if (all_here && !is_multiplied
            && __all_sync(0xFFFFFFFF, groups_done == scheduler.groups_made)) {
            is_multiplied = true;
            if (lane == 0) times->multiplied = global_nanoseconds();
        }
        if (!has_returned && has_sent && is_multiplied) {
            return_bulk_rows(layer, round, &memory.quiets);
            has_returned = true;
            has_worked = true;
        }
        if (!has_combines
            && __all_sync(0xFFFFFFFF,
                barrier_test(&memory.returned, round.index & 1)
                    && (!layer.has_stage(PERSEUS_DEVICE_STAGE_PACK)
                        || load_acquire_gpu(counter(rank, kSharedGroupsDone))
                            == scheduler.shared_group_count()))) {
            has_combines = true;
            has_worked = true;
            if (layer.has_stage(PERSEUS_DEVICE_STAGE_COMBINE)) scheduler.append_combines();
        }
        const uint32_t combined = load_acquire_gpu(counter(rank, kTokensCombined));
        const bool is_over = is_multiplied && has_returned && has_combines
            && (combined == round.tokens || !layer.has_stage(PERSEUS_DEVICE_STAGE_COMBINE));
        if (__all_sync(0xFFFFFFFF, is_over)) break;
        if (has_worked) patience = layer.patience();
        if (__any_sync(0xFFFFFFFF, !patience.is_left())) {
            if (lane == 0) {
                layer.error().fail(PERSEUS_WAIT_ROUND, layer.rank_index, round.index,
                    static_cast<uint64_t>(scheduler.words_left) << 32 | scheduler.groups_made,
                    static_cast<uint64_t>(combined) << 32 | groups_done, patience.cycles());
            }
            break;
        }
    }
    if (lane == 0) {
        if (layer.layer->quiets_between_rounds && round.index + 1 < layer.layer->round_count) {
            wait_for_quiet(layer, ++memory.quiets);
        }
        // The host takes the last round's end for the end of all.
        __threadfence_system();
        times->end = global_nanoseconds();
        barrier_arrive(&memory.round_over);
    }
    __syncwarp();
}

/// A watcher's share of the words that come back. Returns when all have come, or the round was given up.
__device__ void watch_returns(const LayerView &layer, const Round &round, OperatorMemory &memory) {
    const perseus_device_rank &rank = layer.rank();
    const uint32_t *words = reinterpret_cast<const uint32_t *>(rank.return_words);
    const uint32_t first = threadIdx.x - kWarpgroupThreads;
    const uint32_t count =
        layer.has_stage(PERSEUS_DEVICE_STAGE_COMBINE) ? memory.return_blocks : 0;
    for (uint32_t block = first; block < count; block += kWorkThreads) {
        const uint64_t *word = reinterpret_cast<const uint64_t *>(rank.signals) + words[block];
        uint64_t seen;
        if (!wait_signal(word, round.epoch, layer.layer->cycle_limit, layer.error(),
                layer.rank_index, words[block], seen)) return;
    }
    barrier_arrive(&memory.returned);
}

/// All threads of the operator block, for the whole launch.
__device__ void operate(const LayerView &layer, OperatorMemory &memory) {
    const perseus_device_rank &rank = layer.rank();
    const int thread = threadIdx.x;
    const int warp = thread / kWarpThreads;
    if (thread == 0) {
        memory.quiets = 0;
        barrier_init(&memory.returned, kWorkThreads);
        barrier_init(&memory.round_over, 1);
    }
    for (uint32_t index = 0; index < layer.layer->round_count; ++index) {
        Round round(layer, index, &memory.return_blocks);
        perseus_device_round_times *times =
            reinterpret_cast<perseus_device_round_times *>(rank.times) + index;
        if (thread == 0) {
            times->begin = global_nanoseconds();
            for (int which = 0; which < 3; ++which) {
                store_release_gpu(counter(rank, static_cast<Counter>(which)), 0);
            }
            store_release_gpu(counter(rank, kRoundWord), index);
        }
        clear_old_words(layer, round);
        plan_round(layer, round, memory.counts);
        if (warp == 0) {
            schedule_round(layer, round, memory);
        } else if (warp == 1) {
            relay_credits(layer, &memory.round_over, index & 1);
        } else if (warp >= kWarpgroupThreads / kWarpThreads) {
            watch_returns(layer, round, memory);
        }
        // All threads must agree.
        if (__syncthreads_or(layer.error().is_set())) break;
    }
    // Every worker block takes one stop.
    if (warp == 0) {
        const TaskQueue queue(rank);
        const uint32_t workers = layer.layer->blocks_per_rank - 1;
        const uint32_t lane = thread % kWarpThreads;
        uint32_t position = lane == 0 ? queue.reserve(workers) : 0;
        position = __shfl_sync(0xFFFFFFFF, position, 0);
        for (uint32_t worker = lane; worker < workers; worker += kWarpThreads) {
            queue.publish(position + worker, PERSEUS_DEVICE_TASK_STOP, 0, 0, 0);
        }
    }
}

}  // namespace perseus
