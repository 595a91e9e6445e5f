// Numbers, texts and byte blocks in a row, little-endian: what processes say to each other.

/// Appends values to bytes.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// The length in 32 bits, then the bytes.
    public mutating func append(_ block: [UInt8]) {
        append(UInt32(block.count))
        bytes.append(contentsOf: block)
    }

    public mutating func append(_ text: String) { append(Array(text.utf8)) }

    /// The elements as they lie in memory, without a length.
    public mutating func append<Element: BitwiseCopyable>(
        elements: UnsafeBufferPointer<Element>
    ) {
        bytes.append(contentsOf: UnsafeRawBufferPointer(elements))
    }
}

/// Takes values from bytes that somebody else made: nil where they end too early, never a trap.
public struct ByteReader: Sendable {
    private let bytes: [UInt8]
    private var position = 0

    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    public var remainingByteCount: Int { bytes.count - position }
    public var isAtEnd: Bool { remainingByteCount == 0 }

    public mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type) -> Value? {
        let size = MemoryLayout<Value>.size
        guard remainingByteCount >= size else { return nil }
        var value = Value.zero
        for index in 0..<size {
            value |= Value(truncatingIfNeeded: bytes[position + index]) << (8 * index)
        }
        position += size
        return value
    }

    /// `count` bytes without a length before them.
    public mutating func raw(_ count: Int) -> [UInt8]? {
        guard count >= 0, remainingByteCount >= count else { return nil }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    public mutating func block() -> [UInt8]? {
        guard let count = integer(UInt32.self) else { return nil }
        return raw(Int(count))
    }

    /// nil also for bytes that are not UTF-8.
    public mutating func text() -> String? {
        block().flatMap { String(validating: $0, as: UTF8.self) }
    }

    /// Fills `target` as `ByteWriter.append(elements:)` wrote it; false, and nothing filled, when bytes are missing.
    public mutating func read<Element: BitwiseCopyable>(
        into target: UnsafeMutableBufferPointer<Element>
    ) -> Bool {
        let count = target.count * MemoryLayout<Element>.stride
        guard remainingByteCount >= count else { return false }
        bytes.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(target).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: $0[position..<position + count]))
        }
        position += count
        return true
    }
}
