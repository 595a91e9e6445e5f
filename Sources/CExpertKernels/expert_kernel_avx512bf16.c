// AVX-512-BF16: vdpbf16ps multiplies pairs of neighbours in k and adds both products to a binary32.

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "expert_kernel_variants.h"

#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))), apply_to = function)

#define KERNEL_NAME expert_kernel_avx512bf16
#define LANES 16
// 13 rows of two accumulators, two weight vectors and one broadcast: 29 of 32 registers.
#define BLOCK_ROWS 13
#define K_STEP 2
#define OPERATIONS_PER_LANE 4

typedef float floats __attribute__((ext_vector_type(LANES)));
typedef __m512i weights;

/// Two neighbours in k of one row.
typedef uint32_t operand;

static inline __attribute__((always_inline)) operand make_operand(const uint16_t *row) {
    operand pair;
    memcpy(&pair, row, sizeof pair);
    return pair;
}

static inline __attribute__((always_inline)) weights load_weights(const uint16_t *panel) {
    return _mm512_loadu_si512(panel);
}

static inline __attribute__((always_inline)) floats multiply_accumulate(
    floats sum, operand left, weights right) {
    __m512i pairs = _mm512_set1_epi32((int)left);
    return (floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)pairs, (__m512bh)right);
}

#include "expert_kernel_template.h"

#pragma clang attribute pop

#endif
