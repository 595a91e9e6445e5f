// Random bf16 arrays as a pure function of seed and index, made at memory speed.

import CExpertKernels

/// Fills `out[0 ..< count]` with random bf16 of mean 0 and standard deviation `scale`.
///
/// Element `i` is a function of (`seed`, `i`) alone: a prefix of a longer fill is the shorter fill. The distribution
/// is that of `perseus_fill_random_bf16`.
public func fillRandomBFloat16(
    _ out: UnsafeMutablePointer<UInt16>, count: Int, seed: UInt64, scale: Float
) {
    precondition(count >= 0, "fillRandomBFloat16: count is negative")
    perseus_fill_random_bf16(out, UInt64(count), seed, 0, scale)
}

/// Element `index` of `fillRandomBFloat16` with the same seed and scale.
public func randomBFloat16(_ index: Int, seed: UInt64, scale: Float) -> UInt16 {
    var element: UInt16 = 0
    perseus_fill_random_bf16(&element, 1, seed, UInt64(index), scale)
    return element
}
