// The kernel of `perseus bench put-signal --device cuda`: one rank's blocks put to many others, with or without signals.
//
// Commands go through the rings, proxies and emulated NICs that a layer uses. A round begins when all of the one before
// has completed and was seen.

// Nothing here has a layer's shape; the headers want one.
#define PERSEUS_HIDDEN 64
#define PERSEUS_INTERMEDIATE 64
#define PERSEUS_SHARED_INTERMEDIATE 0
#define PERSEUS_EXPERTS 8
#define PERSEUS_TOP_K 1
#define PERSEUS_UP_COLUMNS 128
#define PERSEUS_DOWN_COLUMNS 128
#define PERSEUS_STAGES 4
#define PERSEUS_CLAMPED 0
#define PERSEUS_CLAMP_ALPHA 1.0f
#define PERSEUS_CLAMP_LIMIT 0.0f
#define PERSEUS_BIAS 0
#define PERSEUS_SCALES_INPUT 0

#include "copies.cuh"
#include "perseus_put_signal_args.h"
#include "send.cuh"

namespace perseus {

/// The launch as its blocks see it.
struct PutSignal {
    const perseus_put_signal_args &args;
    LayerView view;

    __device__ explicit PutSignal(const perseus_put_signal_args &args) : args(args), view{&args.layer, 0} {}

    __device__ uint32_t destination(uint32_t transfer) const {
        return pointer<const uint32_t>(args.destinations)[transfer];
    }
    __device__ uint32_t count(uint32_t rank) const { return pointer<const uint32_t>(args.counts)[rank]; }
    /// Of a transfer's word at its destination, in words.
    __device__ uint64_t word_index(uint32_t ordinal) const {
        return perseus_dispatch_word_index(0, ordinal, args.layer.layout.max_experts_per_rank);
    }
    __device__ uint64_t word(uint32_t round, uint32_t ordinal) const {
        return perseus_signal_make(view.epoch(round), ordinal, 1);
    }
    /// The first and the last 8 bytes of a row that starts at `row`.
    __device__ uint64_t *head(uint64_t row) const { return pointer<uint64_t>(row); }
    __device__ uint64_t *tail(uint64_t row) const { return pointer<uint64_t>(row + args.byte_count - 8); }
    __device__ uint64_t source_row(uint32_t transfer) const {
        return view.rank().data + perseus_arena_send_row(&args.layer.layout, transfer);
    }
    __device__ uint64_t target_row(uint32_t transfer) const {
        return view.rank(destination(transfer)).data
            + perseus_arena_dispatch_row(&args.layer.layout, 0, transfer);
    }

    __device__ uint32_t *open_round() const { return pointer<uint32_t>(args.progress); }
    __device__ uint32_t *pushed() const { return pointer<uint32_t>(args.progress + PERSEUS_SHARED_WORD_STRIDE); }
    __device__ uint64_t *first_push() const {
        return pointer<uint64_t>(args.progress + 2 * PERSEUS_SHARED_WORD_STRIDE);
    }
    __device__ uint32_t *missing() const {
        return pointer<uint32_t>(args.progress + 3 * PERSEUS_SHARED_WORD_STRIDE);
    }

