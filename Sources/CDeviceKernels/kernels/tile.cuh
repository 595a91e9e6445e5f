// One tile of an expert's matrix multiplication: up to 128 rows times N columns, by TMA and wgmma.
//
// The loading thread and the two multiplying warpgroups share a ring of stages in shared memory. Each multiplying
// warpgroup owns half of the slots of rows; both read the same columns of the weights. A row's result depends on that row
// and the order of K alone, so it is the same bits whichever slot, tile, block or rank computes it.
#pragma once

#include "hopper.cuh"
#include "perseus_device_layer.h"
#include "shape.cuh"
#include "wgmma.cuh"

namespace perseus {

/// 8 rows of a tile, as its block works on them.
struct TileSlot {
    /// Of its source's packed order; of a token.
    uint32_t row;
    /// Of the matrix that they are loaded from.
    uint32_t matrix_row;
    uint16_t source;
    /// 0: nobody's.
    uint16_t rows;
};

/// The rows of a tile. A box is loaded at each slot that has its bit in `tall` (a segment's rows) or `low` (a slot's).
struct TileRows {
    /// Slots of a multiplying warpgroup.
    static constexpr int kHalf = PERSEUS_DEVICE_TILE_SLOTS / 2;
    uint32_t tall;
    uint32_t low;
    TileSlot slots[PERSEUS_DEVICE_TILE_SLOTS];
};

/// The ring of stages. A stage holds 64 columns of K: 128 rows, then up to 256 rows of weights. Slots are whole units of the
/// swizzle, so boxes of any height lie in it side by side.
struct TileStages {
    static constexpr int kDepth = 64;
    static constexpr int kSlotBytes = PERSEUS_DEVICE_SLOT_ROWS * kDepth * 2;
    static constexpr int kRowBytes = PERSEUS_DEVICE_TILE_SLOTS * kSlotBytes;
    static constexpr int kWeightBytes = Shape::kMostColumns * kDepth * 2;
    static constexpr int kStageBytes = kRowBytes + kWeightBytes;
    static constexpr int kCount = Shape::kStages;

    uint8_t *memory;
    uint64_t *full;
    uint64_t *empty;

    __device__ __forceinline__ uint8_t *slot(int stage, int index) const {
        return memory + stage * kStageBytes + index * kSlotBytes;
    }
    __device__ __forceinline__ uint8_t *weights(int stage) const {
        return memory + stage * kStageBytes + kRowBytes;
    }
};

/// Where a thread stands in the ring of stages; goes on from tile to tile.
struct StageCursor {
    int stage = 0;
    uint32_t parity = 0;

