// A named array inside a mapped file, and the element types that the format knows.

import PerseusPrimitives

/// The element types of safetensors files; the raw value is the name in the header.
public enum TensorElementType: String, Sendable, CaseIterable {
    case float64 = "F64"
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case float8E4M3 = "F8_E4M3"
    case float8E5M2 = "F8_E5M2"
    case float8E8M0 = "F8_E8M0"
    case int64 = "I64"
    case int32 = "I32"
    case int16 = "I16"
    case int8 = "I8"
    case uint64 = "U64"
    case uint32 = "U32"
    case uint16 = "U16"
    case uint8 = "U8"
    case boolean = "BOOL"

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .float16, .bfloat16, .int16, .uint16: 2
        case .float8E4M3, .float8E5M2, .float8E8M0, .int8, .uint8, .boolean: 1
        }
    }
}

/// A tensor in a mapped file; holding it keeps the mapping alive.
public struct Tensor: Sendable {
    public let name: String
    public let elementType: TensorElementType
    public let shape: [Int]
    public let file: SafetensorsFile
    /// Where the elements lie in the file, in bytes from the file's start.
    let byteRange: Range<Int>

    public var elementCount: Int { shape.reduce(1, *) }

    /// Lends the elements, row-major and little-endian, with no promise about alignment.
    ///
    /// The pointer ends with the call: the file may be unmapped as soon as no tensor of it is left.
    public func withBytes<Result>(
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        try withExtendedLifetime(file) {
            try body(UnsafeRawBufferPointer(rebasing: file.bytes[byteRange]))
        }
    }

    /// Copies the elements of a 16-bit tensor to `out`, which has room for all of them.
    func copyHalves(to out: UnsafeMutablePointer<UInt16>) {
        withBytes {
            UnsafeMutableRawBufferPointer(start: out, count: $0.count).copyMemory(from: $0)
        }
    }

    /// Refuses another element type or shape than the one that the model needs.
    public func require(
        _ types: [TensorElementType], shape expected: [Int]
    ) throws(PerseusError) {
        if !types.contains(elementType) {
            let names = types.map(\.rawValue).joined(separator: " or ")
            throw failure("has element type \(elementType.rawValue), needed is \(names)")
        }
        if shape != expected { throw failure("has shape \(shape), needed is \(expected)") }
    }

    /// A `badInput` error that names the file and the tensor.
    func failure(_ message: String) -> PerseusError {
        PerseusError(.badInput, "\(file.path): tensor '\(name)' \(message)")
    }

    /// The elements as fp32; exact for BF16 and F16.
    func floats() throws(PerseusError) -> [Float] {
        switch elementType {
        case .float32: return elements(Float.self)
        case .bfloat16: return elements(UInt16.self).map { float($0) }
        case .float16: return elements(UInt16.self).map { Float(Float16(bitPattern: $0)) }
        default: throw failure("has element type \(elementType.rawValue), needed is a float")
        }
    }

    /// The elements as values of a type of the same size.
    func elements<Value: BitwiseCopyable>(_ type: Value.Type) -> [Value] {
        precondition(
            MemoryLayout<Value>.size == elementType.byteCount, "Tensor: size of another type")
        return withBytes { bytes in
            (0..<elementCount).map {
                bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Value>.size, as: type)
            }
        }
    }
}
