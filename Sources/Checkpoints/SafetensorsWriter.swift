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

/// Writes tensors to a file in one step that either happens or does not.
///
/// The bytes go to a temporary file in the same folder, which is synced and then renamed over the
/// target. After any failure the temporary file is gone and the old target, if there was one, is
/// untouched.
public struct SafetensorsWriter {
    /// The `write` to use; tests put a failing one here.
    let writeBytes: (Int32, UnsafeRawPointer, Int) -> Int

    public init() { self.init(writeBytes: { Glibc.write($0, $1, $2) }) }

    init(writeBytes: @escaping (Int32, UnsafeRawPointer, Int) -> Int) {
        self.writeBytes = writeBytes
    }

    /// Writes `tensors` to `path`.
    ///
    /// - Errors: `environment` with the path and the system's reason (no space, no permission, no
    ///   such folder).
    public func write(_ tensors: [OutputTensor], to path: String) throws(PerseusError) {
        // Wide elements first, so that every tensor is aligned to its element size.
        let ordered = tensors.enumerated().sorted {
            ($1.element.elementType.byteCount, $0.offset)
                < ($0.element.elementType.byteCount, $1.offset)
        }.map(\.element)
        let temporary = "\(path).\(getpid()).partial"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw SafetensorsWriter.failure(path) }
        do {
            try fill(descriptor, ordered, path)
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        // Some file systems report a full disk only here.
        let isClosed = close(descriptor) == 0
        if !isClosed || rename(temporary, path) != 0 {
            let error = SafetensorsWriter.failure(path)
            unlink(temporary)
            throw error
        }
    }

    private func fill(
        _ descriptor: Int32, _ tensors: [OutputTensor], _ path: String
    ) throws(PerseusError) {
        var header = Array(SafetensorsWriter.header(tensors).utf8)
        while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
        var length = UInt64(header.count).littleEndian
        try withUnsafeBytes(of: &length) { bytes throws(PerseusError) in
            try writeAll(descriptor, bytes, path)
        }
        try header.span.bytes.withUnsafeBytes { bytes throws(PerseusError) in
            try writeAll(descriptor, bytes, path)
        }
        for tensor in tensors {
            try tensor.withBytes { bytes throws(PerseusError) in
                try writeAll(descriptor, bytes, path)
            }
        }
        guard fsync(descriptor) == 0 else { throw SafetensorsWriter.failure(path) }
    }

    private func writeAll(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ path: String
    ) throws(PerseusError) {
        var remaining = bytes
        while let start = remaining.baseAddress, !remaining.isEmpty {
            let written = writeBytes(descriptor, start, remaining.count)
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { throw SafetensorsWriter.failure(path) }
            remaining = UnsafeRawBufferPointer(rebasing: remaining.dropFirst(written))
        }
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

    private static func failure(_ path: String) -> PerseusError {
        PerseusError(
            .environment, "\(path): cannot be written: \(String(cString: strerror(errno)))")
    }
}
