// The expert kernels: y = W_down · act(W_gate · x, W_up · x) for a few rows, in several instruction
// sets.
//
// Numbers: bfloat16 in and out, binary32 accumulation over ascending k, one rounding (to nearest
// even) of the activated intermediate and one of the output.
//
// Row invariance: the bits of an output row depend on that row's input and on the weights only.
// Each row has its own accumulators, K is never split, and a block of any number of rows runs the
// same instructions per row. A NaN therefore stays in its row.
//
// Threading: everything here is reentrant; callers give each thread its own scratch.

#pragma once

#include <stddef.h>
#include <stdint.h>

/// Most rows of one multiplication: two segments of 64.
#define PERSEUS_EXPERT_MAX_ROWS 128

enum perseus_expert_activation {
    /// silu(gate) * up
    PERSEUS_ACTIVATION_SILU = 0,
    /// (clamp(up, -limit, limit) + 1) * g * sigmoid(alpha * g) with g = min(gate, limit)
    PERSEUS_ACTIVATION_CLAMPED_SWIGLU = 1,
};

/// What all experts of a layer have in common. `hidden` and `intermediate` are positive multiples
/// of 8.
struct perseus_expert_shape {
    int32_t hidden;
    int32_t intermediate;
    /// An `enum perseus_expert_activation`.
    int32_t activation;
    float alpha;
    float limit;
};

/// One expert as published, row-major: gate and up [intermediate, hidden], down [hidden,
/// intermediate]. A bias may be null.
struct perseus_expert_weights {
    const uint16_t *gate;
    const uint16_t *up;
    const uint16_t *down;
    const float *gate_bias;
    const float *up_bias;
    const float *down_bias;
};

enum perseus_expert_variant {
    PERSEUS_VARIANT_AVX512BF16 = 0,
    PERSEUS_VARIANT_AVX512F = 1,
    PERSEUS_VARIANT_AVX2 = 2,
    PERSEUS_VARIANT_PORTABLE = 3,
};

/// One variant's entry points. Byte counts are multiples of 64; `packed` and `scratch` are 64-byte
/// aligned.
struct perseus_expert_kernel {
    /// Bytes of one packed expert.
    size_t (*packed_byte_count)(const struct perseus_expert_shape *shape);

    /// Bytes of scratch for multiplications of at most PERSEUS_EXPERT_MAX_ROWS rows.
    size_t (*scratch_byte_count)(const struct perseus_expert_shape *shape);

    /// Brings one expert into this variant's layout; padding is zero.
    void (*pack)(
        const struct perseus_expert_shape *shape, const struct perseus_expert_weights *weights,
        void *packed);

    /// Multiplies `row_count` (1 ... PERSEUS_EXPERT_MAX_ROWS) rows of `hidden` elements each; rows
    /// may lie anywhere, so two segments of different sources share one pass over the weights.
    /// Outputs overlap neither the inputs nor each other.
    void (*multiply)(
        const struct perseus_expert_shape *shape, const void *packed, const uint16_t *const *rows,
        uint16_t *const *outputs, int row_count, void *scratch);

    /// Runs the multiply-accumulate instruction of this variant on registers alone, as many
    /// accumulators as `multiply` uses, `iterations` times. Returns a value that depends on all of
    /// them.
    float (*measure_peak)(uint64_t iterations);

    /// Floating-point operations of one iteration of `measure_peak`.
    double peak_operation_count;
};

/// The kernel of a variant; null when this build or this machine (processor and operating system)
/// lacks it.
const struct perseus_expert_kernel *perseus_expert_kernel(enum perseus_expert_variant variant);

/// Calls `kernel->multiply`; a plain function, so that callers in Swift need no optional function
/// pointer.
void perseus_expert_multiply_rows(
    const struct perseus_expert_kernel *kernel, const struct perseus_expert_shape *shape,
    const void *packed, const uint16_t *const *rows, int row_count, uint16_t *const *outputs,
    void *scratch);

/// Multiplies contiguous rows: `input` [row_count, hidden] and `output` [row_count, hidden] with
/// strides in elements. See `multiply`.
void perseus_expert_multiply_contiguous(
    const struct perseus_expert_kernel *kernel, const struct perseus_expert_shape *shape,
    const void *packed, const uint16_t *input, ptrdiff_t input_stride, int row_count,
    uint16_t *output, ptrdiff_t output_stride, void *scratch);
