// The kernels that were compiled into this build.

#pragma once

#include "perseus_expert_kernels.h"

#if defined(__x86_64__)
extern const struct perseus_expert_kernel expert_kernel_avx512bf16;
extern const struct perseus_expert_kernel expert_kernel_avx512f;
extern const struct perseus_expert_kernel expert_kernel_avx2;
#endif
extern const struct perseus_expert_kernel expert_kernel_portable;
