// Activation and rounding on vectors of LANES floats: the same operations in the same order for
// every instruction set. The including file defines LANES and `floats`.

#include <stdint.h>

#pragma STDC FP_CONTRACT OFF

typedef uint32_t words __attribute__((ext_vector_type(LANES)));
typedef int32_t masks __attribute__((ext_vector_type(LANES)));
typedef uint16_t halves __attribute__((ext_vector_type(LANES)));

#define VECTOR_FUNCTION static inline __attribute__((always_inline))

VECTOR_FUNCTION floats select_floats(masks mask, floats yes, floats no) {
    return (floats)(((masks)yes & mask) | ((masks)no & ~mask));
}

/// The smaller of value and bound; a NaN value stays.
VECTOR_FUNCTION floats at_most(floats value, float bound) {
    return select_floats(value > (floats)bound, (floats)bound, value);
}

/// The larger of value and bound; a NaN value stays.
VECTOR_FUNCTION floats at_least(floats value, float bound) {
    return select_floats(value < (floats)bound, (floats)bound, value);
}

/// exp for -87 <= x <= 87 within 2 units in the last place; NaN gives NaN.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts so that r is exact enough, and the
/// degree-7 polynomial of the Cephes library for exp(r).
VECTOR_FUNCTION floats exponential(floats x) {
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the significand.
    const float shifter = 12582912.0f;
    floats shifted = x * 1.44269504088896341f + shifter;
    floats n = shifted - shifter;
    floats r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    floats p = (floats)1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    // 0x4B400000 is the shifter; what lies above it is n. For NaN the scale is arbitrary and p
    // stays NaN.
    words scale = ((words)shifted - 0x4B400000u + 127u) << 23;
    return p * (floats)scale;
}

/// value * sigmoid(slope * value). Below -87 the sigmoid, there under 2e-38, counts as 0, and the
/// value is kept finite: the limit is a zero and not infinity times zero.
VECTOR_FUNCTION floats gated(floats value, float slope) {
    floats x = value * slope;
    floats sigmoid = 1.0f / (1.0f + exponential(-at_most(at_least(x, -87.0f), 87.0f)));
    sigmoid = select_floats(x < (floats)-87.0f, (floats)0.0f, sigmoid);
    return at_least(value, -3.0e38f) * sigmoid;
}

VECTOR_FUNCTION floats activate_silu(floats gate, floats up) {
    return gated(gate, 1.0f) * up;
}

VECTOR_FUNCTION floats activate_clamped(floats gate, floats up, float alpha, float limit) {
    floats bounded = at_least(at_most(up, limit), -limit);
    return (bounded + 1.0f) * gated(at_most(gate, limit), alpha);
}

/// Rounds to nearest, ties to even; every NaN becomes the quiet NaN 0x7FC0 with its sign.
VECTOR_FUNCTION halves round_to_bfloat16(floats value) {
    words bits = (words)value;
    words rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    words quiet = ((bits >> 16) & 0x8000u) | 0x7FC0u;
    words is_nan = (words)(value != value);
    return __builtin_convertvector((quiet & is_nan) | (rounded & ~is_nan), halves);
}
