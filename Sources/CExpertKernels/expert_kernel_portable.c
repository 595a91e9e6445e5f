// Any processor: four lanes of the compiler's vector extension, product and sum rounded separately,
// so that every machine computes the same bits.

#include <stdint.h>
#include <string.h>

#include "expert_kernel_variants.h"

#pragma STDC FP_CONTRACT OFF

#define KERNEL_NAME expert_kernel_portable
#define LANES 4
#define BLOCK_ROWS 6
#define K_STEP 1
#define OPERATIONS_PER_LANE 2

typedef float floats __attribute__((ext_vector_type(LANES)));
typedef floats weights;
typedef float operand;

static inline __attribute__((always_inline)) operand make_operand(const uint16_t *row) {
    uint32_t bits = (uint32_t)*row << 16;
    operand value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline __attribute__((always_inline)) weights load_weights(const uint16_t *panel) {
    typedef uint16_t narrow __attribute__((ext_vector_type(LANES)));
    typedef uint32_t wide __attribute__((ext_vector_type(LANES)));
    narrow bits;
    memcpy(&bits, panel, sizeof bits);
    return (weights)(__builtin_convertvector(bits, wide) << 16);
}

static inline __attribute__((always_inline)) floats multiply_accumulate(
    floats sum, operand left, weights right) {
    return sum + (floats)left * right;
}

#include "expert_kernel_template.h"
