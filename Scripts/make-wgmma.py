#!/usr/bin/env python3
"""Writes Sources/CDeviceKernels/kernels/wgmma.cuh: one multiply_m64k16<N> for each N that the tiles use."""
import pathlib

WIDTHS = (128, 192, 240, 256)
HEADER = '''// Warpgroup matrix multiplication, m64nNk16: both operands BF16 in shared memory, F32 accumulators in registers.
//
// Written by Scripts/make-wgmma.py, because the operand lists are too long to keep right by hand.
#pragma once

namespace perseus {

/// d += A x B^T over 16 columns of K; `a` and `b` are matrix descriptors (see `matrix_descriptor`).
/// `accumulates` = 0 overwrites d. Collective over a warpgroup; asynchronous until `warpgroup_wait`.
template <int N>
__device__ __forceinline__ void multiply_m64k16(
    float (&d)[N / 2], unsigned long a, unsigned long b, int accumulates);
'''


def specialization(width):
    count = width // 2
    rows = [", ".join(f"%{i}" for i in range(first, first + 8)) for first in range(0, count, 8)]
    registers = ",\n".join(rows).split("\n")
    operands = "\n".join(f'        "{row} "' for row in registers)
    groups = [range(first, min(count, first + 6)) for first in range(0, count, 6)]
    outputs = ",\n".join("        " + ", ".join(f'"+f"(d[{i}])' for i in group) for group in groups)
    return f'''
template <>
__device__ __forceinline__ void multiply_m64k16<{width}>(
    float (&d)[{count}], unsigned long a, unsigned long b, int accumulates) {{
    asm volatile(
        "{{\\n.reg .pred p;\\nsetp.ne.b32 p, %{count + 2}, 0;\\n"
        "wgmma.mma_async.sync.aligned.m64n{width}k16.f32.bf16.bf16 {{"
{operands}
        "}}, %{count}, %{count + 1}, p, 1, 1, 0, 0;\\n}}\\n"
        :
{outputs}
        : "l"(a), "l"(b), "r"(accumulates));
}}
'''


target = pathlib.Path(__file__).parent.parent / "Sources/CDeviceKernels/kernels/wgmma.cuh"
target.write_text(HEADER + "".join(map(specialization, WIDTHS)) + "\n}  // namespace perseus\n")
