// An example for authors of kernels: each block sends a tile with a signal and waits for one.
#include "perseus_device.cuh"

using namespace perseus;

namespace {

/// Word `word` of tile `tile` that `rank` sends in round `epoch`.
__device__ uint64_t tile_word(uint32_t rank, uint32_t tile, uint32_t epoch, uint32_t word) {
    return (uint64_t)rank << 48 ^ (uint64_t)tile << 32 ^ (uint64_t)epoch << 20 ^ word;
}

/// CTA. Sends one tile; false, in thread 0, when the ring gave no room in time.
__device__ bool send_tile(const perseus_example_args &args, const Ring &ring, uint32_t tile) {
    uint64_t offset = args.send_offset + (uint64_t)tile * args.tile_bytes;
    uint64_t *words = pointer<uint64_t>(args.data + offset);
    for (uint32_t word = threadIdx.x; word < args.tile_bytes / 8; word += blockDim.x)
        words[word] = tile_word(ring.rank, tile, args.epoch, word);

    // Step 1: everybody's stores are ordered before thread 0 goes on, whose fence covers them all.
    __syncthreads();
    if (threadIdx.x != 0) return true;

    // Step 2: the put and its signal in one claim. The receiver sees the word after the bytes.
    Place source = {PERSEUS_REGION_DATA, offset};
    Place target = {PERSEUS_REGION_DATA, args.receive_offset + (uint64_t)tile * args.tile_bytes};
    Place signal = {PERSEUS_REGION_SIGNAL, args.signal_offset + (uint64_t)tile * 8};
    return ring.push_put_signal(
        args.peer, source, target, args.tile_bytes, signal,
        perseus_signal_make(args.epoch, tile, 1));
}

/// CTA. Waits for the peer's tile and checks it; false, in all threads, when it did not come.
__device__ bool receive_tile(const perseus_example_args &args, const Ring &ring, uint32_t tile) {
    __shared__ int has_arrived;
    if (threadIdx.x == 0) {
        uint64_t seen;
        has_arrived = wait_signal(
            pointer<uint64_t>(args.signals + args.signal_offset) + tile, args.epoch,
            ring.cycle_limit, ring.error_word(), ring.rank, tile, seen);
        // Only needed when the tile is read by TMA.
        fence_before_async_read();
    }
    __syncthreads();
    if (!has_arrived) return false;

    const uint64_t *words = pointer<uint64_t>(
        args.data + args.receive_offset + (uint64_t)tile * args.tile_bytes);
    int is_wrong = 0;
    for (uint32_t word = threadIdx.x; word < args.tile_bytes / 8; word += blockDim.x)
        is_wrong |= words[word] != tile_word(args.peer, tile, args.epoch, word);
    if (__syncthreads_or(is_wrong) && threadIdx.x == 0)
        add_acq_rel_gpu(pointer<uint32_t>(args.wrong_tiles), 1);
    return true;
}

} // namespace

/// Grid: block 0 relays the ring's credit; block b + 1 handles tile b. Any block size.
extern "C" __global__ void perseus_example_put_signal(
    const __grid_constant__ perseus_example_args args) {
    Ring ring(args.ring);
    uint32_t *finished = pointer<uint32_t>(args.finished_blocks);
    if (blockIdx.x == 0) {
        if (threadIdx.x == 0) relay(ring, finished, args.tile_count);
        return;
    }
    uint32_t tile = blockIdx.x - 1;
    // A push that failed has left its reason in the error record, and the wait ends soon.
    (void)send_tile(args, ring, tile);
    (void)receive_tile(args, ring, tile);
    finish(finished);
}
