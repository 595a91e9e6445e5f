// The moving half of an emulated NIC: a block that copies between arenas as the NIC engine on the CPU commands.
//
// The engine decides what is placed when; the block does it in that order. One warp reads commands from the host and cuts them
// into pieces, movers stream these through shared memory with the bulk copy engine, one warp stores words behind them, and one
// thread tells the host what is done. A word waits for all bytes before it; bytes do not wait for words (unless
// `keeps_copies_behind_words`).
#pragma once

#include "layer.cuh"

namespace perseus {

/// Bytes to move, or a word to store.
struct CopyPiece {
    /// Address of the source, or the word.
    uint64_t value;
    uint64_t target;
    /// 0: a word or nothing, see `kind`.
    uint32_t bytes;
    uint32_t kind;
    /// Commands of the launch that are done with it, counted from 0.
    uint64_t commands;
};

/// A mover's own part of shared memory. Its piece number `i` passes through place `i % kPlaces`; places that are not whole lines
/// of shared memory halve the rate of copies.
struct alignas(128) CopyMover {
    static constexpr uint32_t kPlaces = 6;
    static constexpr uint32_t kPieceBytes = 4096;
    /// Pieces on their way into shared memory, and those whose bytes may not have arrived at the target.
    static constexpr uint32_t kAhead = 4;
    static constexpr uint32_t kUnseen = 6;
    static constexpr uint32_t kHistory = 16;
    static_assert(kAhead + 1 < kPlaces && kAhead + kUnseen < kHistory, "no place is taken twice");

    uint8_t places[kPlaces][kPieceBytes];
    uint64_t loaded[kPlaces];
    uint32_t pieces[kHistory];
};

/// The copy block's shared memory.
struct CopyMemory {
    /// An odd number: pieces and words often come by turns.
    static constexpr uint32_t kMovers = 7;
    static constexpr uint32_t kPieces = 256;

