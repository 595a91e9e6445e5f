// The parameters of one kernel launch, laid out as the kernel's parameter list is.

/// Values of a kernel's parameters, in order.
public struct LaunchArguments: Sendable {
    private(set) var bytes: [UInt8] = []
    /// Where each parameter starts in `bytes`.
    private(set) var offsets: [Int] = []

    public init() {}

    public mutating func append(_ value: UInt64) { append(value, alignment: 8) }

    public mutating func append(_ value: UInt32) { append(value, alignment: 4) }

    /// A struct whose layout is that of the kernel's parameter.
    public mutating func append<Value: BitwiseCopyable>(_ value: Value) {
        append(value, alignment: MemoryLayout<Value>.alignment)
    }

    /// A map for a `const __grid_constant__` parameter.
    public mutating func append(_ map: TensorMap) { append(map, alignment: TensorMap.alignment) }

    /// A value that the kernel expects on a boundary wider than Swift's.
    public mutating func append<Value: BitwiseCopyable>(_ value: Value, alignment: Int) {
        precondition(alignment > 0 && alignment & (alignment - 1) == 0, "alignment \(alignment)")
        let start = (bytes.count + alignment - 1) & -alignment
        bytes += [UInt8](repeating: 0, count: start - bytes.count)
        offsets.append(start)
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    /// Calls `body` with a pointer to each value, aligned as far as 128 bytes.
    func withPointers<Result, Failure: Error>(
        _ body: ([UnsafeRawPointer]) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let storage = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(bytes.count, 1), alignment: 128)
        defer { storage.deallocate() }
        storage.copyBytes(from: bytes)
        let start = UnsafeRawPointer(storage.baseAddress!)
        return try body(offsets.map { start + $0 })
    }
}
