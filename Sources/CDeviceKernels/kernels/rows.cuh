// Stages 3 and 10 on the GPU: rows into arenas, and the weighted sum of what came back.
#pragma once

#include "layer.cuh"
#include "send.cuh"

namespace perseus {

constexpr int kWorkWarps = kWorkThreads / kWarpThreads;
/// Threads of the multiplying warpgroups, from 0.
__device__ __forceinline__ int work_thread() { return threadIdx.x - kWarpgroupThreads; }

__device__ __forceinline__ float low_bf16(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_bf16(uint32_t pair) { return __uint_as_float(pair & 0xFFFF0000); }

__device__ __forceinline__ uint32_t scaled(uint32_t pair, float weight) {
    uint32_t result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
        : "=r"(result)
        : "f"(high_bf16(pair) * weight), "f"(low_bf16(pair) * weight));
    return result;
}

__device__ __forceinline__ void add_scaled(float (&sums)[8], uint4 row, float weight) {
    sums[0] = fmaf(weight, low_bf16(row.x), sums[0]);
    sums[1] = fmaf(weight, high_bf16(row.x), sums[1]);
    sums[2] = fmaf(weight, low_bf16(row.y), sums[2]);
    sums[3] = fmaf(weight, high_bf16(row.y), sums[3]);
    sums[4] = fmaf(weight, low_bf16(row.z), sums[4]);
    sums[5] = fmaf(weight, high_bf16(row.z), sums[5]);
    sums[6] = fmaf(weight, low_bf16(row.w), sums[6]);
    sums[7] = fmaf(weight, high_bf16(row.w), sums[7]);
}

/// Packs rows `first ..< first + count` of one transfer. The multiplying warpgroups.
__device__ void pack_rows(
    const LayerView &layer, const Round &round, uint32_t expert, uint32_t first, uint32_t count) {
    const perseus_device_rank &rank = layer.rank();
    const perseus_arena_layout &layout = layer.layer->layout;
    const uint32_t owner = layer.owner_of(expert);
    const int lane = threadIdx.x % kWarpThreads;
    const uint32_t *slot_of_row = reinterpret_cast<const uint32_t *>(rank.slot_of_row);
    const float *weights = reinterpret_cast<const float *>(rank.weights);
    uint8_t *target = layer.is_local(owner)
        ? reinterpret_cast<uint8_t *>(layer.rank(owner).data)
            + perseus_arena_dispatch_row(&layout, layer.rank_index, first)
        : reinterpret_cast<uint8_t *>(rank.data) + perseus_arena_send_row(&layout, first);
    for (uint32_t row = work_thread() / kWarpThreads; row < count; row += kWorkWarps) {
        const uint32_t slot = slot_of_row[first + row];
        const uint64_t token = round.first_token + slot / Shape::kTopK;
        const uint4 *from = reinterpret_cast<const uint4 *>(rank.hidden + token * (2 * Shape::kHidden));
        uint4 *to = reinterpret_cast<uint4 *>(target + static_cast<uint64_t>(row) * layout.row_stride);
        const float weight =
            Shape::kScalesInput ? weights[round.first_token * Shape::kTopK + slot] : 1.0f;
#pragma unroll 4
        for (int piece = lane; piece < Shape::kHidden / 8; piece += kWarpThreads) {
            uint4 value = __ldg(from + piece);
            if constexpr (Shape::kScalesInput) {
                value.x = scaled(value.x, weight);
                value.y = scaled(value.y, weight);
                value.z = scaled(value.z, weight);
                value.w = scaled(value.w, weight);
            }
            to[piece] = value;
        }
    }
}

/// `count` more rows of a transfer are packed: who packs the last of them sends it. Warp.
__device__ void finish_pack(const LayerView &layer, const Round &round, uint32_t expert, uint32_t count) {
    uint32_t left = 0;
    if (threadIdx.x % kWarpThreads == 0) {
        uint32_t *unpacked = reinterpret_cast<uint32_t *>(layer.rank().unpacked) + expert;
        left = add_acq_rel_gpu(unpacked, 0u - count) - count;
    }
    if (__shfl_sync(0xFFFFFFFF, left, 0) == 0) send_transfer(layer, round, expert);
}

/// out[token] = sum of weight x result over the token's choices, in their order, plus the shared expert's row. The multiplying
/// warpgroups.
__device__ void combine_tokens(
    const LayerView &layer, const Round &round, uint32_t first, uint32_t count) {
    const perseus_device_rank &rank = layer.rank();
    const int lane = threadIdx.x % kWarpThreads;
    const uint32_t *row_of_slot = reinterpret_cast<const uint32_t *>(rank.row_of_slot);
    const float *weights = reinterpret_cast<const float *>(rank.weights);
    const uint8_t *results = reinterpret_cast<const uint8_t *>(rank.data);
    for (uint32_t index = work_thread() / kWarpThreads; index < count; index += kWorkWarps) {
        const uint64_t local = first + index;
        const uint64_t token = round.first_token + local;
        const uint4 *rows[Shape::kTopK];
        float weight[Shape::kTopK];
#pragma unroll
        for (int choice = 0; choice < Shape::kTopK; ++choice) {
            rows[choice] = reinterpret_cast<const uint4 *>(results
                + perseus_arena_return_row(&layer.layer->layout, row_of_slot[local * Shape::kTopK + choice]));
            weight[choice] = Shape::kScalesInput ? 1.0f : weights[token * Shape::kTopK + choice];
        }
        for (int piece = lane; piece < Shape::kHidden / 8; piece += kWarpThreads) {
            float sums[8] = {};
#pragma unroll
            for (int choice = 0; choice < Shape::kTopK; ++choice) {
                add_scaled(sums, rows[choice][piece], weight[choice]);
            }
            if constexpr (Shape::kSharedIntermediate > 0) {
                const uint4 *shared =
                    reinterpret_cast<const uint4 *>(rank.shared_rows + token * (2 * Shape::kHidden));
                add_scaled(sums, shared[piece], 1.0f);
            }
            float4 *out = reinterpret_cast<float4 *>(
                rank.output + (token * Shape::kHidden + 8 * static_cast<uint64_t>(piece)) * 4);
            out[0] = make_float4(sums[0], sums[1], sums[2], sums[3]);
            out[1] = make_float4(sums[4], sums[5], sums[6], sums[7]);
        }
    }
}

}  // namespace perseus
