// The moving half of an emulated NIC: a block that copies between arenas as the NIC engine on the CPU commands.
//
// The engine decides what is placed when; the block does it in that order. One warp reads commands from the host, one thread
// streams bytes through shared memory with the bulk copy engine and stores words behind them, one thread reports what is
// done. Copies that follow a word do not wait for it (see `keeps_copies_behind_words`); a word waits for all bytes before it.
#pragma once

#include "layer.cuh"

namespace perseus {

/// The copy block's shared memory.
struct CopyMemory {
    /// Bytes pass through chunks in turn: half of them on their way in, half on their way out.
    static constexpr uint32_t kChunks = 12;
    static constexpr uint32_t kAhead = kChunks / 2;
    static constexpr uint32_t kChunkBytes = 16384;
    /// Commands between the reading warp and the report.
    static constexpr uint32_t kCommands = 128;

    static_assert(2 * kAhead <= kChunks, "a chunk's last copy out is over before its next copy in");

    uint8_t chunks[kChunks][kChunkBytes];
    uint64_t loaded[kChunks];
    /// Where a chunk goes, and its bytes.
    uint8_t *target[kChunks];
    uint32_t length[kChunks];
    perseus_device_copy commands[kCommands];
    /// A command is done when so many chunks of the launch have been stored.
    uint32_t end[kCommands];
    /// Commands that were read, and that are done; counted from 0 over the launch.
    volatile uint32_t read;
    volatile uint32_t done;
    /// The launch has failed: no further command comes.
    volatile uint32_t gives_up;
    /// `done` is final.
    volatile uint32_t is_over;
};

constexpr uint64_t kAddressMask = (1ull << 48) - 1;

__device__ __forceinline__ uint32_t copy_kind(const perseus_device_copy &command) {
    return static_cast<uint32_t>(command.count_tag >> 40) & 0xFF;
}

/// Feeds commands from the host's queue to the mover, up to and with the stop. Warp.
__device__ void read_commands(const LayerView &layer, CopyMemory &memory) {
    const uint32_t lane = threadIdx.x % kWarpThreads;
    const perseus_device_copy *queue =
        reinterpret_cast<const perseus_device_copy *>(layer.rank().nic.queue);
    uint64_t position = 0;
    while (true) {
        // The mover makes room as long as nobody fails.
        if (static_cast<uint32_t>(position) - memory.done > CopyMemory::kCommands - kWarpThreads) {
            if (uniform(layer.error().is_set())) break;
            continue;
        }
        const uint64_t mine = position + lane;
        const uint64_t tag = mine / PERSEUS_DEVICE_COPY_CAPACITY + 1 & 0xFFFF;
        const uint64_t *place =
            reinterpret_cast<const uint64_t *>(queue + mine % PERSEUS_DEVICE_COPY_CAPACITY);
        perseus_device_copy command;
        asm volatile("ld.relaxed.sys.global.v2.u64 {%0, %1}, [%2];"
                     : "=l"(command.value), "=l"(command.target_tag)
                     : "l"(place)
                     : "memory");
        command.count_tag = load_acquire_sys(place + 2);
        const bool is_here = command.target_tag >> 48 == tag && command.count_tag >> 48 == tag;
        const uint32_t here = __ballot_sync(0xFFFFFFFF, is_here);
        const uint32_t count = __ffs(~here) == 0 ? kWarpThreads : __ffs(~here) - 1;
        if (count == 0) {
            // An idle NIC is no error; that somebody else failed is.
            if (uniform(layer.error().is_set())) break;
            continue;
        }
        if (lane < count) memory.commands[mine % CopyMemory::kCommands] = command;
        __threadfence_block();
        position += count;
        if (lane == 0) memory.read = static_cast<uint32_t>(position);
        const bool is_stop = lane < count && copy_kind(command) == PERSEUS_DEVICE_COPY_STOP;
        if (__any_sync(0xFFFFFFFF, is_stop)) return;
    }
    if (lane == 0) memory.gives_up = 1;
}

/// Streams bytes and words. One thread.
///
/// Chunk `i` passes through place `i % kChunks`. At most kAhead chunks are on their way in, and fewer on their way out.
struct CopyStream {
    CopyMemory &memory;
    const bool keeps_behind_words;
    /// Chunks whose copy in was started, whose copy out was started, and whose copy out has completed.
    uint32_t loads = 0, stores = 0, complete = 0;
    /// Commands all of whose chunks are on their way, how far the next one is, and commands that were read.
    uint32_t started = 0, offset = 0, read = 0;
    /// Words that were passed and not stored.
    uint32_t words = 0;
    bool is_stopped = false;

    __device__ CopyStream(CopyMemory &memory, bool keeps_behind_words)
        : memory(memory), keeps_behind_words(keeps_behind_words) {}

