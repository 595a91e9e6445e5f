// Memory that processes of one machine share without giving it a name: nothing is left behind, whoever is killed.

import CPerseusShims
import Glibc
import PerseusPrimitives

/// A mapped memory file. Its pages live until the last process that maps it is gone.
///
/// Pages that nobody touches cost no memory. The size is sealed, so a mapping cannot lose its pages.
public final class SharedMemory: @unchecked Sendable {
    public let base: UnsafeMutableRawPointer
    public let byteCount: Int
    /// Of the process that created it: what others open; -1 elsewhere.
    public let descriptor: Int32

    /// Zeros that only this process knows of.
    ///
    /// - Errors: `environment` when the system refuses.
    public init(creating name: String, byteCount: Int) throws(PerseusError) {
        let descriptor = perseus_shared_memory_create(name, byteCount)
        guard descriptor >= 0 else {
            throw Self.failure("create", byteCount, code: -descriptor)
        }
        guard perseus_seal_size(descriptor) == 0,
            let base = perseus_shared_memory_map(descriptor, byteCount)
        else {
            let code = errno
            close(descriptor)
            throw Self.failure("map", byteCount, code: code)
        }
        self.descriptor = descriptor
        self.base = base
        self.byteCount = byteCount
    }

    /// What `owner` created in another process of this machine and user.
    ///
    /// - Errors: `environment` when it cannot be opened, or is not a sealed file of that size.
    public init(
        process: Int32, descriptor number: Int32, byteCount: Int, owner: String
    ) throws(PerseusError) {
        let file = open("/proc/\(process)/fd/\(number)", O_RDWR | O_CLOEXEC)
        guard file >= 0 else {
            throw PerseusError(
                .environment,
                "cannot open the memory of \(owner): \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_size == byteCount,
            perseus_is_size_sealed(file) == 1
        else {
            throw PerseusError(
                .environment, "the memory of \(owner) is not what it said: another process's file")
        }
        guard let base = perseus_shared_memory_map(file, byteCount) else {
            throw Self.failure("map", byteCount, code: errno)
        }
        descriptor = -1
        self.base = base
        self.byteCount = byteCount
    }

    deinit {
        _ = perseus_shared_memory_unmap(base, byteCount)
        if descriptor >= 0 { close(descriptor) }
    }

    private static func failure(_ verb: String, _ byteCount: Int, code: Int32) -> PerseusError {
        PerseusError(
            .environment,
            "cannot \(verb) \(byteCount) bytes of shared memory: \(String(cString: strerror(code)))",
            hint: "try fewer tokens or --heap-limit")
    }
}
