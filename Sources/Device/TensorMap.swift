// Descriptors with which the device's copy engine finds boxes of a matrix.

import CCUDA
import PerseusPrimitives

/// A `CUtensorMap`: 128 opaque bytes, passed by value as a `__grid_constant__` parameter.
public struct TensorMap: BitwiseCopyable, Sendable {
    /// What the device demands of an address of a map.
    public static var alignment: Int { 64 }

    private let words: InlineArray<16, UInt64>

    fileprivate init(reading pointer: UnsafeRawPointer) {
        words = pointer.load(as: InlineArray<16, UInt64>.self)
    }
}

extension CUDADevice {
    /// Describes a row-major matrix of bfloat16 in device memory, read in boxes that arrive in
    /// shared memory with the 128-byte swizzle. What lies outside of the matrix reads as zero.
    ///
    /// - Precondition: `boxColumns` is at most 64, which are 128 bytes, `boxRows` at most 256.
    public func tensorMap2D(
        address: UInt64, rows: Int, columns: Int, rowStrideBytes: Int, boxRows: Int, boxColumns: Int
    ) throws(PerseusError) -> TensorMap {
        precondition(rows > 0 && columns > 0, "a tensor map of \(rows) x \(columns)")
        precondition(address % 16 == 0 && rowStrideBytes % 16 == 0, "TMA needs 16-byte alignment")
        precondition((1...256).contains(boxRows) && (1...64).contains(boxColumns), "TMA box")
        let storage = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<TensorMap>.size, alignment: TensorMap.alignment)
        defer { storage.deallocate() }
        let sizes = [UInt64(columns), UInt64(rows)]
        let strides = [UInt64(rowStrideBytes)]
        let box = [UInt32(boxColumns), UInt32(boxRows)]
        let elementStrides: [UInt32] = [1, 1]
        let status = driver.calls.cuTensorMapEncodeTiled(
            storage, CInt(PERSEUS_CUDA_TENSOR_BFLOAT16), 2,
            UnsafeMutableRawPointer(bitPattern: UInt(address)), sizes, strides, box, elementStrides,
            CInt(PERSEUS_CUDA_TENSOR_NO_INTERLEAVE), CInt(PERSEUS_CUDA_TENSOR_SWIZZLE_128B),
            CInt(PERSEUS_CUDA_TENSOR_L2_PROMOTION_256B), CInt(PERSEUS_CUDA_TENSOR_FILL_ZERO))
        guard status == 0 else {
            throw driver.error(
                status,
                "cuTensorMapEncodeTiled of \(rows) x \(columns) in \(boxRows) x \(boxColumns)")
        }
        return TensorMap(reading: storage)
    }
}
