// AVX2 with FMA: weights are widened to binary32 in registers; same bits as the AVX-512F kernel.

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "expert_kernel_variants.h"

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)

#define KERNEL_NAME expert_kernel_avx2
#define LANES 8
// 6 rows of two accumulators, two weight vectors and one broadcast: 15 of 16 registers.
#define BLOCK_ROWS 6
#define K_STEP 1
#define OPERATIONS_PER_LANE 2

typedef float floats __attribute__((ext_vector_type(LANES)));
typedef __m256 weights;
typedef float operand;

static inline __attribute__((always_inline)) operand make_operand(const uint16_t *row) {
    uint32_t bits = (uint32_t)*row << 16;
    operand value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline __attribute__((always_inline)) weights load_weights(const uint16_t *panel) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)panel));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline __attribute__((always_inline)) floats multiply_accumulate(
    floats sum, operand left, weights right) {
    return (floats)_mm256_fmadd_ps(_mm256_set1_ps(left), right, (__m256)sum);
}

#include "expert_kernel_template.h"

#pragma clang attribute pop

#endif
