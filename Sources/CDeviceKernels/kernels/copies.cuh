// The moving half of an emulated NIC: blocks that copy between arenas as the NIC engine on the CPU commands.
//
// The engine decides what is placed when; the blocks do it in that order. A word is stored after the bytes of all commands
// before it; bytes of neighbouring commands move together. The first block of a NIC reads commands from the host, the others
// get them from it.
#pragma once

#include "layer.cuh"

namespace perseus {

/// A batch on its way from the first block to the others, in device memory.
struct CopyRelay {
    perseus_device_copy commands[PERSEUS_DEVICE_COPY_BATCH];
    uint32_t batch;
    uint32_t count;
    uint32_t padding_0[30];
    /// Blocks that moved their part of a run of copies, counted over the whole launch.
    uint32_t moved;
    uint32_t padding_1[31];
};

struct CopyMemory {
    perseus_device_copy commands[PERSEUS_DEVICE_COPY_BATCH];
    uint32_t count;
    uint32_t stops;
};

constexpr uint64_t kAddressMask = (1ull << 48) - 1;

__device__ __forceinline__ uint32_t copy_kind(const perseus_device_copy &command) {
    return static_cast<uint32_t>(command.count_tag >> 40) & 0xFF;
}

/// Copies this block's and warp's pieces of 4 KB of `bytes`, all of it multiples of 16.
__device__ __forceinline__ void copy_pieces(
    const perseus_device_copy &command, uint32_t first_worker, uint32_t workers) {
    const uint32_t bytes = static_cast<uint32_t>(command.count_tag);
    const uint32_t lane = threadIdx.x % kWarpThreads;
    constexpr uint32_t kPiece = 4096;
    for (uint32_t begin = first_worker * kPiece; begin < bytes; begin += workers * kPiece) {
        const uint4 *from = reinterpret_cast<const uint4 *>(command.value + begin);
        uint4 *to = reinterpret_cast<uint4 *>((command.target_tag & kAddressMask) + begin);
        const uint32_t units = min(bytes - begin, kPiece) / 16;
        if (units == kPiece / 16) {
            uint4 values[8];
#pragma unroll
            for (int index = 0; index < 8; ++index) values[index] = __ldcv(from + index * kWarpThreads + lane);
#pragma unroll
            for (int index = 0; index < 8; ++index) to[index * kWarpThreads + lane] = values[index];
        } else {
            for (uint32_t unit = lane; unit < units; unit += kWarpThreads) to[unit] = __ldcv(from + unit);
        }
    }
}

/// The next commands, at least one; false: the wait is over. Warp 0 of a NIC's first block.
__device__ bool read_commands(const LayerView &layer, const perseus_device_nic &nic, uint64_t position,
    CopyMemory &memory) {
    const uint32_t lane = threadIdx.x % kWarpThreads;
    const uint64_t mine = position + lane;
    const uint64_t tag = mine / PERSEUS_DEVICE_COPY_CAPACITY + 1 & 0xFFFF;
    const perseus_device_copy *place =
        reinterpret_cast<const perseus_device_copy *>(nic.queue) + mine % PERSEUS_DEVICE_COPY_CAPACITY;
    while (true) {
        perseus_device_copy command;
        asm volatile("ld.relaxed.sys.global.v2.u64 {%0, %1}, [%2];"
                     : "=l"(command.value), "=l"(command.target_tag)
                     : "l"(place)
                     : "memory");
        asm volatile("ld.relaxed.sys.global.v2.u64 {%0, %1}, [%2];"
                     : "=l"(command.count_tag), "=l"(command.reserved)
                     : "l"(reinterpret_cast<const uint64_t *>(place) + 2)
                     : "memory");
        const bool is_here = command.target_tag >> 48 == tag && command.count_tag >> 48 == tag;
        const uint32_t here = __ballot_sync(0xFFFFFFFF, is_here);
        const uint32_t count = __ffs(~here) == 0 ? 32 : __ffs(~here) - 1;
        if (count > 0) {
            if (lane < count) memory.commands[lane] = command;
            if (lane == 0) memory.count = count;
            __syncwarp();
            return true;
        }
        // An idle NIC is no error; that somebody else failed is.
        if (uniform(layer.error().is_set())) return false;
    }
}

/// All threads of one block of a rank's NIC, until the host stops it. `part` of `parts` blocks.
__device__ void move_copies(const LayerView &layer, uint32_t part, uint32_t parts, CopyMemory &memory) {
    const perseus_device_nic &nic = layer.rank().nic;
    CopyRelay &relay = *reinterpret_cast<CopyRelay *>(nic.relay);
    const uint32_t warp = threadIdx.x / kWarpThreads;
    const uint32_t warps = blockDim.x / kWarpThreads;
    uint64_t position = 0;
    uint32_t batch = 0, runs = 0;
    if (threadIdx.x == 0) memory.stops = 0;
    __syncthreads();
    while (true) {
        ++batch;
        if (warp == 0) {
            const uint32_t lane = threadIdx.x;
            if (part == 0) {
                const bool is_here = read_commands(layer, nic, position, memory);
                if (!is_here && lane == 0) {
                    memory.count = 0;
                    memory.stops = 1;
                }
                __syncwarp();
                if (parts > 1) {
                    if (lane < memory.count) relay.commands[lane] = memory.commands[lane];
                    if (lane == 0) relay.count = memory.count;
                    __threadfence();
                    __syncwarp();
                    if (lane == 0) store_release_gpu(&relay.batch, batch);
                }
            } else {
                while (load_acquire_gpu(&relay.batch) != batch) {
                    if (layer.error().is_set()) {
                        memory.stops = 1;
                        break;
                    }
                }
                __syncwarp();
                if (lane == 0) memory.count = memory.stops ? 0 : relay.count;
                __syncwarp();
                if (lane < memory.count) {
                    const volatile uint64_t *from =
                        reinterpret_cast<const volatile uint64_t *>(&relay.commands[lane]);
                    memory.commands[lane] = perseus_device_copy{from[0], from[1], from[2], from[3]};
                }
                __syncwarp();
            }
        }
        __syncthreads();
        const uint32_t count = memory.count;
        bool stops = memory.stops != 0;
        uint32_t index = 0;
        while (index < count) {
            // A run of copies, then the words behind it.
            uint32_t piece = 0;
            while (index < count && copy_kind(memory.commands[index]) == PERSEUS_DEVICE_COPY_BYTES) {
                const perseus_device_copy &command = memory.commands[index];
                // Pieces of a run are dealt out over all warps of all blocks.
                const uint32_t workers = warps * parts;
                const uint32_t me = part * warps + warp;
                copy_pieces(command, (me + workers - piece % workers) % workers, workers);
                piece += (static_cast<uint32_t>(command.count_tag) + 4095) / 4096;
                ++index;
            }
            if (piece > 0) {
                ++runs;
                fence_before_async_read();
                __threadfence();
                __syncthreads();
                if (parts > 1) {
                    if (threadIdx.x == 0) {
                        add_acq_rel_gpu(&relay.moved, 1);
                        // Everybody waits: the next batch reuses the relay.
                        while (static_cast<int32_t>(load_acquire_gpu(&relay.moved) - runs * parts) < 0) {
                            if (layer.error().is_set()) break;
                        }
                    }
                    __syncthreads();
                }
            }
            while (index < count && copy_kind(memory.commands[index]) != PERSEUS_DEVICE_COPY_BYTES) {
                const perseus_device_copy &command = memory.commands[index];
                if (copy_kind(command) == PERSEUS_DEVICE_COPY_STOP) {
                    stops = true;
                } else if (part == 0 && threadIdx.x == 0) {
                    store_release_sys(
                        reinterpret_cast<uint64_t *>(command.target_tag & kAddressMask), command.value);
                }
                ++index;
            }
        }
        position += count;
        __syncthreads();
        if (part == 0 && threadIdx.x == 0) {
            store_release_sys(reinterpret_cast<uint64_t *>(nic.done), position);
        }
        if (stops) return;
        if (parts > 1) {
            // A batch of words alone has no run to meet in.
            if (threadIdx.x == 0) {
                add_acq_rel_gpu(&relay.moved, 1);
                ++runs;
                while (static_cast<int32_t>(load_acquire_gpu(&relay.moved) - runs * parts) < 0) {
                    if (layer.error().is_set()) break;
                }
            } else {
                ++runs;
            }
            __syncthreads();
        }
    }
}

}  // namespace perseus
