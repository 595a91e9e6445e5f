// bfloat16 as its bit pattern: conversions only, no arithmetic.

/// A bfloat16 bit pattern: the upper half of an IEEE binary32.
public typealias BFloat16Bits = UInt16

/// Rounds to nearest, ties to even; every NaN becomes the quiet NaN 0x7FC0 with the sign kept.
@inlinable @inline(__always)
public func bfloat16(_ value: Float) -> BFloat16Bits {
    let bits = value.bitPattern
    if bits & 0x7FFF_FFFF > 0x7F80_0000 {
        return UInt16(truncatingIfNeeded: bits >> 16) & 0x8000 | 0x7FC0
    }
    let rounding = 0x7FFF &+ ((bits >> 16) & 1)
    return UInt16(truncatingIfNeeded: (bits &+ rounding) >> 16)
}

/// Exact: every bfloat16 is a binary32.
@inlinable @inline(__always)
public func float(_ bits: BFloat16Bits) -> Float {
    Float(bitPattern: UInt32(bits) << 16)
}
