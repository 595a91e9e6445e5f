// Each operation is written once, inlined into a body per instruction set, and chosen at run time.
// The bodies differ in vector width only: their operations on an element, and so its bits, are the
// same.

#include "perseus_vector_ops.h"

#include <stdatomic.h>
#include <string.h>

#include "processor_features.h"

#pragma STDC FP_CONTRACT OFF

// Vectors wider than the base instruction set are passed to inlined functions only: no ABI is
// concerned.
#pragma clang diagnostic ignored "-Wpsabi"

#define INLINED static inline __attribute__((always_inline))

// MARK: Choice of the instruction set

#if defined(__x86_64__)

enum vector_width { WIDTH_UNKNOWN = 0, WIDTH_BASE, WIDTH_AVX2, WIDTH_AVX512 };

/// Asked once; threads that ask at the same time get and store the same answer.
static enum vector_width vector_width(void) {
    static _Atomic int remembered = WIDTH_UNKNOWN;
    int width = atomic_load_explicit(&remembered, memory_order_relaxed);
    if (width == WIDTH_UNKNOWN) {
        struct processor_features features = detect_processor_features();
        width = features.avx512 ? WIDTH_AVX512 : features.avx2_fma ? WIDTH_AVX2 : WIDTH_BASE;
        atomic_store_explicit(&remembered, width, memory_order_relaxed);
    }
    return (enum vector_width)width;
}

/// Defines `name`, which runs `name_body` compiled for the best instruction set of this machine.
#define DEFINE_FOR_EVERY_WIDTH(name, parameters, arguments)                                        \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))                                  \
    static void name##_avx512 parameters { name##_body arguments; }                                \
    __attribute__((target("avx2,fma")))                                                            \
    static void name##_avx2 parameters { name##_body arguments; }                                  \
    void name parameters {                                                                         \
        switch (vector_width()) {                                                                  \
            case WIDTH_AVX512: name##_avx512 arguments; break;                                     \
            case WIDTH_AVX2: name##_avx2 arguments; break;                                         \
            default: name##_body arguments; break;                                                 \
        }                                                                                          \
    }

#else

