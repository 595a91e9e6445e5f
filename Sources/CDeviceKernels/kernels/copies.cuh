// The moving half of an emulated NIC: a block that copies between arenas as the NIC engine on the CPU commands.
//
// The engine decides what is placed when; the block does it in that order. One warp reads commands from the host and cuts them
// into batches of pieces. A batch goes from role to role, each handing on by a barrier: movers stream its bytes through shared
// memory with the bulk copy engine, a warp stores its words when they have arrived, a thread tells the host. A word waits for
// all bytes before it; bytes do not wait for words (unless `keeps_copies_behind_words`).
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
};

/// What goes from role to role, a piece for each lane of a warp.
struct CopyBatch {
    CopyPiece pieces[kWarpThreads];
    uint32_t count;
    /// Nothing comes behind it: the host has stopped the block, or the launch has failed.
    uint32_t is_last;
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
    /// place of the batch | piece << 8 | 1 << 16 for the mover's last piece of the batch
    uint32_t pieces[kHistory];
};

/// The copy block's shared memory. Batch `n` lies at place `n % kBatches`, and its barriers are in phase `n / kBatches`.
struct CopyMemory {
    /// An odd number: pieces and words often come by turns.
    static constexpr uint32_t kMovers = 7;
    static constexpr uint32_t kBatches = 8;

    CopyMover movers[kMovers];
    CopyBatch batches[kBatches];
    /// The batch is there; its bytes have arrived; its words are stored; the host knows, and its place is free.
    uint64_t full[kBatches];
    uint64_t moved[kBatches];
    uint64_t placed[kBatches];
    uint64_t told[kBatches];

    static __device__ __forceinline__ uint32_t place(uint32_t batch) { return batch % kBatches; }
    static __device__ __forceinline__ uint32_t parity(uint32_t batch) { return batch / kBatches & 1; }
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

/// Cuts commands into batches, up to and with the stop. Warp.
__device__ void read_commands(const LayerView &layer, CopyMemory &memory) {
    const uint32_t lane = threadIdx.x % kWarpThreads;
    const uint32_t most = layer.layer->keeps_copies_behind_words ? 1 : kWarpThreads;
    uint64_t position = 0;
    uint32_t batch = 0;
    bool is_over = false;
    perseus_device_copy ahead = peek_commands(layer.rank().nic, position);
    for (uint32_t polls = 1; !is_over; ++polls) {
        const perseus_device_copy command = ahead;
        const uint32_t count = min(most, count_commands(position, command));
        const bool gives_up = polls % 16 == 0 && uniform(layer.error().is_set());
        if (count == 0 && !gives_up) {
            ahead = peek_commands(layer.rank().nic, position);
            continue;
        }
        // The bytes were stored by ordinary stores; this orders the movers' reads behind them.
        fence_gpu();
        fence_before_async_read();
        // The next look at the host's memory, more than a microsecond long, is on its way meanwhile.
        ahead = peek_commands(layer.rank().nic, position + count);
        const uint32_t kind = static_cast<uint32_t>(command.count_tag >> 40) & 0xFF;
        const uint32_t bytes =
            kind == PERSEUS_DEVICE_COPY_BYTES ? static_cast<uint32_t>(command.count_tag) : 0;
        is_over = gives_up || __any_sync(0xFFFFFFFF, lane < count && kind == PERSEUS_DEVICE_COPY_STOP);
        const uint32_t own = lane >= count ? 0
            : bytes == 0 ? 1 : (bytes + CopyMover::kPieceBytes - 1) / CopyMover::kPieceBytes;
        // Pieces up to and with this lane's command.
        const uint32_t sum = inclusive_sum(own);
        const uint32_t total = __shfl_sync(0xFFFFFFFF, sum, kWarpThreads - 1);
        uint32_t base = 0;
        do {
            const uint32_t place = CopyMemory::place(batch);
            CopyBatch &next = memory.batches[place];
            barrier_wait(&memory.told[place], CopyMemory::parity(batch) ^ 1);
            // Each lane writes one piece: of the first command whose sum is beyond it.
            const uint32_t index = base + lane;
            uint32_t owner = 0;
            for (uint32_t step = kWarpThreads / 2; step > 0; step /= 2) {
                if (__shfl_sync(0xFFFFFFFF, sum, owner + step - 1) <= index) owner += step;
            }
            const uint32_t before = __shfl_sync(0xFFFFFFFF, sum - own, owner);
            const uint32_t all = __shfl_sync(0xFFFFFFFF, bytes, owner);
            const uint32_t offset = all == 0 ? 0 : (index - before) * CopyMover::kPieceBytes;
            CopyPiece piece;
            piece.value = __shfl_sync(0xFFFFFFFF, command.value, owner) + offset;
            piece.target = (__shfl_sync(0xFFFFFFFF, command.target_tag, owner) & kAddressMask) + offset;
            piece.bytes = min(all - offset, CopyMover::kPieceBytes);
            piece.kind = __shfl_sync(0xFFFFFFFF, kind, owner);
            next.pieces[lane] = piece;
            const uint32_t end = min(total, base + kWarpThreads);
            const uint32_t whole = __popc(__ballot_sync(0xFFFFFFFF, lane < count && sum <= end));
            if (lane == 0) {
                next.count = end - base;
                next.is_last = is_over && end == total;
                next.commands = position + whole;
            }
            barrier_arrive(&memory.full[place]);
            base = end;
            ++batch;
        } while (base < total);
        position += count;
    }
}

/// Streams every `kMovers`th piece of each batch. One thread.
struct CopyStream {
    CopyMemory &memory;
    CopyMover &own;
    const uint32_t mover;
    const bool keeps_behind_words;
    uint32_t batch = 0;
    /// The next own piece with bytes of that batch, while it is started.
    uint32_t piece = 0;
    bool is_started = false, is_over = false;
    /// Own pieces whose copy in was started, whose copy out was started, and whose bytes have arrived.
    uint32_t loads = 0, stores = 0, arrived = 0;

