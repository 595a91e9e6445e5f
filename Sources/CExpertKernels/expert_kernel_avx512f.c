// AVX-512F: weights are widened to binary32 in registers and multiplied with FMA.

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "expert_kernel_variants.h"

#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)

#define KERNEL_NAME expert_kernel_avx512f
#define LANES 16
// 13 rows of two accumulators, two weight vectors and one broadcast: 29 of 32 registers.
#define BLOCK_ROWS 13
#define K_STEP 1
#define OPERATIONS_PER_LANE 2

typedef float floats __attribute__((ext_vector_type(LANES)));
typedef __m512 weights;
typedef float operand;

static inline __attribute__((always_inline)) operand make_operand(const uint16_t *row) {
    uint32_t bits = (uint32_t)*row << 16;
    operand value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline __attribute__((always_inline)) weights load_weights(const uint16_t *panel) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)panel));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline __attribute__((always_inline)) floats multiply_accumulate(
    floats sum, operand left, weights right) {
    return (floats)_mm512_fmadd_ps(_mm512_set1_ps(left), right, (__m512)sum);
}

#include "expert_kernel_template.h"

#pragma clang attribute pop

#endif
