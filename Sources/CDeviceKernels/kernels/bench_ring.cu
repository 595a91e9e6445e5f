// The kernels of `perseus bench ring --device cuda`: throughput, round trip, fence under waiting.
#include "perseus_device.cuh"

using namespace perseus;

namespace {

__device__ __forceinline__ uint64_t global_nanoseconds() {
    uint64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return now;
}

/// Warp. One put for each lane, without or with a signal of its own.
template <Fence kFence>
__device__ __forceinline__ bool push_one_each(
    const Ring &ring, uint64_t sequence, bool has_signals) {
    perseus_command put = perseus_bench_put(sequence, has_signals);
    if (!has_signals) return ring.push_batch<kFence>(true, put);
    return ring.push_batch_put_signal<kFence>(
        true, put, perseus_bench_signal(sequence), perseus_bench_signal_word(sequence));
}

/// Warp. Everything that one warp of the throughput kernel pushes.
template <perseus_bench_fence kBenchFence>
__device__ __forceinline__ void push_all(
    const perseus_bench_throughput_args &args, const Ring &ring, uint64_t sequence) {
    constexpr Fence kFence =
        kBenchFence == PERSEUS_BENCH_FENCE_WARP ? Fence::system : Fence::none;
    for (uint32_t repetition = 0; repetition < args.puts_per_thread; repetition++) {
        if (args.payload != 0) {
            uint64_t word = perseus_bench_payload(sequence);
            pointer<ulonglong2>(args.payload)[sequence] = make_ulonglong2(word, ~word);
        }
        if (kBenchFence == PERSEUS_BENCH_FENCE_LEADER) {
            __syncwarp();
            if (lane_index() == 0) __threadfence_system();
            __syncwarp();
        }
        if (!push_one_each<kFence>(ring, sequence, args.has_signals != 0)) return;
        sequence += 32;
    }
}

/// Thread. Fences as `fence` says and pushes one command; `position` is where it went.
__device__ __forceinline__ bool push_one(
    const Ring &ring, uint32_t fence, perseus_command command, uint64_t *position) {
    if (fence == PERSEUS_BENCH_FENCE_NONE) return ring.push<Fence::none>(command, position);
    return ring.push<Fence::system>(command, position);
}

/// Thread. As `Ring::wait_retired`, on the host's word; for a launch where nobody else reads it.
__device__ __forceinline__ bool wait_retired_at_host(const Ring &ring, uint64_t position) {
    long long start = clock64();
    while (true) {
        uint64_t seen = load_relaxed_sys(pointer<const uint64_t>(ring.retired));
        if ((int64_t)(seen - position) > 0) {
            // The relay's work: the next push waits on this word.
            store_relaxed_gpu(pointer<uint64_t>(ring.credit), seen);
            return true;
        }
        uint64_t cycles = (uint64_t)(clock64() - start);
        if (cycles > ring.cycle_limit) {
            ring.error_word().fail(
                PERSEUS_WAIT_RING_RETIRED, ring.rank, ring.index, position + 1, seen, cycles);
            return false;
        }
    }
}

/// Cycles and nanoseconds since it was made, of one thread.
struct Stopwatch {
    long long cycles = clock64();
    uint64_t nanoseconds = global_nanoseconds();

    __device__ void store(uint64_t address) const {
        perseus_bench_clock *clock = pointer<perseus_bench_clock>(address);
        clock->cycles = (uint64_t)(clock64() - cycles);
        clock->nanoseconds = global_nanoseconds() - nanoseconds;
    }
};

} // namespace

/// Throughput: see perseus_bench_throughput_args. Block b uses ring b mod R.
extern "C" __global__ void __launch_bounds__(1024) perseus_bench_ring_throughput(
    const __grid_constant__ perseus_bench_throughput_args args) {
    uint32_t *finished = pointer<uint32_t>(args.finished_blocks);
    if (blockIdx.x == 0) {
        if (threadIdx.x < args.ring_count)
            relay(Ring(args.rings[threadIdx.x]), finished, args.producer_blocks, args.relay_pause);
        return;
    }
    uint32_t block = blockIdx.x - 1;
    Ring ring(args.rings[block % args.ring_count]);
    uint64_t warp = (uint64_t)block * (blockDim.x / 32) + threadIdx.x / 32;
    uint64_t sequence = warp * args.puts_per_thread * 32 + lane_index();
    switch (args.fence) {
    case PERSEUS_BENCH_FENCE_NONE: push_all<PERSEUS_BENCH_FENCE_NONE>(args, ring, sequence); break;
    case PERSEUS_BENCH_FENCE_WARP: push_all<PERSEUS_BENCH_FENCE_WARP>(args, ring, sequence); break;
    default: push_all<PERSEUS_BENCH_FENCE_LEADER>(args, ring, sequence); break;
    }
    finish(finished);
}