    /// Until the stop is done, or the launch has failed.
    __device__ void run() {
        while (true) {
            while (start()) {}
            if (stores != loads) {
                store();
            } else {
                bulk_wait<0>();
                complete = stores;
            }
            finish();
            if (is_stopped && memory.done == started) return;
            if (memory.gives_up && stores == loads && started == memory.read) return;
        }
    }

    /// Starts the next copy in, passing words on the way; false: there is none, or no room for it.
    __device__ bool start() {
        while (loads - stores != CopyMemory::kAhead) {
            if (started == read) {
                read = memory.read;
                if (started == read) return false;
                __threadfence_block();
                // The bytes were stored by ordinary stores, which the command's acquire saw.
                fence_before_async_read();
            }
            const perseus_device_copy &command = memory.commands[started % CopyMemory::kCommands];
            if (copy_kind(command) == PERSEUS_DEVICE_COPY_BYTES) {
                if (keeps_behind_words && words > 0) return false;
                start(command);
                return true;
            }
            if (copy_kind(command) == PERSEUS_DEVICE_COPY_STOP) {
                is_stopped = true;
            } else {
                ++words;
            }
            memory.end[started++ % CopyMemory::kCommands] = loads;
        }
        return false;
    }

    /// The next chunk of a command.
    __device__ __forceinline__ void start(const perseus_device_copy &command) {
        const uint32_t bytes = static_cast<uint32_t>(command.count_tag);
        const uint32_t count = min(bytes - offset, CopyMemory::kChunkBytes);
        const uint32_t chunk = loads % CopyMemory::kChunks;
        barrier_expect(&memory.loaded[chunk], count);
        bulk_copy_in(memory.chunks[chunk], reinterpret_cast<const uint8_t *>(command.value) + offset, count,
            &memory.loaded[chunk]);
        memory.target[chunk] = reinterpret_cast<uint8_t *>(command.target_tag & kAddressMask) + offset;
        memory.length[chunk] = count;
        ++loads;
        offset += count;
        if (offset == bytes) {
            memory.end[started++ % CopyMemory::kCommands] = loads;
            offset = 0;
        }
    }

    /// Starts the next copy out, as soon as its chunk is in.
    __device__ __forceinline__ void store() {
        const uint32_t chunk = stores % CopyMemory::kChunks;
        barrier_wait(&memory.loaded[chunk], stores / CopyMemory::kChunks & 1);
        bulk_copy_out(memory.target[chunk], memory.chunks[chunk], memory.length[chunk]);
        bulk_commit();
        ++stores;
        constexpr uint32_t under_way = CopyMemory::kAhead - 1;
        bulk_wait<under_way>();
        if (static_cast<int32_t>(stores - under_way - complete) > 0) complete = stores - under_way;
    }

    /// Stores words whose bytes have arrived, and counts what is done.
    __device__ __forceinline__ void finish() {
        uint32_t done = memory.done;
        bool has_fenced = false;
        while (done != started) {
            const uint32_t place = done % CopyMemory::kCommands;
            if (static_cast<int32_t>(memory.end[place] - complete) > 0) break;
            const perseus_device_copy &command = memory.commands[place];
            if (copy_kind(command) == PERSEUS_DEVICE_COPY_WORD) {
                if (!has_fenced) {
                    fence_after_async_write();
                    __threadfence();
                    has_fenced = true;
                }
                store_relaxed_sys(
                    reinterpret_cast<uint64_t *>(command.target_tag & kAddressMask), command.value);
                --words;
            }
            ++done;
        }
        if (done == memory.done) return;
        __threadfence_block();
        memory.done = done;
    }
};

/// Tells the engine what is done. One thread.
__device__ void report_copies(const LayerView &layer, const CopyMemory &memory) {
    uint64_t *place = reinterpret_cast<uint64_t *>(layer.rank().nic.done);
    uint64_t reported = 0;
    while (true) {
        const bool is_over = memory.is_over;
        __threadfence_block();
        const uint32_t news = memory.done - static_cast<uint32_t>(reported);
        if (news > 0) {
            reported += news;
            store_release_sys(place, reported);
        } else if (is_over) {
            return;
        }
    }
}

/// All threads of a rank's copy block, until the host stops it.
__device__ void move_copies(const LayerView &layer, CopyMemory &memory) {
    if (threadIdx.x == 0) {
        for (uint32_t chunk = 0; chunk < CopyMemory::kChunks; ++chunk) barrier_init(&memory.loaded[chunk], 1);
        barrier_init_fence();
        memory.read = 0;
        memory.done = 0;
        memory.gives_up = 0;
        memory.is_over = 0;
    }
    __syncthreads();
    const uint32_t warp = threadIdx.x / kWarpThreads;
    if (warp == 0) {
        read_commands(layer, memory);
    } else if (threadIdx.x == kWarpThreads) {
        CopyStream(memory, layer.layer->keeps_copies_behind_words != 0).run();
        __threadfence_block();
        memory.is_over = 1;
    } else if (threadIdx.x == 2 * kWarpThreads) {
        report_copies(layer, memory);
    }
}

}  // namespace perseus
