// Compiled device code on disk, so that only the first run of a shape compiles.

import Glibc
import PerseusPrimitives

/// A folder of compiled programs that any number of processes share.
///
/// An entry appears complete or not at all, and one that is damaged counts as absent. A folder that
/// cannot be written means only that nothing is kept.
public struct KernelCache: Sendable {
    /// Nil keeps nothing.
    public let directory: String?

    public init(directory: String?) { self.directory = directory }

    /// `PERSEUS_CACHE_DIR`, else `XDG_CACHE_HOME/perseus`, else `~/.cache/perseus`.
    public static func standard() -> KernelCache { standard(environment) }

    static func standard(_ variable: (String) -> String?) -> KernelCache {
        KernelCache(
            directory: variable("PERSEUS_CACHE_DIR")
                ?? variable("XDG_CACHE_HOME").map { "\($0)/perseus" }
                ?? variable("HOME").map { "\($0)/.cache/perseus" })
    }

    /// The program's code: from the cache, or compiled and put there.
    public func compiled(
        _ program: DeviceProgram, by compiler: KernelCompiler
    ) throws(PerseusError) -> CompiledKernels {
        let key = KernelCacheKey(
            program, sources: DeviceSources.all, options: compiler.options,
            compiler: compiler.description)
        return try compiled(key) { () throws(PerseusError) in try compiler.compile(program) }
    }

    func compiled(
        _ key: KernelCacheKey, orElse compile: () throws(PerseusError) -> CompiledKernels
    ) throws(PerseusError) -> CompiledKernels {
        if let kernels = entry(key) { return kernels }
        let kernels = try compile()
        store(kernels, under: key)
        return kernels
    }

    // MARK: Entries

    /// Where the entry of `key` is or will be.
    func path(of key: KernelCacheKey) -> String? { directory.map { "\($0)/\(key.text).kernels" } }

    /// The entry of `key` when it is there and undamaged.
    func entry(_ key: KernelCacheKey) -> CompiledKernels? {
        path(of: key).flatMap { readFile($0) }.flatMap { KernelCacheEntry.decode($0, key) }
    }

    /// Writes under a name that no other writer has, then renames; the last writer wins, and all of
    /// them write the same.
    func store(_ kernels: CompiledKernels, under key: KernelCacheKey) {
        guard let directory, let path = path(of: key) else { return }
        makeFolders(directory)
        let temporary = "\(path).\(UInt64.random(in: 0 ... .max))"
        guard (try? AtomicFile.write(KernelCacheEntry.encode(kernels, key), to: temporary)) != nil
        else { return }
        if rename(temporary, path) != 0 { unlink(temporary) }
    }

    private func makeFolders(_ path: String) {
        var prefix = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            prefix += "/\(part)"
            mkdir(prefix, 0o777)
        }
    }
}

/// Everything that the compiled bytes depend on, as a digest.
struct KernelCacheKey: Hashable, Sendable {
    let digest: [UInt8]

    init(
        _ program: DeviceProgram, sources: [(name: String, text: String)], options: [String],
        compiler: String
    ) {
        var hash = SHA256()
        for text in [compiler, program.source] + options { hash.update(text) }
        hash.update("defines")
        for (name, value) in program.defines {
            hash.update(name)
            hash.update(value)
        }
        hash.update("sources")
        for (name, text) in sources {
            hash.update(name)
            hash.update(text)
        }
        digest = hash.finish()
    }

    /// In hexadecimal, as a file's name.
    var text: String {
        digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}

/// The bytes of a cache entry.
///
///     0   8  "PERSEUSK"
///     8  32  the key, so that a renamed file is not believed
///    40  32  SHA-256 of everything behind it
///    72   8  bytes of the log, little-endian
///    80      the log, then the cubin to the end of the file
enum KernelCacheEntry {
    private static let magic = Array("PERSEUSK".utf8)
    private static let headerByteCount = 72

    static func encode(_ kernels: CompiledKernels, _ key: KernelCacheKey) -> [UInt8] {
        let log = Array(kernels.log.utf8)
        let length = (0..<8).map { UInt8(truncatingIfNeeded: log.count >> (8 * $0)) }
        let payload = length + log + kernels.cubin
        return magic + key.digest + SHA256.digest(payload) + payload
    }

    /// Nil when the bytes are not what `encode` made for this key.
    static func decode(_ bytes: [UInt8], _ key: KernelCacheKey) -> CompiledKernels? {
        guard bytes.count >= headerByteCount + 8, bytes.starts(with: magic),
            Array(bytes[8..<40]) == key.digest
        else { return nil }
        let payload = Array(bytes[headerByteCount...])
        guard SHA256.digest(payload) == Array(bytes[40..<72]) else { return nil }
        let logByteCount = payload[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard logByteCount <= UInt64(payload.count - 8) else { return nil }
        let cubinStart = 8 + Int(logByteCount)
        return CompiledKernels(
            cubin: Array(payload[cubinStart...]),
            log: String(decoding: payload[8..<cubinStart], as: UTF8.self))
    }
}

/// All bytes of a file, nil when it cannot be read.
func readFile(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var filled = 0
    while filled < bytes.count {
        let count = bytes.withUnsafeMutableBytes {
            read(descriptor, $0.baseAddress! + filled, $0.count - filled)
        }
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return nil }
        filled += count
    }
    return bytes
}
