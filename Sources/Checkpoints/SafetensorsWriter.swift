// Writes a safetensors file so that a reader sees the whole file or none.

import Glibc
import PerseusMoE
import PerseusPrimitives

/// A tensor to be written.
public struct OutputTensor: Sendable {
    /// The elements, row-major.
    public enum Elements: Sendable {
        case float32([Float])
        case int32([Int32])
        case bfloat16(BFloat16Buffer)
    }

    public let name: String
    public let shape: [Int]
    public let elements: Elements

    /// - Precondition: `shape` has as many elements as are given.
    public init(name: String, shape: [Int], elements: Elements) {
        self.name = name
        self.shape = shape
        self.elements = elements
        precondition(
            shape.reduce(1, *) * elementType.byteCount == byteCount,
            "OutputTensor: shape and elements differ")
    }

    var elementType: TensorElementType {
        switch elements {
        case .float32: .float32
        case .int32: .int32
        case .bfloat16: .bfloat16
        }
    }

    var byteCount: Int {
        switch elements {
        case .float32(let values): values.count * 4
        case .int32(let values): values.count * 4
        case .bfloat16(let buffer): buffer.count * 2
        }
    }

    func withBytes<Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        switch elements {
        case .float32(let values):
            try values.span.bytes.withUnsafeBytes(body)
        case .int32(let values):
            try values.span.bytes.withUnsafeBytes(body)
        case .bfloat16(let buffer):
            try body(UnsafeRawBufferPointer(start: buffer.elements, count: buffer.count * 2))
        }
    }
}

/// Writes tensors to a file in one step that either happens or does not; see `AtomicFile`.
public struct SafetensorsWriter {
    /// The `write` to use; tests put a failing one here.
    let systemWrite: AtomicFile.SystemWrite

    public init() { self.init(systemWrite: { Glibc.write($0, $1, $2) }) }

    init(systemWrite: @escaping AtomicFile.SystemWrite) { self.systemWrite = systemWrite }

    /// Writes `tensors` to `path`.
    ///
    /// - Throws: `badInput` for a path that cannot be written, `environment` for a full or failing
    ///   disk.
    public func write(_ tensors: [OutputTensor], to path: String) throws(PerseusError) {
        try AtomicFile.write(to: path, using: systemWrite) { output throws(PerseusError) in
            try SafetensorsWriter.serialize(tensors) { bytes throws(PerseusError) in
                try output.write(bytes)
            }
        }
    }

    /// Gives the bytes of a safetensors file of `tensors` to `sink`, piece by piece and in order.
    ///
    /// For callers with a destination of their own; wide elements stand first, so that every tensor
    /// is aligned to its element size.
    public static func serialize(
        _ tensors: [OutputTensor],
        to sink: (UnsafeRawBufferPointer) throws(PerseusError) -> Void
    ) throws(PerseusError) {
        let ordered = tensors.enumerated().sorted {
            ($1.element.elementType.byteCount, $0.offset)
                < ($0.element.elementType.byteCount, $1.offset)
        }.map(\.element)
        var header = Array(SafetensorsWriter.header(ordered).utf8)
        while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
        var length = UInt64(header.count).littleEndian
        try withUnsafeBytes(of: &length, sink)
        try header.span.bytes.withUnsafeBytes(sink)
        for tensor in ordered { try tensor.withBytes(sink) }
    }

    private static func header(_ tensors: [OutputTensor]) -> String {
        var offset = 0
        let entries = tensors.map { tensor in
            let end = offset + tensor.byteCount
            defer { offset = end }
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            return "\"\(escaped(tensor.name))\":{\"dtype\":\"\(tensor.elementType.rawValue)\","
                + "\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}"
        }
        return "{" + entries.joined(separator: ",") + "}"
    }

    /// A name inside a JSON string.
    private static func escaped(_ name: String) -> String {
        name.unicodeScalars.map { scalar in
            switch scalar {
            case "\"", "\\": "\\\(scalar)"
            case "\u{0}"..."\u{1F}":
                "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: String(scalar)
            }
        }.joined()
    }
}