    CopyMover movers[kMovers];
    CopyPiece pieces[kPieces];
    /// [place] 1 + the piece whose bytes have arrived.
    volatile uint32_t arrived[kPieces];
    /// Pieces that were read, and that are done, counted from 0 over the launch.
    volatile uint32_t read;
    volatile uint32_t done;
    /// Commands that are done, counted from 0 over the launch.
    volatile uint64_t commands;
    /// No further piece comes: the host has stopped the block, or the launch has failed.
    volatile uint32_t is_over;
    /// `commands` is final.
    volatile uint32_t is_finished;
};

constexpr uint64_t kAddressMask = (1ull << 48) - 1;

/// What the host's queue holds from `position` on: a place for each lane. Warp.
__device__ __forceinline__ perseus_device_copy peek_commands(const perseus_device_nic &nic, uint64_t position) {
    const uint64_t mine = position + threadIdx.x % kWarpThreads;
    const uint64_t *place = reinterpret_cast<const uint64_t *>(
        reinterpret_cast<const perseus_device_copy *>(nic.queue) + mine % PERSEUS_DEVICE_COPY_CAPACITY);
    perseus_device_copy command;
    asm volatile("ld.relaxed.sys.global.v2.u64 {%0, %1}, [%2];"
                 : "=l"(command.value), "=l"(command.target_tag)
                 : "l"(place)
                 : "memory");
    command.count_tag = load_relaxed_sys(place + 2);
    return command;
}

/// How many of the lanes' places hold commands of the lap already. Warp.
__device__ __forceinline__ uint32_t count_commands(uint64_t position, const perseus_device_copy &command) {
    const uint64_t mine = position + threadIdx.x % kWarpThreads;
    const uint64_t tag = mine / PERSEUS_DEVICE_COPY_CAPACITY + 1 & 0xFFFF;
    const bool is_here = command.target_tag >> 48 == tag && command.count_tag >> 48 == tag;
    const uint32_t absent = ~__ballot_sync(0xFFFFFFFF, is_here);
    return absent == 0 ? kWarpThreads : __ffs(absent) - 1;
}

/// Cuts commands into pieces for the movers, up to and with the stop. Warp.
__device__ void read_commands(const LayerView &layer, CopyMemory &memory) {
    const uint32_t lane = threadIdx.x % kWarpThreads;
    uint64_t position = 0;
    uint32_t read = 0;
    bool is_stopped = false;
    perseus_device_copy ahead = peek_commands(layer.rank().nic, position);
    for (uint32_t polls = 1; !is_stopped; ++polls) {
        if (polls % 16 == 0 && uniform(layer.error().is_set())) break;
        const perseus_device_copy command = ahead;
        const uint32_t count = count_commands(position, command);
        if (count > 0) {
            // The bytes were stored by ordinary stores; this orders the movers' reads behind them.
            __threadfence();
            fence_before_async_read();
        }
        // The next look at the host's memory, more than a microsecond long, is on its way meanwhile.
        ahead = peek_commands(layer.rank().nic, position + count);
        const uint32_t kind = static_cast<uint32_t>(command.count_tag >> 40) & 0xFF;
        const uint32_t bytes =
            kind == PERSEUS_DEVICE_COPY_BYTES ? static_cast<uint32_t>(command.count_tag) : 0;
        is_stopped = __any_sync(0xFFFFFFFF, lane < count && kind == PERSEUS_DEVICE_COPY_STOP);
        const uint32_t own = lane >= count ? 0
            : bytes == 0 ? 1 : (bytes + CopyMover::kPieceBytes - 1) / CopyMover::kPieceBytes;
        // Pieces up to and with this lane's command.
        uint32_t sum = own;
        for (uint32_t step = 1; step < kWarpThreads; step *= 2) {
            const uint32_t other = __shfl_up_sync(0xFFFFFFFF, sum, step);
            if (lane >= step) sum += other;
        }
        const uint32_t total = __shfl_sync(0xFFFFFFFF, sum, kWarpThreads - 1);
        for (uint32_t base = 0; base < total; base += kWarpThreads) {
            while (read + kWarpThreads - memory.done > CopyMemory::kPieces) {
                if (layer.error().is_set()) break;
            }
            __syncwarp();
            // Each lane writes one piece: of the first command whose sum is beyond it.
            const uint32_t index = base + lane;
            uint32_t owner = 0;
            for (uint32_t step = kWarpThreads / 2; step > 0; step /= 2) {
                if (__shfl_sync(0xFFFFFFFF, sum, owner + step - 1) <= index) owner += step;
            }
            const uint32_t end = __shfl_sync(0xFFFFFFFF, sum, owner);
            const uint32_t number = index - (end - __shfl_sync(0xFFFFFFFF, own, owner));
            const uint32_t all = __shfl_sync(0xFFFFFFFF, bytes, owner);
            CopyPiece piece;
            const uint32_t offset = all == 0 ? 0 : number * CopyMover::kPieceBytes;
            piece.value = __shfl_sync(0xFFFFFFFF, command.value, owner) + offset;
            piece.target = (__shfl_sync(0xFFFFFFFF, command.target_tag, owner) & kAddressMask) + offset;
            piece.bytes = min(all - offset, CopyMover::kPieceBytes);
            piece.kind = __shfl_sync(0xFFFFFFFF, kind, owner);
            piece.commands = position + owner + (index + 1 == end ? 1 : 0);
            if (index < total) memory.pieces[(read + lane) % CopyMemory::kPieces] = piece;
            __threadfence_block();
            __syncwarp();
            read += min(total - base, static_cast<uint32_t>(kWarpThreads));
            if (lane == 0) memory.read = read;
        }
        position += count;
    }
    __threadfence_block();
    if (lane == 0) memory.is_over = 1;
}

/// Streams every `kMovers`th piece. One thread.
struct CopyStream {
    CopyMemory &memory;
    CopyMover &own;
    const bool keeps_behind_words;
    /// The next piece, and the first one that was not read when it was last looked.
    uint32_t next, read = 0;
    /// Own pieces with bytes whose copy in was started, whose copy out was started, and whose bytes have arrived.
    uint32_t loads = 0, stores = 0, arrived = 0;

    __device__ CopyStream(CopyMemory &memory, uint32_t mover, bool keeps_behind_words)
        : memory(memory), own(memory.movers[mover]), keeps_behind_words(keeps_behind_words), next(mover) {}

    __device__ void run() {
        while (true) {
            const bool is_over = memory.is_over;
            if (start()) continue;
            if (stores != loads) {
                store();
            } else if (arrived != stores) {
                bulk_wait<0>();
                arrive(stores);
            } else if (is_over && static_cast<int32_t>(memory.read - next) <= 0) {
                return;
            }
        }
    }

    /// Goes on with the next piece; false: it is not there, or has to wait.
    __device__ __forceinline__ bool start() {
        if (loads - stores == CopyMover::kAhead) return false;
        if (static_cast<int32_t>(read - next) <= 0) {
            read = memory.read;
            if (static_cast<int32_t>(read - next) <= 0) return false;
            __threadfence_block();
        }
        const CopyPiece &piece = memory.pieces[next % CopyMemory::kPieces];
        const uint32_t bytes = piece.bytes;
        if (bytes > 0) {
            if (keeps_behind_words && memory.done != next && !memory.is_over) return false;
            const uint32_t place = loads % CopyMover::kPlaces;
            barrier_expect(&own.loaded[place], bytes);
            bulk_copy_in(own.places[place], reinterpret_cast<const void *>(piece.value), bytes, &own.loaded[place]);
            own.pieces[loads % CopyMover::kHistory] = next;
            ++loads;
        }
        next += CopyMemory::kMovers;
        return true;
    }