#define DEFINE_FOR_EVERY_WIDTH(name, parameters, arguments)                                        \
    void name parameters { name##_body arguments; }

#endif

// MARK: bfloat16

INLINED float widen(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/// Rounds to nearest even; every NaN becomes the quiet NaN 0x7FC0 with its sign.
INLINED uint16_t round_to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    uint32_t quiet = ((bits >> 16) & 0x8000) | 0x7FC0;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

// MARK: Random

/// The finaliser of splitmix64.
static uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return value ^ (value >> 31);
}

/// Two 32-bit keys hash the low half of an index; the multipliers are those of Wellons' lowbias32.
INLINED float random_element(uint32_t index, uint32_t key0, uint32_t key1, float step) {
    uint32_t hash = index ^ key0;
    hash = (hash ^ (hash >> 16)) * 0x7FEB352D + key1;
    hash = (hash ^ (hash >> 15)) * 0x846CA68B;
    hash ^= hash >> 16;
    uint32_t pairs = (hash & 0x00FF00FF) + ((hash >> 8) & 0x00FF00FF);
    int32_t sum = (int32_t)((pairs & 0xFFFF) + (pairs >> 16));
    return (float)(sum - 510) * step;
}

INLINED void perseus_fill_run_body(
    uint16_t *restrict out, uint64_t count, uint32_t first, uint32_t key0, uint32_t key1,
    float step) {
    for (uint64_t offset = 0; offset < count; offset++) {
        float value = random_element(first + (uint32_t)offset, key0, key1, step);
        out[offset] = round_to_bfloat16(value);
    }
}

static void perseus_fill_run(
    uint16_t *out, uint64_t count, uint32_t first, uint32_t key0, uint32_t key1, float step);
DEFINE_FOR_EVERY_WIDTH(
    perseus_fill_run,
    (uint16_t * out, uint64_t count, uint32_t first, uint32_t key0, uint32_t key1, float step),
    (out, count, first, key0, key1, step))

void perseus_fill_random_bf16(
    uint16_t *out, uint64_t count, uint64_t seed, uint64_t first_index, float scale) {
    // The sum of four bytes has variance 4 (256² - 1) / 12 = 21845.
    const float step = scale * 0.0067658636f;
    while (count > 0) {
        // Indices with one upper half share their keys.
        uint64_t until_carry = ((uint64_t)1 << 32) - (uint32_t)first_index;
        uint64_t run = count < until_carry ? count : until_carry;
        uint64_t keys = mix(mix(seed + 0x9E3779B97F4A7C15) ^ (first_index >> 32));
        uint32_t key0 = (uint32_t)keys, key1 = (uint32_t)(keys >> 32);
        perseus_fill_run(out, run, (uint32_t)first_index, key0, key1, step);
        out += run;
        first_index += run;
        count -= run;
    }
}

// MARK: Combine and scale

INLINED void perseus_combine_row_body(
    float *restrict out, const uint16_t *const *rows, const float *weights, int k,
    const uint16_t *shared_or_null, int hidden) {
    memset(out, 0, (size_t)hidden * sizeof *out);
    for (int j = 0; j < k; j++) {
        const uint16_t *restrict row = rows[j];
        const float weight = weights[j];
        for (int h = 0; h < hidden; h++) {
            out[h] += weight * widen(row[h]);
        }
    }
    if (shared_or_null != NULL) {
        const uint16_t *restrict shared = shared_or_null;
        for (int h = 0; h < hidden; h++) {
            out[h] += widen(shared[h]);
        }
    }
}

DEFINE_FOR_EVERY_WIDTH(
    perseus_combine_row,
    (float *out, const uint16_t *const *rows, const float *weights, int k,
     const uint16_t *shared_or_null, int hidden),
    (out, rows, weights, k, shared_or_null, hidden))

INLINED void perseus_scale_row_bf16_body(
    uint16_t *out, const uint16_t *in, float scale, int hidden) {
    for (int h = 0; h < hidden; h++) {
        out[h] = round_to_bfloat16(widen(in[h]) * scale);
    }
}

DEFINE_FOR_EVERY_WIDTH(
    perseus_scale_row_bf16, (uint16_t * out, const uint16_t *in, float scale, int hidden),
    (out, in, scale, hidden))

// MARK: Dot products

#define DOT_LANES 8
/// Rows of w whose sums are kept in registers together, so that their additions overlap.
#define DOT_ROWS 4

typedef uint16_t halves __attribute__((ext_vector_type(DOT_LANES)));
typedef uint32_t words __attribute__((ext_vector_type(DOT_LANES)));
typedef float floats __attribute__((ext_vector_type(DOT_LANES)));
typedef double doubles __attribute__((ext_vector_type(DOT_LANES)));

/// Up to 8 elements as float64; lanes from `count` on are zero.
INLINED doubles load_doubles(const uint16_t *source, int count) {
    halves bits = (halves)0;
    memcpy(&bits, source, (size_t)count * sizeof *source);
    return __builtin_convertvector((floats)(__builtin_convertvector(bits, words) << 16), doubles);
}

/// `row_count` is a constant wherever this is inlined, so the sums live in registers.
INLINED void dot_group(
    double *out, const uint16_t *x, const uint16_t *w, int row_count, int hidden) {
    doubles sums[DOT_ROWS];
    for (int row = 0; row < row_count; row++) {
        sums[row] = (doubles)0.0;
    }
    int whole = hidden - hidden % DOT_LANES;
    for (int h = 0; h < whole; h += DOT_LANES) {
        doubles left = load_doubles(x + h, DOT_LANES);
#pragma clang loop unroll(full)
        for (int row = 0; row < row_count; row++) {
            sums[row] += left * load_doubles(w + (size_t)row * hidden + h, DOT_LANES);
        }
    }
    for (int row = 0; row < row_count; row++) {
        doubles s = sums[row];
        if (whole < hidden) {
            int rest = hidden - whole;
            const uint16_t *right = w + (size_t)row * hidden + whole;
            s += load_doubles(x + whole, rest) * load_doubles(right, rest);
        }
        out[row] = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    }
}

INLINED void perseus_dot_bf16_f64_body(
    double *out, const uint16_t *x, const uint16_t *w, int rows, int hidden) {
    int row = 0;
    for (; row + DOT_ROWS <= rows; row += DOT_ROWS) {
        dot_group(out + row, x, w + (size_t)row * hidden, DOT_ROWS, hidden);
    }
    for (; row < rows; row++) {
        dot_group(out + row, x, w + (size_t)row * hidden, 1, hidden);
    }
}

DEFINE_FOR_EVERY_WIDTH(
    perseus_dot_bf16_f64, (double *out, const uint16_t *x, const uint16_t *w, int rows, int hidden),
    (out, x, w, rows, hidden))