/// Round trip: see perseus_bench_round_trip_args.
extern "C" __global__ void perseus_bench_ring_round_trip(
    const __grid_constant__ perseus_bench_round_trip_args args) {
    if (threadIdx.x != 0) return;
    Ring ring(args.ring);
    uint32_t *finished = pointer<uint32_t>(args.finished_blocks);
    if (blockIdx.x == 0) {
        if (!args.polls_host) relay(ring, finished, 1);
        return;
    }
    uint32_t *cycles = pointer<uint32_t>(args.cycles);
    Stopwatch stopwatch;
    for (uint32_t iteration = 0; iteration < args.iterations; iteration++) {
        long long start = clock64();
        uint64_t position;
        if (!push_one(ring, args.fence, perseus_bench_put(iteration, 0), &position)) break;
        if (!(args.polls_host ? wait_retired_at_host(ring, position)
                              : ring.wait_retired(position)))
            break;
        cycles[iteration] = (uint32_t)(clock64() - start);
    }
    stopwatch.store(args.clock);
    add_acq_rel_gpu(finished, 1);
}

namespace {

/// Thread. Waits as block `waiter` of a real kernel would.
__device__ void wait_as_kernels_do(
    const perseus_bench_fence_args &args, const Ring &ring, uint32_t waiter) {
    add_acq_rel_gpu(pointer<uint32_t>(args.waiting_blocks), 1);
    if (waiter % 2 == 0) {
        perseus_device_ring view = args.ring;
        view.credit = args.waited_credit;
        Ring(view).wait_retired(0);
    } else {
        uint64_t seen;
        wait_signal(
            pointer<uint64_t>(args.signals) + waiter, 1, ring.cycle_limit, ring.error_word(),
            ring.rank, waiter, seen);
    }
}

/// Thread. Bounded wait until all waiters wait.
__device__ bool wait_for_waiters(const perseus_bench_fence_args &args, const Ring &ring) {
    Patience patience(ring.error_word(), ring.cycle_limit);
    uint32_t seen;
    do {
        seen = load_acquire_gpu(pointer<uint32_t>(args.waiting_blocks));
        if (seen == args.waiter_blocks) return true;
    } while (patience.is_left());
    ring.error_word().fail(
        PERSEUS_WAIT_GROUP, ring.rank, 0, args.waiter_blocks, seen, patience.cycles());
    return false;
}

/// Thread. The measured loop.
__device__ void measure_fences(const perseus_bench_fence_args &args) {
    uint64_t *target = pointer<uint64_t>(args.target);
    uint32_t *fence_cycles = pointer<uint32_t>(args.fence_cycles);
    uint32_t *release_cycles = pointer<uint32_t>(args.release_cycles);
    Stopwatch stopwatch;
    for (uint32_t iteration = 0; iteration < args.iterations; iteration++) {
        long long start = clock64();
        store_relaxed_sys(target, iteration);
        __threadfence_system();
        long long fenced = clock64();
        store_release_sys(reinterpret_cast<perseus_command *>(target), iteration, iteration);
        long long released = clock64();
        fence_cycles[iteration] = (uint32_t)(fenced - start);
        release_cycles[iteration] = (uint32_t)(released - fenced);
    }
    stopwatch.store(args.clock);
}

} // namespace

/// Fence under waiting: see perseus_bench_fence_args.
extern "C" __global__ void perseus_bench_ring_fence(
    const __grid_constant__ perseus_bench_fence_args args) {
    if (threadIdx.x != 0) return;
    Ring ring(args.ring);
    uint32_t *finished = pointer<uint32_t>(args.finished_blocks);
    if (blockIdx.x == 0) {
        relay(ring, finished, 1);
    } else if (blockIdx.x > 1) {
        wait_as_kernels_do(args, ring, blockIdx.x - 2);
    } else {
        if (wait_for_waiters(args, ring)) measure_fences(args);
        // Lets every waiter go.
        store_relaxed_gpu(pointer<uint64_t>(args.waited_credit), 1);
        for (uint32_t waiter = 0; waiter < args.waiter_blocks; waiter++)
            store_relaxed_sys(
                pointer<uint64_t>(args.signals) + waiter, perseus_signal_make(1, 0, 0));
        add_acq_rel_gpu(finished, 1);
    }
}