    /// Starts the next copy out, as soon as its bytes are in.
    __device__ __forceinline__ void store() {
        const uint32_t place = stores % CopyMover::kPlaces;
        const CopyPiece &piece =
            memory.pieces[own.pieces[stores % CopyMover::kHistory] % CopyMemory::kPieces];
        const uint32_t bytes = piece.bytes;
        void *target = reinterpret_cast<void *>(piece.target);
        barrier_wait(&own.loaded[place], stores / CopyMover::kPlaces & 1);
        bulk_copy_out(target, own.places[place], bytes);
        bulk_commit();
        ++stores;
        bulk_wait_read<CopyMover::kPlaces - CopyMover::kAhead - 1>();
        bulk_wait<CopyMover::kUnseen>();
        if (static_cast<int32_t>(stores - CopyMover::kUnseen - arrived) > 0) arrive(stores - CopyMover::kUnseen);
    }

    __device__ __forceinline__ void arrive(uint32_t count) {
        for (; arrived != count; ++arrived) {
            const uint32_t piece = own.pieces[arrived % CopyMover::kHistory];
            memory.arrived[piece % CopyMemory::kPieces] = piece + 1;
        }
    }
};

/// Stores words whose bytes have arrived. Warp, a lane for each of the next pieces.
__device__ void finish_copies(const LayerView &layer, CopyMemory &memory) {
    const uint32_t lane = threadIdx.x % kWarpThreads;
    uint32_t done = 0;
    bool is_over = false;
    while (!is_over) {
        const bool may_end = memory.is_over;
        const uint32_t read = memory.read;
        __threadfence_block();
        const uint32_t mine = done + lane;
        const CopyPiece &piece = memory.pieces[mine % CopyMemory::kPieces];
        const bool is_here = static_cast<int32_t>(read - mine) > 0
            && (piece.bytes == 0 || memory.arrived[mine % CopyMemory::kPieces] == mine + 1);
        const uint32_t absent = ~__ballot_sync(0xFFFFFFFF, is_here);
        const uint32_t count = absent == 0 ? kWarpThreads : __ffs(absent) - 1;
        const bool is_word = lane < count && piece.bytes == 0 && piece.kind == PERSEUS_DEVICE_COPY_WORD;
        if (__any_sync(0xFFFFFFFF, is_word)) {
            // What movers saw arrive is behind the lanes that store words.
            fence_after_async_write();
            __threadfence();
            __syncwarp();
            if (is_word) store_relaxed_sys(reinterpret_cast<uint64_t *>(piece.target), piece.value);
        }
        done += count;
        if (count > 0 && lane == count - 1) {
            const uint64_t commands = piece.commands;
            __threadfence_block();
            memory.commands = commands;
            memory.done = done;
        }
        __syncwarp();
        is_over = __all_sync(0xFFFFFFFF, may_end && (done == memory.read || layer.error().is_set()));
    }
    if (lane == 0) memory.is_finished = 1;
}

/// Tells the engine what is done. One thread.
__device__ void report_copies(const LayerView &layer, CopyMemory &memory) {
    uint64_t *place = reinterpret_cast<uint64_t *>(layer.rank().nic.done);
    uint64_t reported = 0;
    while (true) {
        const bool is_finished = memory.is_finished;
        __threadfence_block();
        const uint64_t commands = memory.commands;
        if (commands != reported) {
            store_release_sys(place, commands);
            reported = commands;
        } else if (is_finished) {
            return;
        }
    }
}

/// All threads of a rank's copy block, until the host stops it.
__device__ void move_copies(const LayerView &layer, CopyMemory &memory) {
    if (threadIdx.x < CopyMemory::kMovers) {
        for (uint64_t &barrier : memory.movers[threadIdx.x].loaded) barrier_init(&barrier, 1);
        barrier_init_fence();
    }
    for (uint32_t piece = threadIdx.x; piece < CopyMemory::kPieces; piece += blockDim.x) memory.arrived[piece] = 0;
    if (threadIdx.x == 0) {
        memory.read = 0;
        memory.done = 0;
        memory.commands = 0;
        memory.is_over = 0;
        memory.is_finished = 0;
    }
    __syncthreads();
    const uint32_t warp = threadIdx.x / kWarpThreads;
    if (warp == CopyMemory::kMovers) {
        read_commands(layer, memory);
    } else if (warp == CopyMemory::kMovers + 1) {
        finish_copies(layer, memory);
    } else if (threadIdx.x % kWarpThreads != 0) {
        return;
    } else if (warp < CopyMemory::kMovers) {
        CopyStream(memory, warp, layer.layer->keeps_copies_behind_words != 0).run();
    } else if (warp == CopyMemory::kMovers + 2) {
        report_copies(layer, memory);
    }
}

}  // namespace perseus