    /// Whether the payload of `round` is at the transfer's destination. The caller has acquired it.
    __device__ bool is_there(uint32_t round, uint32_t transfer) const {
        const uint64_t expected = perseus_put_signal_payload(round, transfer);
        const uint64_t row = target_row(transfer);
        return load_relaxed_sys(head(row)) == expected && load_relaxed_sys(tail(row)) == expected;
    }
};

/// The words of a destination: at once where the scheme joins them, else one by one. One thread.
__device__ void push_words(const PutSignal &bench, uint32_t round, uint32_t destination) {
    const Ring ring = ring_to(bench.view, destination);
    const uint32_t count = bench.count(destination);
    const uint32_t most = bench.args.layer.coalesces_group ? kSignalsAtOnce : 1;
    uint64_t words[kSignalsAtOnce];
    for (uint32_t first = 0; first < count; first += most) {
        const uint32_t length = min(most, count - first);
        for (uint32_t index = 0; index < length; ++index) words[index] = bench.word(round, first + index);
        const uint32_t flags = first + length == count ? PERSEUS_FLAG_LAST_OF_GROUP : 0;
        if (!ring.push_signal_block<Fence::system>(destination,
                {PERSEUS_REGION_SIGNAL, bench.word_index(first) * 8}, words, length, flags)) return;
    }
}

/// One transfer, and its signal or its group's where they are due. One thread; false: the launch has failed.
__device__ bool push_transfer(const PutSignal &bench, uint32_t round, uint32_t transfer) {
    const perseus_arena_layout &layout = bench.args.layer.layout;
    const uint32_t destination = bench.destination(transfer);
    const Ring ring = ring_to(bench.view, destination);
    const Place source = {PERSEUS_REGION_DATA, perseus_arena_send_row(&layout, transfer)};
    const Place target = {PERSEUS_REGION_DATA, perseus_arena_dispatch_row(&layout, 0, transfer)};
    if (bench.args.mode == PERSEUS_PUT_SIGNAL_COUPLED) {
        const uint32_t ordinal = pointer<const uint32_t>(bench.args.ordinals)[transfer];
        return ring.push_put_signal(destination, source, target, bench.args.byte_count,
            {PERSEUS_REGION_SIGNAL, bench.word_index(ordinal) * 8}, bench.word(round, ordinal));
    }
    if (!ring.push_put(destination, source, target, bench.args.byte_count)) return false;
    if (bench.args.mode == PERSEUS_PUT_SIGNAL_PER_DESTINATION) {
        uint32_t *arrivals = pointer<uint32_t>(bench.args.arrivals) + destination;
        if (group_arrive(arrivals, bench.count(destination) * (round + 1))) {
            push_words(bench, round, destination);
        }
    }
    return true;
}

/// A sender block; `index` of all of them. One thread.
__device__ void send_rounds(const PutSignal &bench, uint32_t index) {
    const uint32_t senders = bench.args.sender_blocks;
    for (uint32_t round = 0; round < bench.args.layer.round_count; ++round) {
        Patience patience = bench.view.patience();
        while (load_acquire_gpu(bench.open_round()) <= round) {
            if (!patience.is_left()) {
                bench.view.error().fail(PERSEUS_WAIT_ROUND, 0, round, round + 1,
                    load_acquire_gpu(bench.open_round()), patience.cycles());
                return;
            }
        }
        for (uint32_t transfer = index; transfer < bench.args.transfer_count; transfer += senders) {
            const uint64_t payload = perseus_put_signal_payload(round, transfer);
            *bench.head(bench.source_row(transfer)) = payload;
            *bench.tail(bench.source_row(transfer)) = payload;
        }
        atomicMin(reinterpret_cast<unsigned long long *>(bench.first_push()),
            static_cast<unsigned long long>(global_nanoseconds()));
        for (uint32_t transfer = index; transfer < bench.args.transfer_count; transfer += senders) {
            if (!push_transfer(bench, round, transfer)) return;
        }
        add_acq_rel_gpu(bench.pushed(), 1);
    }
}

/// What the roles of block 0 tell each other.
struct CoordinatorMemory {
    unsigned long long last_seen;
    /// A phase each round: all watchers have seen their words; the round is over.
    uint64_t seen;
    uint64_t round_over;
};

/// A watcher's share of the words: seen, timed, and their payload looked at.
__device__ void watch_words(const PutSignal &bench, const Round &round, CoordinatorMemory &memory) {
    if (bench.args.mode != PERSEUS_PUT_SIGNAL_NONE) {
        const uint32_t first = threadIdx.x - kWarpgroupThreads;
        uint64_t last = 0;
        uint32_t missing = 0;
        for (uint32_t transfer = first; transfer < bench.args.transfer_count; transfer += kWorkThreads) {
            const uint64_t index =
                bench.word_index(pointer<const uint32_t>(bench.args.ordinals)[transfer]);
            const uint64_t *word =
                pointer<const uint64_t>(bench.view.rank(bench.destination(transfer)).signals) + index;
            uint64_t seen;
            if (!wait_signal(word, round.epoch, bench.args.layer.cycle_limit, bench.view.error(),
                    bench.destination(transfer), index, seen)) break;
            last = global_nanoseconds();
            if (!bench.is_there(round.index, transfer)) ++missing;
        }
        atomicMax(&memory.last_seen, static_cast<unsigned long long>(last));
        if (missing > 0) atomicAdd(bench.missing(), missing);
    }
    barrier_arrive(&memory.seen);
}

/// Opens the round, and ends it when everything was pushed, has completed and was seen. One thread.
__device__ void coordinate(const PutSignal &bench, const Round &round, CoordinatorMemory &memory) {
    store_relaxed_gpu(bench.first_push(), ~0ull);
    store_release_gpu(bench.open_round(), round.index + 1);
    const uint32_t senders = bench.args.sender_blocks * (round.index + 1);
    Patience patience = bench.view.patience();
    while (load_acquire_gpu(bench.pushed()) != senders && patience.is_left()) {}
    wait_for_quiet(bench.view, round.index + 1);
    const uint64_t completed = global_nanoseconds();
    while (!barrier_test(&memory.seen, round.index & 1) && patience.is_left()) {}
    if (bench.args.mode == PERSEUS_PUT_SIGNAL_NONE) {
        uint32_t missing = 0;
        for (uint32_t transfer = 0; transfer < bench.args.transfer_count; ++transfer) {
            if (!bench.is_there(round.index, transfer)) ++missing;
        }
        if (missing > 0) atomicAdd(bench.missing(), missing);
    }
    if (!patience.is_left()) {
        bench.view.error().fail(PERSEUS_WAIT_ROUND, 0, round.index, senders,
            load_acquire_gpu(bench.pushed()), patience.cycles());
    } else {
        perseus_put_signal_times *times =
            pointer<perseus_put_signal_times>(bench.args.times) + round.index;
        times->first_push = load_relaxed_gpu(bench.first_push());
        times->last_seen = memory.last_seen;
        // The host takes the last round's completion for the end of all.
        store_release_sys(&times->completed, completed);
    }
    barrier_arrive(&memory.round_over);
}

/// All threads of block 0: a coordinator, a relay of credits, and watchers for all receivers.
__device__ void run_rounds(const PutSignal &bench, CoordinatorMemory &memory) {
    if (threadIdx.x == 0) {
        barrier_init(&memory.seen, kWorkThreads);
        barrier_init(&memory.round_over, 1);
    }
    for (uint32_t index = 0; index < bench.args.layer.round_count; ++index) {
        const Round round(bench.view, index, nullptr);
        if (threadIdx.x == 0) memory.last_seen = 0;
        __syncthreads();
        const uint32_t warp = threadIdx.x / kWarpThreads;
        if (threadIdx.x == 0) {
            coordinate(bench, round, memory);
        } else if (warp == 1) {
            relay_credits(bench.view, &memory.round_over, index & 1);
        } else if (warp >= kWarpgroupThreads / kWarpThreads) {
            watch_words(bench, round, memory);
        }
        // All threads must agree.
        if (__syncthreads_or(bench.view.error().is_set())) break;
    }
}

}  // namespace perseus

extern "C" __global__ void __launch_bounds__(PERSEUS_DEVICE_THREADS, 1)
    perseus_bench_put_signal(const __grid_constant__ perseus_put_signal_args args) {
    using namespace perseus;
    const PutSignal bench(args);
    if (blockIdx.x == 0) {
        __shared__ CoordinatorMemory memory;
        run_rounds(bench, memory);
    } else if (blockIdx.x <= args.sender_blocks) {
        if (threadIdx.x == 0) send_rounds(bench, blockIdx.x - 1);
    } else {
        extern __shared__ uint8_t unaligned[];
        static_assert(sizeof(CopyMemory) + 1024 <= PERSEUS_DEVICE_COPY_SHARED_BYTES, "its memory fits");
        move_copies(bench.view, *reinterpret_cast<CopyMemory *>(align_shared(unaligned)));
    }
}
