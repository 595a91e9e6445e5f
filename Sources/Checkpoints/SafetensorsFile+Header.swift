// The checks that stand between a header written by someone else and a pointer into the mapping.

import Foundation
import PerseusPrimitives

extension SafetensorsFile {
    /// The largest header accepted, in bytes; the format's own reader has the same limit.
    private static var headerByteLimit: UInt64 { 100_000_000 }

    /// Reads and checks the header of a mapped file of at least 8 bytes.
    static func parseHeader(
        _ bytes: UnsafeRawBufferPointer, path: String
    ) throws(PerseusError) -> [String: Entry] {
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= headerByteLimit, length <= UInt64(bytes.count - 8) else {
            throw PerseusError(
                .badInput,
                "\(path): not a safetensors file, or truncated: header of \(length) bytes"
                    + " in a file of \(bytes.count) bytes")
        }
        let dataStart = 8 + Int(length)
        let header = Data(UnsafeRawBufferPointer(rebasing: bytes[8..<dataStart]))
        let parsed = try? JSONSerialization.jsonObject(with: header)
        guard let fields = parsed as? [String: Any] else {
            throw PerseusError(.badInput, "\(path): header is not a JSON object")
        }
        var entries: [String: Entry] = [:]
        for name in fields.keys.sorted() where name != "__metadata__" {
            do {
                entries[name] = try parseEntry(
                    fields[name], dataStart: dataStart, fileByteCount: bytes.count)
            } catch {
                throw PerseusError(.badInput, "\(path): tensor '\(name)' \(error.message)")
            }
        }
        try checkOverlap(entries, path: path)
        return entries
    }

    /// One tensor's entry; the error's message continues "tensor 'name' ...".
    private static func parseEntry(
        _ value: Any?, dataStart: Int, fileByteCount: Int
    ) throws(PerseusError) -> Entry {
        let fields = value as? [String: Any] ?? [:]
        guard let typeName = fields["dtype"] as? String else { throw fault("has no dtype") }
        guard let type = TensorElementType(rawValue: typeName) else {
            throw fault("has the unknown dtype '\(typeName)'")
        }
        guard let shape = integers(fields["shape"]), shape.allSatisfy({ $0 >= 0 }) else {
            throw fault("has no valid shape")
        }
        guard let offsets = integers(fields["data_offsets"]), offsets.count == 2 else {
            throw fault("has no valid data_offsets")
        }
        let (start, end) = (offsets[0], offsets[1])
        let dataByteCount = fileByteCount - dataStart
        guard start >= 0, start <= end, end <= dataByteCount else {
            throw fault(
                "has data_offsets \(offsets), outside the \(dataByteCount) data bytes"
                    + " (truncated file?)"
            )
        }
        guard byteCount(shape, type) == end - start else {
            throw fault(
                "has \(end - start) bytes, which is not \(typeName) of shape \(shape)")
        }
        return Entry(
            elementType: type, shape: shape, byteRange: dataStart + start..<dataStart + end)
    }

    /// Bytes of a tensor, or nil when they do not fit an integer.
    private static func byteCount(_ shape: [Int], _ type: TensorElementType) -> Int? {
        var total = type.byteCount
        for dimension in shape {
            let (product, overflow) = total.multipliedReportingOverflow(by: dimension)
            if overflow { return nil }
            total = product
        }
        return total
    }

    private static func checkOverlap(
        _ entries: [String: Entry], path: String
    ) throws(PerseusError) {
        let ordered = entries.filter { !$0.value.byteRange.isEmpty }.sorted {
            ($0.value.byteRange.lowerBound, $0.key) < ($1.value.byteRange.lowerBound, $1.key)
        }
        for (first, second) in zip(ordered, ordered.dropFirst())
        where first.value.byteRange.upperBound > second.value.byteRange.lowerBound {
            throw PerseusError(
                .badInput, "\(path): tensor '\(second.key)' overlaps tensor '\(first.key)'")
        }
    }

    private static func integers(_ value: Any?) -> [Int]? {
        guard let items = value as? [Any] else { return nil }
        let numbers = items.compactMap { $0 as? Int }
        return numbers.count == items.count ? numbers : nil
    }

    private static func fault(_ message: String) -> PerseusError {
        PerseusError(.badInput, message)
    }
}
