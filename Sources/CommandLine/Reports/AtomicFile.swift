// Files that appear complete or not at all.

import Glibc
import PerseusPrimitives

/// Writes through a temporary file in the same directory, then renames it.
public enum AtomicFile {
    /// Appends bytes to the file being written.
    public struct Output: ~Copyable {
        fileprivate let descriptor: CInt
        fileprivate let path: String

        /// Writes all of `bytes`, however many calls that takes.
        public mutating func write(_ bytes: UnsafeRawBufferPointer) throws(PerseusError) {
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = Glibc.write(
                    descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written < 0 {
                    if errno == EINTR { continue }
                    throw failure(path, errno)
                }
                rest = rest.dropFirst(written)
            }
        }

        public mutating func write(_ bytes: [UInt8]) throws(PerseusError) {
            let result: Result<Void, PerseusError> = bytes.withUnsafeBytes { buffer in
                do throws(PerseusError) {
                    return .success(try write(buffer))
                } catch {
                    return .failure(error)
                }
            }
            try result.get()
        }
    }

    /// Writes `bytes` to `path`; `-` is the standard output.
    public static func write(_ bytes: [UInt8], to path: String) throws(PerseusError) {
        try write(to: path) { (output) throws(PerseusError) in try output.write(bytes) }
    }

    /// Calls `fill` with an empty file and moves it to `path` when everything is on disk.
    ///
    /// An error, of `fill` or of the system, leaves an older file untouched and nothing behind.
    /// Pipes and devices such as `/dev/null` are written in place; a link is followed.
    ///
    /// - Throws: what `fill` throws; `badInput` for a path that cannot be written, `environment`
    ///   for a full or failing disk.
    public static func write(
        to path: String, _ fill: (inout Output) throws(PerseusError) -> Void
    ) throws(PerseusError) {
        if path == "-" {
            // What was printed before stands in buffers, and must stay before.
            fflush(nil)
            var output = Output(descriptor: STDOUT_FILENO, path: "the standard output")
            return try fill(&output)
        }
        switch destination(of: path) {
        case .directory: throw failure(path, EISDIR)
        case .special: try fillInPlace(path, fill)
        case .file(let resolved): try replace(resolved, shownAs: path, fill)
        }
    }

    private enum Destination {
        /// A regular file, or nothing yet; with links resolved.
        case file(String)
        case special
        case directory
    }

    private static func destination(of path: String) -> Destination {
        var status = stat()
        guard stat(path, &status) == 0 else { return .file(path) }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return .directory
        case S_IFREG:
            guard let resolved = realpath(path, nil) else { return .file(path) }
            defer { free(resolved) }
            return .file(String(cString: resolved))
        default: return .special
        }
    }

    private static func fillInPlace(
        _ path: String, _ fill: (inout Output) throws(PerseusError) -> Void
    ) throws(PerseusError) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(path, errno) }
        defer { close(descriptor) }
        var output = Output(descriptor: descriptor, path: path)
        try fill(&output)
    }

    private static func replace(
        _ path: String, shownAs shownPath: String,
        _ fill: (inout Output) throws(PerseusError) -> Void
    ) throws(PerseusError) {
        let temporary = "\(path).\(getpid()).tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw failure(shownPath, errno) }
        do throws(PerseusError) {
            var output = Output(descriptor: descriptor, path: shownPath)
            try fill(&output)
            // A rename may reach the disk before the bytes do: they must be there first.
            guard fsync(descriptor) == 0 else { throw failure(shownPath, errno) }
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        let wasClosed = close(descriptor) == 0
        guard wasClosed, rename(temporary, path) == 0 else {
            let code = errno
            unlink(temporary)
            throw failure(shownPath, code)
        }
    }
}

/// `cannot write results/a.json: No such file or directory`.
private func failure(_ path: String, _ code: CInt) -> PerseusError {
    let isFaultOfPath = [ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, ENAMETOOLONG, ELOOP, EROFS]
        .contains(code)
    return PerseusError(
        isFaultOfPath ? .badInput : .environment,
        "cannot write \(path): \(String(cString: strerror(code)))")
}