    __device__ CopyStream(CopyMemory &memory, uint32_t mover, bool keeps_behind_words)
        : memory(memory), own(memory.movers[mover]), mover(mover), keeps_behind_words(keeps_behind_words) {}

    __device__ void run() {
        while (true) {
            if (loads - stores != CopyMover::kAhead && start()) continue;
            if (stores != loads) {
                store();
            } else if (arrived != stores) {
                bulk_wait<0>();
                arrive(stores);
            } else if (is_over) {
                return;
            }
        }
    }

    /// The first own piece with bytes from `piece` on; behind the end: there is none.
    __device__ __forceinline__ uint32_t find(const CopyBatch &from, uint32_t piece) const {
        while (piece < from.count && from.pieces[piece].bytes == 0) piece += CopyMemory::kMovers;
        return piece;
    }

    /// Goes on to the next batch.
    __device__ __forceinline__ void leave(const CopyBatch &from) {
        is_started = false;
        is_over = from.is_last;
        ++batch;
    }

    /// Goes on with the next piece; false: it is not there, or has to wait.
    __device__ __forceinline__ bool start() {
        const uint32_t place = CopyMemory::place(batch);
        const CopyBatch &from = memory.batches[place];
        if (!is_started) {
            if (is_over || !barrier_test(&memory.full[place], CopyMemory::parity(batch))) return false;
            if (keeps_behind_words && batch > 0
                && !barrier_test(&memory.placed[CopyMemory::place(batch - 1)], CopyMemory::parity(batch - 1))) {
                return false;
            }
            // Batches of one piece go round.
            piece = find(from, (mover + batch) % CopyMemory::kMovers);
            if (piece >= from.count) {
                barrier_arrive(&memory.moved[place]);
                leave(from);
                return true;
            }
            is_started = true;
        }
        const CopyPiece &next = from.pieces[piece];
        const uint32_t slot = loads % CopyMover::kPlaces;
        barrier_expect(&own.loaded[slot], next.bytes);
        bulk_copy_in(
            own.places[slot], reinterpret_cast<const void *>(next.value), next.bytes, &own.loaded[slot]);
        const uint32_t following = find(from, piece + CopyMemory::kMovers);
        const bool is_last = following >= from.count;
        own.pieces[loads % CopyMover::kHistory] = place | piece << 8 | (is_last ? 1u << 16 : 0);
        ++loads;
        piece = following;
        if (is_last) leave(from);
        return true;
    }

