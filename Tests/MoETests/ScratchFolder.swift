// Files made wrong on purpose, in a folder that goes away with its test.

import Foundation
import PerseusCheckpoints
import PerseusPrimitives

/// A fresh folder, removed at the end of the test that owns it.
final class ScratchFolder {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory
            .appendingPathComponent("perseus-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The names of the files in the folder, sorted.
    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    /// Writes `text` and returns the file's path.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try write(name, Data(text.utf8))
    }

    @discardableResult
    func write(_ name: String, _ data: Data) throws -> String {
        let file = path + "/" + name
        try data.write(to: URL(fileURLWithPath: file))
        return file
    }

    /// A safetensors file with any header and `dataByteCount` zeros behind it.
    func safetensors(_ name: String, header: String, dataByteCount: Int = 0) throws -> String {
        var length = UInt64(header.utf8.count).littleEndian
        let start = Data(bytes: &length, count: 8)
        return try write(name, start + Data(header.utf8) + Data(count: dataByteCount))
    }

    /// A valid safetensors file of zeros.
    func zeros(
        _ name: String, _ tensors: [(name: String, type: String, shape: [Int])]
    ) throws -> String {
        var offset = 0
        let entries = tensors.map { tensor in
            let size = TensorElementType(rawValue: tensor.type)?.byteCount ?? 0
            let end = offset + tensor.shape.reduce(size, *)
            defer { offset = end }
            return "\"\(tensor.name)\":{\"dtype\":\"\(tensor.type)\",\"shape\":\(tensor.shape),"
                + "\"data_offsets\":[\(offset),\(end)]}"
        }
        let header = "{" + entries.joined(separator: ",") + "}"
        return try safetensors(name, header: header, dataByteCount: offset)
    }
}
