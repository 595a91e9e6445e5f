// A read-only safetensors file, mapped into memory and checked before any tensor is handed out.

import Glibc
import PerseusPrimitives

/// An open safetensors file.
///
/// Layout: 8 bytes of header length (little-endian), that many bytes of JSON, then the tensors'
/// bytes. Every offset and size is checked when the file is opened; afterwards reading a tensor
/// cannot leave the mapping. A file that another process shortens while it is mapped ends this
/// process with SIGBUS: replace checkpoints by rename.
///
/// Threading: immutable after `init`.
public final class SafetensorsFile: @unchecked Sendable {
    public let path: String
    /// The whole file.
    let bytes: UnsafeRawBufferPointer
    private let entries: [String: Entry]

    /// What the header says about one tensor, in bytes from the file's start.
    struct Entry {
        let elementType: TensorElementType
        let shape: [Int]
        let byteRange: Range<Int>
    }

    /// Maps `path` and checks its header.
    ///
    /// - Errors: `badInput` for anything wrong with the file, with its path and the tensor at
    ///   fault.
    public init(path: String) throws(PerseusError) {
        self.path = path
        let mapped = try SafetensorsFile.map(path)
        do {
            entries = try SafetensorsFile.parseHeader(mapped, path: path)
        } catch {
            munmap(UnsafeMutableRawPointer(mutating: mapped.baseAddress), mapped.count)
            throw error
        }
        bytes = mapped
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }

    /// The names of all tensors, sorted.
    public var names: [String] { entries.keys.sorted() }

    /// The tensor called `name`, or nil.
    public func tensor(_ name: String) -> Tensor? {
        guard let entry = entries[name] else { return nil }
        return Tensor(
            name: name, elementType: entry.elementType, shape: entry.shape, file: self,
            byteRange: entry.byteRange)
    }

    private static func map(_ path: String) throws(PerseusError) -> UnsafeRawBufferPointer {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw systemFailure(path, "cannot be opened") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw systemFailure(path, "cannot be read") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw PerseusError(.badInput, "\(path): not a regular file")
        }
        let size = Int(status.st_size)
        guard size >= 8 else {
            throw PerseusError(
                .badInput, "\(path): not a safetensors file: \(size) bytes, truncated header")
        }
        let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard let start, start != MAP_FAILED else { throw systemFailure(path, "cannot be mapped") }
        return UnsafeRawBufferPointer(start: start, count: size)
    }
}

/// An error of the operating system about an input file, with the text of `errno`.
func systemFailure(_ path: String, _ what: String) -> PerseusError {
    PerseusError(.badInput, "\(path): \(what): \(String(cString: strerror(errno)))")
}
