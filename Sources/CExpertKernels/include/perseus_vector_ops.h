// Small operations on rows of bfloat16 around the expert kernels.
//
// Every function gives the same bits on every machine: products and sums are rounded one by one, in
// the order that is written here, whatever instructions carry them out. NaN inputs give NaN
// outputs.
//
// Threading: reentrant.

#pragma once

#include <stdint.h>

/// Fills `out` with elements `first_index` ... `first_index + count - 1` of the random sequence
/// `seed`.
///
/// An element is a function of (seed, index) alone, so a sequence may be filled in pieces and by
/// several threads. Distribution: the sum of the four bytes of a 32-bit hash, centred and scaled to
/// a standard deviation of `scale`: 1021 levels, near normal, within 3.45 standard deviations,
/// rounded to bfloat16.
void perseus_fill_random_bf16(
    uint16_t *out, uint64_t count, uint64_t seed, uint64_t first_index, float scale);

/// out[h] = Σ_j weights[j] · rows[j][h] in ascending j < k, and then + shared[h] unless
/// `shared_or_null` is null; binary32, starting from +0. `out` overlaps no input.
void perseus_combine_row(
    float *out, const uint16_t *const *rows, const float *weights, int k,
    const uint16_t *shared_or_null, int hidden);

/// out[h] = in[h] · scale, rounded to nearest even. `out` may be `in`.
void perseus_scale_row_bf16(uint16_t *out, const uint16_t *in, float scale, int hidden);

/// out[e] = Σ_h x[h] · w[e, h] for e < rows, in float64; `w` is [rows, hidden].
///
/// Lane l of 8 sums the products with h mod 8 = l in ascending h; then the lanes are added as
/// ((0+4) + (2+6)) + ((1+5) + (3+7)). A product of two bfloat16 is exact in float64, so a fused
/// multiply-add changes nothing.
void perseus_dot_bf16_f64(double *out, const uint16_t *x, const uint16_t *w, int rows, int hidden);
