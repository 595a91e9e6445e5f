// CPUID says what the processor has, XGETBV which registers the operating system saves: both must
// agree.

#include "processor_features.h"

#include <stdint.h>

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t saved_register_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has_bits(uint64_t word, uint64_t bits) { return (word & bits) == bits; }

struct processor_features detect_processor_features(void) {
    struct processor_features features = {0};
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28;
    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has_bits(ecx, fma | osxsave | avx)) {
        return features;
    }
    const uint64_t ymm_state = 0x06, zmm_state = 0xE6;
    uint64_t saved = saved_register_state();
    if (!has_bits(saved, ymm_state) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        return features;
    }
    const uint32_t avx2 = 1u << 5, f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    uint32_t last_subleaf = eax;
    features.avx2_fma = has_bits(ebx, avx2);
    features.avx512 = features.avx2_fma && has_bits(ebx, f | dq | bw | vl)
        && has_bits(saved, zmm_state);
    if (features.avx512 && last_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) {
        const uint32_t bf16 = 1u << 5;
        features.avx512_bf16 = has_bits(eax, bf16);
    }
    return features;
}

#else

struct processor_features detect_processor_features(void) {
    return (struct processor_features){0};
}

#endif
