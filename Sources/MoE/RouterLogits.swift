// The router's dot products: bf16 inputs, float64 sums in a fixed order.

/// `logits[e] = Σ_h x[h] · weight[e, h]` for `expertCount` rows of `hidden` elements.
///
/// A product of two bf16 is exact in float64, so only the order of the sums matters, and a fused
/// multiply-add changes nothing. Lane `j` of eight adds the elements `h ≡ j (mod 8)` in ascending
/// order; the lanes are then added as `((0+4)+(2+6)) + ((1+5)+(3+7))`. Every implementation must
/// keep this order: routing would otherwise depend on the machine.
@inlinable
func routerLogits(
    _ logits: UnsafeMutablePointer<Double>, x: UnsafePointer<UInt16>,
    weight: UnsafePointer<UInt16>, expertCount: Int, hidden: Int
) {
    for expert in 0..<expertCount {
        logits[expert] = routerDot(x, weight + expert * hidden, hidden)
    }
}

@inlinable
func routerDot(_ x: UnsafePointer<UInt16>, _ w: UnsafePointer<UInt16>, _ count: Int) -> Double {
    var l0 = 0.0, l1 = 0.0, l2 = 0.0, l3 = 0.0, l4 = 0.0, l5 = 0.0, l6 = 0.0, l7 = 0.0
    @inline(__always) func product(_ index: Int) -> Double {
        Double(Float(bitPattern: UInt32(x[index]) << 16))
            * Double(Float(bitPattern: UInt32(w[index]) << 16))
    }
    var h = 0
    while h &+ 8 <= count {
        l0 += product(h)
        l1 += product(h &+ 1)
        l2 += product(h &+ 2)
        l3 += product(h &+ 3)
        l4 += product(h &+ 4)
        l5 += product(h &+ 5)
        l6 += product(h &+ 6)
        l7 += product(h &+ 7)
        h &+= 8
    }
    // Fewer than eight elements are left; each goes to the lane of its remainder.
    if h < count { l0 += product(h) }
    if h &+ 1 < count { l1 += product(h &+ 1) }
    if h &+ 2 < count { l2 += product(h &+ 2) }
    if h &+ 3 < count { l3 += product(h &+ 3) }
    if h &+ 4 < count { l4 += product(h &+ 4) }
    if h &+ 5 < count { l5 += product(h &+ 5) }
    if h &+ 6 < count { l6 += product(h &+ 6) }
    return ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7))
}
