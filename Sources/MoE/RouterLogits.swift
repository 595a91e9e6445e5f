// The router's dot products: bf16 inputs, float64 sums in a fixed order.

import CExpertKernels

/// `logits[e] = Σ_h x[h] · weight[e, h]` for `expertCount` rows of `hidden` elements.
///
/// The order of the sums is that of `perseus_dot_bf16_f64`, the same on every machine: routing would otherwise
/// depend on where it runs.
func routerLogits(
    _ logits: UnsafeMutablePointer<Double>, x: UnsafePointer<UInt16>,
    weight: UnsafePointer<UInt16>, expertCount: Int, hidden: Int
) {
    perseus_dot_bf16_f64(logits, x, weight, Int32(expertCount), Int32(hidden))
}
