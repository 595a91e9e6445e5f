// One tile of an expert's matrix multiplication: up to two segments of 64 rows times N columns, by TMA and wgmma.
//
// The loading thread and the two multiplying warpgroups share a ring of stages in shared memory. Each multiplying
// warpgroup owns one segment; both read the same columns of the weights. A row's result depends on that row and the order
// of K alone, so it is the same bits whichever tile, block or rank computes it.
#pragma once

#include "hopper.cuh"
#include "perseus_device_layer.h"
#include "shape.cuh"
#include "wgmma.cuh"

namespace perseus {

/// The ring of stages. A stage holds 64 columns of K: two segments of 64 rows, then up to 256 rows of weights.
struct TileStages {
    static constexpr int kDepth = 64;
    static constexpr int kSegmentBytes = PERSEUS_DEVICE_SEGMENT_ROWS * kDepth * 2;
    static constexpr int kWeightBytes = Shape::kMostColumns * kDepth * 2;
    static constexpr int kStageBytes = 2 * kSegmentBytes + kWeightBytes;
    static constexpr int kCount = Shape::kStages;

    uint8_t *memory;
    uint64_t *full;
    uint64_t *empty;

    __device__ __forceinline__ uint8_t *segment(int stage, int index) const {
        return memory + stage * kStageBytes + index * kSegmentBytes;
    }
    __device__ __forceinline__ uint8_t *weights(int stage) const {
        return memory + stage * kStageBytes + 2 * kSegmentBytes;
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

/// What a tile reads: rows of two segments (-1: none), and rows of the weights.
struct TileOperands {
    const TensorMap *rows_map;
    const TensorMap *weights_map;
    int first_row[2];
    int first_column;
    int depth_tiles;
};

/// The loading thread's side of one tile.
template <int N>
__device__ __forceinline__ void load_tile(
    const TileStages &stages, StageCursor &cursor, const TileOperands &operands) {
    const bool has_second = operands.first_row[1] >= 0;
    const uint32_t bytes =
        (has_second ? 2 : 1) * TileStages::kSegmentBytes + N * TileStages::kDepth * 2;
    for (int tile = 0; tile < operands.depth_tiles; ++tile) {
        const int stage = cursor.stage;
        barrier_wait(&stages.empty[stage], cursor.parity ^ 1);
        barrier_expect(&stages.full[stage], bytes);
        const int depth = tile * TileStages::kDepth;
        copy_box(stages.segment(stage, 0), operands.rows_map, &stages.full[stage], depth,
            operands.first_row[0]);
        if (has_second) {
            copy_box(stages.segment(stage, 1), operands.rows_map, &stages.full[stage], depth,
                operands.first_row[1]);
        }
        copy_box(stages.weights(stage), operands.weights_map, &stages.full[stage], depth,
            operands.first_column);
        cursor.advance();
    }
}

/// A multiplying warpgroup's side: accumulators of its segment. Without rows it only keeps pace.
template <int N>
__device__ __forceinline__ void multiply_tile(float (&sums)[N / 2], const TileStages &stages,
    StageCursor &cursor, int segment, bool has_rows, int depth_tiles) {
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
        const uint64_t a = matrix_descriptor(stages.segment(stage, segment));
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

/// Where the rows of a tile go: row `i` at `base + i * stride`, bytes; the tile's columns from `first_column` on.
struct TileTarget {
    uint8_t *base;
    uint64_t stride;
    int rows;
    int first_column;
    int columns;
};

/// Stores 32 columns of rows r and r + 8 of this thread's warp, 16 bytes for each lane.
__device__ __forceinline__ void store_columns(
    const TileTarget &target, int column, uint32_t (&upper)[4], uint32_t (&lower)[4]) {
    transpose_quads(upper);
    transpose_quads(lower);
    const int lane = threadIdx.x % kWarpThreads;
    const int row = threadIdx.x % kWarpgroupThreads / kWarpThreads * 16 + lane / 4;
    const int first = target.first_column + column + lane % 4 * 8;
    if (first >= target.columns) return;
    uint8_t *place = target.base + row * target.stride + 2 * static_cast<uint64_t>(first);
    if (row < target.rows) {
        *reinterpret_cast<uint4 *>(place) = make_uint4(upper[0], upper[1], upper[2], upper[3]);
    }
    if (row + 8 < target.rows) {
        *reinterpret_cast<uint4 *>(place + 8 * target.stride) =
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
    for (int set = 0; set < N / 64; ++set) {
        uint32_t upper[4], lower[4];
#pragma unroll
        for (int group = 0; group < 4; ++group) {
            const int gate = (set * 4 + group) * 8;
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
        store_columns(target, set * 32, upper, lower);
    }
}

/// Rounds the sums (and the bias) once and stores them.
template <int N>
__device__ __forceinline__ void store_sums(
    const float (&sums)[N / 2], const TileTarget &target, const float *bias) {
    const int pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (int set = 0; set < N / 32; ++set) {
        uint32_t upper[4], lower[4];
#pragma unroll
        for (int group = 0; group < 4; ++group) {
            const int index = (set * 4 + group) * 4;
            float2 addend = make_float2(0.0f, 0.0f);
            if constexpr (Shape::kHasBias) {
                const int column = target.first_column + (set * 4 + group) * 8 + pair;
                if (column < target.columns) addend = bias_of(bias, column);
            }
            upper[group] = pack_bf16(sums[index] + addend.x, sums[index + 1] + addend.y);
            lower[group] = pack_bf16(sums[index + 2] + addend.x, sums[index + 3] + addend.y);
        }
        store_columns(target, set * 32, upper, lower);
    }
}

}  // namespace perseus
