// Safetensors as their format says, read and written without the code under test.

import Foundation

/// A tensor's type name, shape and little-endian bytes.
struct TestTensor: Equatable {
    var type: String
    var shape: [Int]
    var bytes: Data

    init(type: String, shape: [Int], bytes: Data) {
        self.type = type
        self.shape = shape
        self.bytes = bytes
    }

    init<Value: BitwiseCopyable>(_ type: String, _ shape: [Int], _ values: [Value]) {
        self.init(type: type, shape: shape, bytes: values.withUnsafeBytes { Data($0) })
    }

    func values<Value: BitwiseCopyable>(_: Value.Type) -> [Value] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count / MemoryLayout<Value>.size).map {
                raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Value>.size, as: Value.self)
            }
        }
    }
}

/// The tensors of a file by name.
struct TensorFile {
    var tensors: [String: TestTensor] = [:]

    init() {}

    /// Reads the 8-byte header length, the JSON header and the data behind it.
    init(_ file: Data) throws {
        let length = Int(file.prefix(8).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
        let header =
            try JSONSerialization.jsonObject(
                with: file.dropFirst(8).prefix(length)) as? [String: [String: Any]]
        let data = file.dropFirst(8 + length)
        for (name, entry) in header ?? [:] {
            guard let type = entry["dtype"] as? String, let shape = entry["shape"] as? [Int],
                let offsets = entry["data_offsets"] as? [Int]
            else { throw CocoaError(.fileReadCorruptFile) }
            let start = data.startIndex + offsets[0]
            tensors[name] = TestTensor(
                type: type, shape: shape, bytes: Data(data[start..<start + offsets[1] - offsets[0]])
            )
        }
    }

    /// The bytes of a file with the tensors in the order of their names.
    var data: Data {
        var header: [String] = []
        var body = Data()
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            let end = body.count + tensor.bytes.count
            header.append(
                "\"\(name)\":{\"dtype\":\"\(tensor.type)\",\"shape\":\(tensor.shape),"
                    + "\"data_offsets\":[\(body.count),\(end)]}")
            body += tensor.bytes
        }
        var text = "{" + header.joined(separator: ",") + "}"
        while text.utf8.count % 8 != 0 { text += " " }
        var length = UInt64(text.utf8.count)
        return Data(bytes: &length, count: 8) + Data(text.utf8) + body
    }
}