    __device__ __forceinline__ void advance() {
        if (++stage == TileStages::kCount) {
            stage = 0;
            parity ^= 1;
        }
    }
};

/// What a tile reads: rows, by maps of tall and of low boxes, and rows of the weights.
struct TileOperands {
    const TensorMap *row_maps;
    const TensorMap *weights_map;
    int first_column;
    int depth_tiles;
};

/// The loading thread's side of one tile.
template <int N>
__device__ __forceinline__ void load_tile(const TileStages &stages, StageCursor &cursor,
    const TileOperands &operands, const TileRows &rows) {
    const uint32_t tall = rows.tall, low = rows.low;
    const uint32_t bytes = N * TileStages::kDepth * 2
        + (__popc(tall) * PERSEUS_DEVICE_SEGMENT_ROWS / PERSEUS_DEVICE_SLOT_ROWS + __popc(low))
            * TileStages::kSlotBytes;
    for (int tile = 0; tile < operands.depth_tiles; ++tile) {
        const int stage = cursor.stage;
        barrier_wait(&stages.empty[stage], cursor.parity ^ 1);
        barrier_expect(&stages.full[stage], bytes);
        const int depth = tile * TileStages::kDepth;
        copy_box(stages.weights(stage), operands.weights_map, &stages.full[stage], depth,
            operands.first_column);
        for (uint32_t left = tall | low; left != 0; left &= left - 1) {
            const int slot = __ffs(left) - 1;
            copy_box(stages.slot(stage, slot), operands.row_maps + (low >> slot & 1),
                &stages.full[stage], depth, static_cast<int>(rows.slots[slot].matrix_row));
        }
        cursor.advance();
    }
}

/// A multiplying warpgroup's side: accumulators of its half of the rows. Without rows it only keeps pace.
template <int N>
__device__ __forceinline__ void multiply_tile(float (&sums)[N / 2], const TileStages &stages,
    StageCursor &cursor, int half, bool has_rows, int depth_tiles) {
    // Each warp gives a stage back for itself: the warps of a warpgroup do not wait for each other.
    const bool is_elected = threadIdx.x % kWarpThreads == 0;
    if (!has_rows) {
        for (int tile = 0; tile < depth_tiles; ++tile) {
            barrier_wait(&stages.full[cursor.stage], cursor.parity);
            if (is_elected) barrier_arrive(&stages.empty[cursor.stage]);
            cursor.advance();
        }
        return;
    }
    int previous = -1;
    for (int tile = 0; tile < depth_tiles; ++tile) {
        const int stage = cursor.stage;
        barrier_wait(&stages.full[stage], cursor.parity);
        const uint64_t a = matrix_descriptor(stages.slot(stage, half * TileRows::kHalf));
        const uint64_t b = matrix_descriptor(stages.weights(stage));
        warpgroup_arrive();
#pragma unroll
        for (int step = 0; step < TileStages::kDepth / 16; ++step) {
            // 16 columns of BF16 are two units of 16 bytes.
            multiply_m64k16<N>(sums, a + 2 * step, b + 2 * step, tile > 0 || step > 0);
        }
        warpgroup_commit();
        warpgroup_wait<1>();
        if (previous >= 0 && is_elected) barrier_arrive(&stages.empty[previous]);
        previous = stage;
        cursor.advance();
    }
    warpgroup_wait<0>();
    if (is_elected) barrier_arrive(&stages.empty[previous]);
}

// MARK: Epilogues

__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

/// Words of four groups of 8 columns: afterwards lane q of each quad has the whole of group q.
__device__ __forceinline__ void transpose_quads(uint32_t (&words)[4]) {
    // Registers are not indexed at run time: each exchange is written out.
    const bool odd = threadIdx.x & 1;
    const uint32_t first = __shfl_xor_sync(0xFFFFFFFF, odd ? words[0] : words[1], 1);
    const uint32_t second = __shfl_xor_sync(0xFFFFFFFF, odd ? words[2] : words[3], 1);
    words[0] = odd ? first : words[0];
    words[1] = odd ? words[1] : first;
    words[2] = odd ? second : words[2];
    words[3] = odd ? words[3] : second;
    const bool upper = threadIdx.x & 2;
    const uint32_t third = __shfl_xor_sync(0xFFFFFFFF, upper ? words[0] : words[2], 2);
    const uint32_t fourth = __shfl_xor_sync(0xFFFFFFFF, upper ? words[1] : words[3], 2);
    words[0] = upper ? third : words[0];
    words[2] = upper ? words[2] : third;
    words[1] = upper ? fourth : words[1];
    words[3] = upper ? words[3] : fourth;
}

/// Where this thread's two rows of a tile go (nullptr: nowhere), and the tile's columns from `first_column` on.
struct TileTarget {
    uint8_t *upper;
    uint8_t *lower;
    int first_column;
    int columns;
};

/// Stores 32 columns, as many of them as a tile of `width` has, of both rows of this thread, 16 bytes for each lane.
__device__ __forceinline__ void store_columns(const TileTarget &target, int column, int width,
    uint32_t (&upper)[4], uint32_t (&lower)[4]) {
    transpose_quads(upper);
    transpose_quads(lower);
    const int in_tile = column + threadIdx.x % 4 * 8;
    const int first = target.first_column + in_tile;
    if (in_tile >= width || first >= target.columns) return;
    if (target.upper != nullptr) {
        *reinterpret_cast<uint4 *>(target.upper + 2 * first) =
            make_uint4(upper[0], upper[1], upper[2], upper[3]);
    }
    if (target.lower != nullptr) {
        *reinterpret_cast<uint4 *>(target.lower + 2 * first) =
            make_uint4(lower[0], lower[1], lower[2], lower[3]);
    }
}

__device__ __forceinline__ float activate(float gate, float up) {
    if constexpr (Shape::kIsClamped) {
        const float limit = Shape::kClampLimit;
        gate = fminf(gate, limit);
        up = fmaxf(fminf(up, limit), -limit);
        return (up + 1.0f) * __fdividef(gate, 1.0f + __expf(-Shape::kClampAlpha * gate));
    } else {
        return up * __fdividef(gate, 1.0f + __expf(-gate));
    }
}

/// Biases of this thread's two columns in each group of 8; null without.
__device__ __forceinline__ float2 bias_of(const float *bias, int column) {
    return bias ? *reinterpret_cast<const float2 *>(bias + column) : make_float2(0.0f, 0.0f);
}

/// Gate and up lie side by side in groups of 8 columns: activates them and stores half as many columns.
/// `target` counts activated columns, `bias` (of this expert) interleaved ones.
template <int N>
__device__ __forceinline__ void store_activated(
    const float (&sums)[N / 2], const TileTarget &target, const float *bias) {
    const int pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (int set = 0; set < tiles(N, 64); ++set) {
        uint32_t upper[4] = {}, lower[4] = {};
#pragma unroll
        for (int group = 0; group < 4; ++group) {
            const int gate = (set * 4 + group) * 8;
            if (gate >= N / 2) break;
            float2 gate_bias = make_float2(0.0f, 0.0f), up_bias = gate_bias;
            if constexpr (Shape::kHasBias) {
                const int column = 2 * target.first_column + 2 * gate + pair;
                if (column < 2 * target.columns) {
                    gate_bias = bias_of(bias, column);
                    up_bias = bias_of(bias, column + 8);
                }
            }
            upper[group] =
                pack_bf16(activate(sums[gate] + gate_bias.x, sums[gate + 4] + up_bias.x),
                    activate(sums[gate + 1] + gate_bias.y, sums[gate + 5] + up_bias.y));
            lower[group] =
                pack_bf16(activate(sums[gate + 2] + gate_bias.x, sums[gate + 6] + up_bias.x),
                    activate(sums[gate + 3] + gate_bias.y, sums[gate + 7] + up_bias.y));
        }
        store_columns(target, set * 32, N / 2, upper, lower);
    }
}

/// Rounds the sums (and the bias) once and stores them.
template <int N>
__device__ __forceinline__ void store_sums(
    const float (&sums)[N / 2], const TileTarget &target, const float *bias) {
    const int pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (int set = 0; set < tiles(N, 32); ++set) {
        uint32_t upper[4] = {}, lower[4] = {};
#pragma unroll
        for (int group = 0; group < 4; ++group) {
            const int index = (set * 4 + group) * 4;
            if (index >= N / 2) break;
            float2 addend = make_float2(0.0f, 0.0f);
            if constexpr (Shape::kHasBias) {
                const int column = target.first_column + (set * 4 + group) * 8 + pair;
                if (column < target.columns) addend = bias_of(bias, column);
            }
            upper[group] = pack_bf16(sums[index] + addend.x, sums[index + 1] + addend.y);
            lower[group] = pack_bf16(sums[index + 2] + addend.x, sums[index + 3] + addend.y);
        }
        store_columns(target, set * 32, N, upper, lower);
    }
}

}  // namespace perseus
