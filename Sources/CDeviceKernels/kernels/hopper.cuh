// Hopper's own instructions behind names: barriers that count bytes, bulk tensor copies, fences between proxies.
#pragma once

#include "perseus_base.h"

namespace perseus {

constexpr int kWarpThreads = 32;
constexpr int kWarpgroupThreads = 128;

__device__ __forceinline__ uint32_t shared_address(const void *pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

/// The first multiple of 1024 bytes in dynamic shared memory: what the swizzle counts from.
__device__ __forceinline__ uint8_t *align_shared(uint8_t *memory) {
    return memory + (0u - shared_address(memory) & 1023);
}

__device__ __forceinline__ uint64_t global_nanoseconds() {
    uint64_t time;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time));
    return time;
}

/// The warp's first lane's value, which the compiler then knows to be the same in all lanes: wgmma wants to be reached
/// without divergence.
__device__ __forceinline__ int uniform(int value) { return __shfl_sync(0xFFFFFFFF, value, 0); }

/// The sum of this lane's value and those of all lanes below it. Warp.
__device__ __forceinline__ uint32_t inclusive_sum(uint32_t value) {
    const int lane = threadIdx.x % kWarpThreads;
    for (int step = 1; step < kWarpThreads; step *= 2) {
        const uint32_t other = __shfl_up_sync(0xFFFFFFFF, value, step);
        if (lane >= step) value += other;
    }
    return value;
}

// MARK: Barriers in shared memory

__device__ __forceinline__ void barrier_init(uint64_t *barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
        "r"(arrivals));
}

/// Makes initialised barriers visible to the bulk copy engine; before the block's first `__syncthreads`.
__device__ __forceinline__ void barrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void barrier_arrive(uint64_t *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
        : "memory");
}

/// Arrives, and makes the phase also wait for `bytes` of bulk copies.
__device__ __forceinline__ void barrier_expect(uint64_t *barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                     shared_address(barrier)),
        "r"(bytes)
        : "memory");
}

/// Whether the phase with the given parity is over; does not wait.
__device__ __forceinline__ bool barrier_test(uint64_t *barrier, uint32_t parity) {
    uint32_t is_over;
    asm volatile(
        "{\n.reg .pred over;\n"
        "mbarrier.test_wait.parity.shared::cta.b64 over, [%1], %2;\n"
        "selp.u32 %0, 1, 0, over;\n}\n"
        : "=r"(is_over)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
    return is_over != 0;
}

/// The same after the hardware has waited for a while.
__device__ __forceinline__ bool barrier_is_over(uint64_t *barrier, uint32_t parity) {
    uint32_t is_over;
    asm volatile(
        "{\n.reg .pred over;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
        "selp.u32 %0, 1, 0, over;\n}\n"
        : "=r"(is_over)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
    return is_over != 0;
}

/// Longest wait inside a block, in cycles: five minutes. What is waited for is this block's own work or a copy that hardware
/// always ends; a wait this long is a broken kernel, which traps rather than hangs.
constexpr long long kBlockWaitCycles = 300ll * 2000 * 1000 * 1000;

/// Waits for the end of the phase with the given parity.
__device__ __forceinline__ void barrier_wait(uint64_t *barrier, uint32_t parity) {
    if (barrier_is_over(barrier, parity)) return;
    // The clock of the multiprocessor: reading the global timer takes longer than most of these waits.
    const long long begin = clock64();
    while (!barrier_is_over(barrier, parity)) {
        if (clock64() - begin > kBlockWaitCycles) __trap();
    }
}

/// The same without a limit, for what may have nothing to do for long. It ends when the host or an error ends it.
__device__ __forceinline__ void barrier_await(uint64_t *barrier, uint32_t parity) {
    while (!barrier_is_over(barrier, parity)) {}
}

/// A barrier of `threads` threads of the block, beside `__syncthreads`; ids 1 to 15.
__device__ __forceinline__ void named_barrier(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// The same for threads that hand on and do not wait.
__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// MARK: Bulk tensor copies

/// A tensor map, encoded by the driver on the host; opaque.
struct alignas(64) TensorMap {
    uint64_t words[16];
};

/// One box at (column, row) into shared memory; arrives with its bytes at `barrier`. One thread.
__device__ __forceinline__ void copy_box(
    void *target, const TensorMap *map, uint64_t *barrier, int column, int row) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(target)),
        "l"(map), "r"(shared_address(barrier)), "r"(column), "r"(row)
        : "memory");
}

/// `bytes` from global to shared memory, arriving at `barrier`; 16 bytes and multiples of it. One thread.
__device__ __forceinline__ void bulk_copy_in(
    void *target, const void *source, uint32_t bytes, uint64_t *barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
            shared_address(target)),
        "l"(source), "r"(bytes), "r"(shared_address(barrier))
        : "memory");
}

/// `bytes` from shared to global memory, as part of the thread's next group.
__device__ __forceinline__ void bulk_copy_out(void *target, const void *source, uint32_t bytes) {
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(target),
        "r"(shared_address(source)), "r"(bytes)
        : "memory");
}

__device__ __forceinline__ void bulk_commit() {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/// Waits until at most `Pending` of the thread's groups have bytes in shared memory that are not read yet.
template <int Pending>
__device__ __forceinline__ void bulk_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(Pending) : "memory");
}

/// Waits until at most `Pending` of the thread's groups have bytes that are not visible yet.
template <int Pending>
__device__ __forceinline__ void bulk_wait() {
    asm volatile("cp.async.bulk.wait_group %0;" ::"n"(Pending) : "memory");
}

// MARK: Warpgroup multiplication

/// Descriptor of a K-major operand with rows of 128 bytes, swizzled by 128 bytes, in shared memory.
__device__ __forceinline__ uint64_t matrix_descriptor(const void *pointer) {
    constexpr uint64_t swizzle_128 = 1ull << 62;
    constexpr uint64_t eight_rows = (1024ull >> 4) << 32;
    constexpr uint64_t leading = 1ull << 16;
    return swizzle_128 | eight_rows | leading | ((shared_address(pointer) & 0x3FFFF) >> 4);
}

__device__ __forceinline__ void warpgroup_arrive() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void warpgroup_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Waits until at most `Pending` committed groups are under way.
template <int Pending>
__device__ __forceinline__ void warpgroup_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

template <int Registers>
__device__ __forceinline__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

template <int Registers>
__device__ __forceinline__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

}  // namespace perseus
