// Chooses a kernel at run time, and the form of multiply for contiguous rows.

#include "expert_kernel_variants.h"
#include "processor_features.h"

const struct perseus_expert_kernel *perseus_expert_kernel(enum perseus_expert_variant variant) {
    if (variant == PERSEUS_VARIANT_PORTABLE) {
        return &expert_kernel_portable;
    }
#if defined(__x86_64__)
    struct processor_features features = detect_processor_features();
    if (variant == PERSEUS_VARIANT_AVX512BF16 && features.avx512_bf16) {
        return &expert_kernel_avx512bf16;
    }
    if (variant == PERSEUS_VARIANT_AVX512F && features.avx512) {
        return &expert_kernel_avx512f;
    }
    if (variant == PERSEUS_VARIANT_AVX2 && features.avx2_fma) {
        return &expert_kernel_avx2;
    }
#endif
    return NULL;
}

void perseus_expert_multiply_rows(
    const struct perseus_expert_kernel *kernel, const struct perseus_expert_shape *shape,
    const void *packed, const uint16_t *const *rows, int row_count, uint16_t *const *outputs,
    void *scratch) {
    kernel->multiply(shape, packed, rows, outputs, row_count, scratch);
}

void perseus_expert_multiply_contiguous(
    const struct perseus_expert_kernel *kernel, const struct perseus_expert_shape *shape,
    const void *packed, const uint16_t *input, ptrdiff_t input_stride, int row_count,
    uint16_t *output, ptrdiff_t output_stride, void *scratch) {
    const uint16_t *rows[PERSEUS_EXPERT_MAX_ROWS];
    uint16_t *outputs[PERSEUS_EXPERT_MAX_ROWS];
    for (int row = 0; row < row_count; row++) {
        rows[row] = input + row * input_stride;
        outputs[row] = output + row * output_stride;
    }
    kernel->multiply(shape, packed, rows, outputs, row_count, scratch);
}
