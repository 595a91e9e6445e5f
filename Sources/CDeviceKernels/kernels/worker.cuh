// A worker block: one warp fetches tasks, one thread loads tiles, two warpgroups multiply, pack and combine, one warp does
// what follows when a task is done, while these go on with the next one.
#pragma once

#include "operator.cuh"
#include "rows.cuh"
#include "tile.cuh"

namespace perseus {

/// The named barriers behind which a task's rows are stored, one for each slot, and who meets there.
constexpr int kStoredBarrier = 1;
constexpr int kStoredThreads = kWorkThreads + kWarpThreads;

/// A task as its block works on it; of a tile also what its group says.
struct BlockTask {
    perseus_device_task task;
    uint32_t round;
    uint32_t expert;
    uint32_t batch_first;
    uint32_t batch_count;
    TileRows rows;
};

/// The worker's part of shared memory, behind the stages.
struct WorkerMemory {
    /// One task is finished, one is worked on, and one is fetched.
    static constexpr int kSlots = 3;
    BlockTask tasks[kSlots];
    /// A task is there; its rows are stored, so that the next but one may be fetched; nobody needs it any more.
    uint64_t task_full[kSlots];
    uint64_t task_worked[kSlots];
    uint64_t task_empty[kSlots];
    uint64_t stage_full[TileStages::kCount];
    uint64_t stage_empty[TileStages::kCount];
};

__device__ __forceinline__ bool is_tile(uint32_t type) {
    return type >= PERSEUS_DEVICE_TASK_UP && type <= PERSEUS_DEVICE_TASK_SHARED_DOWN;
}
__device__ __forceinline__ bool is_up(uint32_t type) {
    return type == PERSEUS_DEVICE_TASK_UP || type == PERSEUS_DEVICE_TASK_SHARED_UP;
}
__device__ __forceinline__ bool is_shared(uint32_t type) {
    return type == PERSEUS_DEVICE_TASK_SHARED_UP || type == PERSEUS_DEVICE_TASK_SHARED_DOWN;
}

/// Deals the segments of a group out to slots, a lane for each. Warp.
__device__ __forceinline__ void spread_segments(const perseus_device_group &group, bool is_shared,
    uint32_t rows_per_source, TileRows &rows) {
    const uint32_t lane = threadIdx.x % kWarpThreads;
    const bool is_segment = lane < group.segment_count;
    const perseus_device_segment segment =
        group.segments[is_segment ? lane : 0];
    // Segments follow each other, so a slot belongs to the last one that begins before it ends.
    const uint32_t begins =
        __reduce_or_sync(0xFFFFFFFF, is_segment ? 1u << segment.first_slot : 0);
    const int owner = __popc(begins & ((2u << lane) - 1)) - 1;
    const uint32_t first_slot = __shfl_sync(0xFFFFFFFF, segment.first_slot, owner);
    const uint32_t all_rows = __shfl_sync(0xFFFFFFFF, segment.rows, owner);
    const uint32_t source = __shfl_sync(0xFFFFFFFF, segment.source, owner);
    const uint32_t before = (lane - first_slot) * PERSEUS_DEVICE_SLOT_ROWS;
    const uint32_t row = __shfl_sync(0xFFFFFFFF, segment.first_row, owner) + before;
    const bool is_used = lane < PERSEUS_DEVICE_TILE_SLOTS && before < all_rows;
    const bool is_tall = all_rows > PERSEUS_DEVICE_SEGMENT_ROWS - PERSEUS_DEVICE_SLOT_ROWS;
    const uint32_t tall = __ballot_sync(0xFFFFFFFF, is_used && is_tall && before == 0);
    const uint32_t low = __ballot_sync(0xFFFFFFFF, is_used && !is_tall);
    if (lane < PERSEUS_DEVICE_TILE_SLOTS) {
        TileSlot &slot = rows.slots[lane];
        slot.row = row;
        slot.matrix_row = is_shared ? row : source * rows_per_source + row;
        slot.source = static_cast<uint16_t>(source);
        slot.rows = is_used
            ? static_cast<uint16_t>(min(all_rows - before, static_cast<uint32_t>(PERSEUS_DEVICE_SLOT_ROWS)))
            : 0;
    }
    if (lane == 0) {
        rows.tall = tall;
        rows.low = low;
    }
}

/// The fetching warp: takes tickets and puts tasks into shared memory, up to and with the stop.
__device__ void fetch_tasks(const LayerView &layer, WorkerMemory &memory) {
    const TaskQueue queue(layer.rank());
    const uint32_t lane = threadIdx.x % kWarpThreads;
    const perseus_device_group *groups =
        reinterpret_cast<const perseus_device_group *>(layer.rank().groups);
    const uint32_t *round = reinterpret_cast<const uint32_t *>(layer.rank().counters
        + kRoundWord * PERSEUS_SHARED_WORD_STRIDE);
    for (uint32_t index = 0;; ++index) {
        const int slot = index % WorkerMemory::kSlots;
        BlockTask &next = memory.tasks[slot];
        barrier_wait(&memory.task_empty[slot], (index / WorkerMemory::kSlots & 1) ^ 1);
        // A block takes one ticket ahead and no more: others may be idle.
        if (index >= 2) {
            const uint32_t before = index - 2;
            barrier_wait(
                &memory.task_worked[before % WorkerMemory::kSlots], before / WorkerMemory::kSlots & 1);
        }
        if (lane == 0) {
            const uint32_t position = atomicAdd(queue.head, 1);
            perseus_device_task task;
            Patience patience = layer.patience();
            while (!queue.read(position, task)) {
                if (!patience.is_left()) {
                    layer.error().fail(PERSEUS_WAIT_TASK, layer.rank_index, position, 1, 0, patience.cycles());
                    task = perseus_device_task{PERSEUS_DEVICE_TASK_STOP << 24, 0, 0, 0};
                    break;
                }
            }
            next.task = task;
            next.round = load_acquire_gpu(round);
        }
        __syncwarp();
        const uint32_t type = type_of(next.task);
        if (is_tile(type)) {
            // The counters of a group are atomic; everything else in it was written before its tasks.
            const perseus_device_group &group = groups[next.task.group];
            spread_segments(group, is_shared(type), layer.layer->layout.rows_per_source, next.rows);
            if (lane == 0) {
                next.expert = group.expert;
                next.batch_first = group.batch_first;
                next.batch_count = group.batch_count;
            }
        }
        // All lanes wrote a part of it.
        barrier_arrive(&memory.task_full[slot]);
        if (type == PERSEUS_DEVICE_TASK_STOP) return;
    }
}

/// What a tile task reads.
__device__ __forceinline__ TileOperands operands_of(const LayerView &layer, const BlockTask &work) {
    const perseus_device_rank &rank = layer.rank();
    const perseus_device_layer &all = *layer.layer;
    const uint32_t type = type_of(work.task);
    const uint32_t expert = rank.first_expert + work.expert;
    TileOperands operands;
    const int tile = static_cast<int>(work.task.tile);
    switch (type) {
    case PERSEUS_DEVICE_TASK_UP:
        operands.row_maps = reinterpret_cast<const TensorMap *>(rank.dispatch_maps);
        operands.weights_map = reinterpret_cast<const TensorMap *>(all.up_map);
        operands.first_column = expert * 2 * Shape::kIntermediate + tile * Shape::kUpColumns;
        operands.depth_tiles = tiles(Shape::kHidden, TileStages::kDepth);
        break;
    case PERSEUS_DEVICE_TASK_DOWN:
        operands.row_maps = reinterpret_cast<const TensorMap *>(rank.inner_maps);
        operands.weights_map = reinterpret_cast<const TensorMap *>(all.down_map);
        operands.first_column = expert * Shape::kHidden + tile * Shape::kDownColumns;
        operands.depth_tiles = tiles(Shape::kIntermediate, TileStages::kDepth);
        break;
    case PERSEUS_DEVICE_TASK_SHARED_UP:
        operands.row_maps = reinterpret_cast<const TensorMap *>(rank.hidden_maps);
        operands.weights_map = reinterpret_cast<const TensorMap *>(all.shared_up_map);
        operands.first_column = tile * Shape::kUpColumns;
        operands.depth_tiles = tiles(Shape::kHidden, TileStages::kDepth);
        break;
    default:
        operands.row_maps = reinterpret_cast<const TensorMap *>(rank.shared_inner_maps);
        operands.weights_map = reinterpret_cast<const TensorMap *>(all.shared_down_map);
        operands.first_column = tile * Shape::kDownColumns;
        operands.depth_tiles = tiles(Shape::kSharedIntermediate, TileStages::kDepth);
        break;
    }
    return operands;
}

/// The loading thread.
__device__ void load_tiles(const LayerView &layer, WorkerMemory &memory, const TileStages &stages) {
    StageCursor cursor;
    for (uint32_t index = 0;; ++index) {
        const int slot = index % WorkerMemory::kSlots;
        barrier_wait(&memory.task_full[slot], index / WorkerMemory::kSlots & 1);
        const uint32_t type = type_of(memory.tasks[slot].task);
        if (is_tile(type)) {
            const TileOperands operands = operands_of(layer, memory.tasks[slot]);
            // The rows were stored by ordinary stores, here or by whoever signalled them.
            fence_before_async_read();
            if (is_up(type)) {
                load_tile<Shape::kUpColumns>(stages, cursor, operands, memory.tasks[slot].rows);
            } else {
                load_tile<Shape::kDownColumns>(stages, cursor, operands, memory.tasks[slot].rows);
            }
        }
        barrier_arrive(&memory.task_empty[slot]);
        if (type == PERSEUS_DEVICE_TASK_STOP) return;
    }
}

/// Where row `row` of `slot` goes; nullptr: nowhere.
__device__ __forceinline__ uint8_t *target_row(
    const LayerView &layer, uint32_t type, const TileSlot &slot, uint32_t row) {
    if (row >= slot.rows) return nullptr;
    const perseus_device_rank &rank = layer.rank();
    const perseus_arena_layout &layout = layer.layer->layout;
    const uint64_t matrix_row = slot.matrix_row + row;
    switch (type) {
    case PERSEUS_DEVICE_TASK_UP:
        return reinterpret_cast<uint8_t *>(rank.inner) + matrix_row * (2 * Shape::kIntermediate);
    case PERSEUS_DEVICE_TASK_SHARED_UP:
        return reinterpret_cast<uint8_t *>(rank.shared_inner) + matrix_row * (2 * Shape::kSharedIntermediate);
    case PERSEUS_DEVICE_TASK_SHARED_DOWN:
        return reinterpret_cast<uint8_t *>(rank.shared_rows) + matrix_row * (2 * Shape::kHidden);
    default:
        return layer.is_local(slot.source)
            ? reinterpret_cast<uint8_t *>(layer.rank(slot.source).data)
                + perseus_arena_return_row(&layout, slot.row + row)
            : reinterpret_cast<uint8_t *>(rank.data)
                + perseus_arena_result_row(&layout, slot.source, slot.row + row);
    }
}

/// Where this thread's rows of a tile go. Accumulators hold rows r and r + 8 of each 16: a slot's each.
__device__ __forceinline__ TileTarget target_of(const LayerView &layer, const BlockTask &work, int half) {
    const uint32_t type = type_of(work.task);
    const TileSlot *slots = work.rows.slots + half * TileRows::kHalf
        + threadIdx.x % kWarpgroupThreads / kWarpThreads * 2;
    const uint32_t row = threadIdx.x % kWarpThreads / 4;
    TileTarget target;
    target.upper = target_row(layer, type, slots[0], row);
    target.lower = target_row(layer, type, slots[1], row);
    if (is_up(type)) {
        target.columns =
            type == PERSEUS_DEVICE_TASK_SHARED_UP ? Shape::kSharedIntermediate : Shape::kIntermediate;
        target.first_column = work.task.tile * (Shape::kUpColumns / 2);
    } else {
        target.columns = Shape::kHidden;
        target.first_column = work.task.tile * Shape::kDownColumns;
    }
    return target;
}

/// Multiplies one tile and stores it. A multiplying warpgroup.
template <int N, bool IsUp>
__device__ __forceinline__ void work_on_tile(const LayerView &layer, const TileStages &stages,
    StageCursor &cursor, const BlockTask &work, int half) {
    float sums[N / 2];
    const bool has_rows = uniform(work.rows.slots[half * TileRows::kHalf].rows) > 0;
    const uint32_t type = type_of(work.task);
    const int depth = IsUp ? Shape::kHidden
        : type == PERSEUS_DEVICE_TASK_DOWN ? Shape::kIntermediate : Shape::kSharedIntermediate;
    multiply_tile<N>(
        sums, stages, cursor, half, has_rows, tiles(depth, TileStages::kDepth));
    if (!has_rows) return;
    const TileTarget target = target_of(layer, work, half);
    const float *bias = nullptr;
    if constexpr (Shape::kHasBias) {
        const uint64_t expert = layer.rank().first_expert + work.expert;
        bias = IsUp
            ? reinterpret_cast<const float *>(layer.layer->up_bias) + expert * 2 * Shape::kIntermediate
            : reinterpret_cast<const float *>(layer.layer->down_bias) + expert * Shape::kHidden;
    }
    if constexpr (IsUp) {
        store_activated<N>(sums, target, bias);
    } else {
        store_sums<N>(sums, target, bias);
    }
}

/// A tile is stored: who finds its group complete goes on with it. Warp.
__device__ void finish_tile(const LayerView &layer, const BlockTask &work) {
    const perseus_device_rank &rank = layer.rank();
    const uint32_t type = type_of(work.task);
    const uint32_t lane = threadIdx.x % kWarpThreads;
    perseus_device_group *groups = reinterpret_cast<perseus_device_group *>(rank.groups);
    const uint32_t count = work.batch_count;
    uint32_t is_last = 0;
    if (lane == 0) {
        if (is_up(type)) {
            const uint32_t tiles =
                type == PERSEUS_DEVICE_TASK_UP ? Shape::kUpTiles : Shape::kSharedUpTiles;
            is_last = add_acq_rel_gpu(&groups[work.batch_first].up_done, 1) == count * tiles - 1;
        } else {
            is_last =
                add_acq_rel_gpu(&groups[work.task.group].down_done, 1) == Shape::kDownTiles - 1;
        }
    }
    if (__shfl_sync(0xFFFFFFFF, is_last, 0) == 0) return;
    if (is_up(type)) {
        append_tiles(TaskQueue(rank),
            type == PERSEUS_DEVICE_TASK_UP ? PERSEUS_DEVICE_TASK_DOWN : PERSEUS_DEVICE_TASK_SHARED_DOWN,
            expert_of(work.task), work.batch_first, count, Shape::kDownTiles);
    } else if (type == PERSEUS_DEVICE_TASK_DOWN) {
        if (layer.has_stage(PERSEUS_DEVICE_STAGE_COMBINE)) {
            send_results(layer, Round(layer, work.round, nullptr), groups[work.task.group]);
        }
        if (lane == 0) add_acq_rel_gpu(counter(rank, kExpertGroupsDone), 1);
    } else if (lane == 0) {
        add_acq_rel_gpu(counter(rank, kSharedGroupsDone), 1);
    }
    __syncwarp();
}

/// The two multiplying warpgroups.
__device__ void work_on_tasks(const LayerView &layer, WorkerMemory &memory, const TileStages &stages) {
    StageCursor cursor;
    const int half = uniform(work_thread() / kWarpgroupThreads);
    for (uint32_t index = 0;; ++index) {
        const int slot = index % WorkerMemory::kSlots;
        barrier_wait(&memory.task_full[slot], index / WorkerMemory::kSlots & 1);
        const BlockTask &work = memory.tasks[slot];
        const uint32_t type = uniform(type_of(work.task));
        if (type == PERSEUS_DEVICE_TASK_STOP) return;
        if (is_tile(type)) {
            if (is_up(type)) {
                work_on_tile<Shape::kUpColumns, true>(layer, stages, cursor, work, half);
            } else {
                work_on_tile<Shape::kDownColumns, false>(layer, stages, cursor, work, half);
            }
        } else {
            const Round round(layer, work.round, nullptr);
            if (type == PERSEUS_DEVICE_TASK_PACK) {
                pack_rows(layer, round, expert_of(work.task), work.task.tile, work.task.group);
            } else {
                combine_tokens(layer, round, work.task.tile, work.task.group);
            }
        }
        named_barrier_arrive(kStoredBarrier + slot, kStoredThreads);
        barrier_arrive(&memory.task_worked[slot]);
    }
}

/// The finishing warp: what follows from a task once all of it is stored.
__device__ void finish_tasks(const LayerView &layer, WorkerMemory &memory) {
    for (uint32_t index = 0;; ++index) {
        const int slot = index % WorkerMemory::kSlots;
        barrier_wait(&memory.task_full[slot], index / WorkerMemory::kSlots & 1);
        const BlockTask &work = memory.tasks[slot];
        const uint32_t type = type_of(work.task);
        if (type == PERSEUS_DEVICE_TASK_STOP) return;
        named_barrier(kStoredBarrier + slot, kStoredThreads);
        // For all threads that stored: whoever acquires what follows sees it, bulk copies too.
        fence_before_async_read();
        fence_gpu();
        if (is_tile(type)) {
            finish_tile(layer, work);
        } else if (type == PERSEUS_DEVICE_TASK_PACK) {
            finish_pack(layer, Round(layer, work.round, nullptr), expert_of(work.task), work.task.group);
        } else if (threadIdx.x % kWarpThreads == 0) {
            add_acq_rel_gpu(counter(layer.rank(), kTokensCombined), work.task.group);
        }
        // All lanes read from it.
        barrier_arrive(&memory.task_empty[slot]);
    }
}

/// All threads of a worker block, for the whole launch.
__device__ void work(const LayerView &layer, uint8_t *shared) {
    TileStages stages;
    stages.memory = shared;
    WorkerMemory &memory =
        *reinterpret_cast<WorkerMemory *>(shared + TileStages::kCount * TileStages::kStageBytes);
    stages.full = memory.stage_full;
    stages.empty = memory.stage_empty;
    if (threadIdx.x == 0) {
        for (int slot = 0; slot < WorkerMemory::kSlots; ++slot) {
            barrier_init(&memory.task_full[slot], kWarpThreads);
            barrier_init(&memory.task_worked[slot], kWorkThreads);
            barrier_init(&memory.task_empty[slot], 1 + kWarpThreads);  // the loading thread, the finishing warp
        }
        for (int stage = 0; stage < TileStages::kCount; ++stage) {
            barrier_init(&stages.full[stage], 1);
            barrier_init(&stages.empty[stage], kWorkWarps);
        }
        barrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x < kWarpgroupThreads) {
        give_registers<72>();
        if (threadIdx.x == 0) {
            load_tiles(layer, memory, stages);
        } else if (threadIdx.x / kWarpThreads == 1) {
            fetch_tasks(layer, memory);
        } else if (threadIdx.x / kWarpThreads == 2) {
            finish_tasks(layer, memory);
        }
    } else {
        take_registers<216>();
        work_on_tasks(layer, memory, stages);
    }
}

}  // namespace perseus
