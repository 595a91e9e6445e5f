// The smallest kernel: whether compiler, driver and device work together.
#include "perseus_base.h"

#ifndef PERSEUS_PROBE_FACTOR
#define PERSEUS_PROBE_FACTOR 2
#endif

/// values[i] = values[i] * PERSEUS_PROBE_FACTOR + addend
extern "C" __global__ void __launch_bounds__(256)
perseus_probe(uint32_t *values, uint32_t count, uint32_t addend) {
    const uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count) values[index] = values[index] * PERSEUS_PROBE_FACTOR + addend;
}
