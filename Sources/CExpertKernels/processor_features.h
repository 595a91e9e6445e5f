// Which instruction sets the processor has and the operating system saves.

#pragma once

#include <stdbool.h>

struct processor_features {
    bool avx2_fma;
    /// F, BW, DQ and VL: every processor with AVX-512 that is still in service.
    bool avx512;
    bool avx512_bf16;
};

/// Asks the processor; on anything but x86-64 every feature is absent.
struct processor_features detect_processor_features(void);
