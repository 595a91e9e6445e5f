// A whole MoE layer, over and over, in one persistent kernel: all ranks of this GPU and the moving half of their NICs.
//
// Grid: rank_count x blocks_per_rank blocks, the first of each rank its operator, the others its workers; behind them
// rank_count x copy_blocks_per_rank (0 or 1) blocks that move bytes. All of them have to be resident: the host checks that. Launched
// with PERSEUS_DEVICE_THREADS threads and PERSEUS_SHARED_BYTES of shared memory.

#include "copies.cuh"
#include "operator.cuh"
#include "worker.cuh"

namespace perseus {

// The host knows how much shared memory it gives; stages start at multiples of 1024 bytes, which the swizzle counts from.
static_assert(TileStages::kCount * TileStages::kStageBytes + sizeof(WorkerMemory) + 1024 <= PERSEUS_SHARED_BYTES,
    "a worker's memory fits");
static_assert(sizeof(OperatorMemory) + 1024 <= PERSEUS_SHARED_BYTES, "an operator's memory fits");
static_assert(sizeof(CopyMemory) + 1024 <= PERSEUS_DEVICE_COPY_SHARED_BYTES
        && PERSEUS_DEVICE_COPY_SHARED_BYTES <= PERSEUS_SHARED_BYTES,
    "a copy block's memory fits");
static_assert(PERSEUS_SHARED_BYTES <= 227 * 1024, "a block fits a Hopper multiprocessor");

/// No block begins before all are there: a peer's words may be read from now on.
__device__ bool wait_for_blocks(const LayerView &layer) {
    __shared__ uint32_t is_there;
    if (threadIdx.x == 0) {
        uint32_t *arrived = reinterpret_cast<uint32_t *>(layer.layer->arrived);
        add_acq_rel_gpu(arrived, 1);
        Patience patience = layer.patience();
        uint32_t seen = 0;
        is_there = 1;
        while ((seen = load_acquire_gpu(arrived)) < gridDim.x) {
            if (!patience.is_left()) {
                layer.error().fail(
                    PERSEUS_WAIT_BLOCKS, layer.rank_index, 0, gridDim.x, seen, patience.cycles());
                is_there = 0;
                break;
            }
        }
    }
    __syncthreads();
    return is_there != 0;
}

}  // namespace perseus

extern "C" __global__ void __launch_bounds__(PERSEUS_DEVICE_THREADS, 1)
    perseus_megakernel(const __grid_constant__ perseus_device_layer layer) {
    using namespace perseus;
    extern __shared__ uint8_t unaligned[];
    uint8_t *shared = align_shared(unaligned);
    const uint32_t computing = layer.rank_count * layer.blocks_per_rank;
    if (blockIdx.x < computing) {
        const LayerView view{&layer, blockIdx.x / layer.blocks_per_rank};
        if (!wait_for_blocks(view)) return;
        if (blockIdx.x % layer.blocks_per_rank == 0) {
            operate(view, *reinterpret_cast<OperatorMemory *>(shared));
        } else {
            work(view, shared);
        }
    } else {
        const LayerView view{&layer, blockIdx.x - computing};
        if (!wait_for_blocks(view)) return;
        move_copies(view, *reinterpret_cast<CopyMemory *>(shared));
    }
}