    /// Starts the next copy out, as soon as its bytes are in.
    __device__ __forceinline__ void store() {
        const uint32_t slot = stores % CopyMover::kPlaces;
        const uint32_t which = own.pieces[stores % CopyMover::kHistory];
        const CopyPiece &next = memory.batches[which & 0xFF].pieces[which >> 8 & 0xFF];
        const uint32_t bytes = next.bytes;
        void *target = reinterpret_cast<void *>(next.target);
        barrier_wait(&own.loaded[slot], stores / CopyMover::kPlaces & 1);
        bulk_copy_out(target, own.places[slot], bytes);
        bulk_commit();
        ++stores;
        bulk_wait_read<CopyMover::kPlaces - CopyMover::kAhead - 1>();
        bulk_wait<CopyMover::kUnseen>();
        if (static_cast<int32_t>(stores - CopyMover::kUnseen - arrived) > 0) arrive(stores - CopyMover::kUnseen);
    }

    __device__ __forceinline__ void arrive(uint32_t count) {
        for (; arrived != count; ++arrived) {
            const uint32_t which = own.pieces[arrived % CopyMover::kHistory];
            if (which >> 16 != 0) barrier_arrive(&memory.moved[which & 0xFF]);
        }
    }
};

/// Stores the words of batches whose bytes have arrived. Warp.
__device__ void place_words(CopyMemory &memory) {
    const uint32_t lane = threadIdx.x % kWarpThreads;
    bool is_over = false;
    for (uint32_t batch = 0; !is_over; ++batch) {
        const uint32_t place = CopyMemory::place(batch);
        const CopyBatch &from = memory.batches[place];
        barrier_await(&memory.full[place], CopyMemory::parity(batch));
        barrier_wait(&memory.moved[place], CopyMemory::parity(batch));
        const CopyPiece &piece = from.pieces[lane];
        const bool is_word =
            lane < from.count && piece.bytes == 0 && piece.kind == PERSEUS_DEVICE_COPY_WORD;
        if (__any_sync(0xFFFFFFFF, is_word)) {
            // What movers saw arrive is behind the lanes that store words.
            fence_after_async_write();
            fence_gpu();
            if (is_word) store_relaxed_sys(reinterpret_cast<uint64_t *>(piece.target), piece.value);
        }
        is_over = from.is_last;
        barrier_arrive(&memory.placed[place]);
    }
}

/// Tells the engine what is done, several batches at once where it can. One thread.
__device__ void tell_engine(const LayerView &layer, CopyMemory &memory) {
    uint64_t *done = reinterpret_cast<uint64_t *>(layer.rank().nic.done);
    bool is_over = false;
    for (uint32_t batch = 0; !is_over;) {
        barrier_await(&memory.placed[CopyMemory::place(batch)], CopyMemory::parity(batch));
        uint64_t commands = 0;
        const uint32_t first = batch;
        do {
            const CopyBatch &from = memory.batches[CopyMemory::place(batch)];
            commands = from.commands;
            is_over = from.is_last;
            ++batch;
        } while (!is_over && batch - first < CopyMemory::kBatches
            && barrier_test(&memory.placed[CopyMemory::place(batch)], CopyMemory::parity(batch)));
        store_release_sys(done, commands);
        for (uint32_t each = first; each != batch; ++each) barrier_arrive(&memory.told[CopyMemory::place(each)]);
    }
}

/// All threads of a rank's copy block, until the host stops it.
__device__ void move_copies(const LayerView &layer, CopyMemory &memory) {
    if (threadIdx.x == 0) {
        for (CopyMover &mover : memory.movers) {
            for (uint64_t &barrier : mover.loaded) barrier_init(&barrier, 1);
        }
        for (uint32_t place = 0; place < CopyMemory::kBatches; ++place) {
            barrier_init(&memory.full[place], kWarpThreads);
            barrier_init(&memory.moved[place], CopyMemory::kMovers);
            barrier_init(&memory.placed[place], kWarpThreads);
            barrier_init(&memory.told[place], 1);
        }
        barrier_init_fence();
    }
    __syncthreads();
    const uint32_t warp = threadIdx.x / kWarpThreads;
    if (warp == CopyMemory::kMovers) {
        read_commands(layer, memory);
    } else if (warp == CopyMemory::kMovers + 1) {
        place_words(memory);
    } else if (threadIdx.x % kWarpThreads != 0) {
        return;
    } else if (warp < CopyMemory::kMovers) {
        CopyStream(memory, warp, layer.layer->keeps_copies_behind_words != 0).run();
    } else if (warp == CopyMemory::kMovers + 2) {
        tell_engine(layer, memory);
    }
}

}  // namespace perseus
