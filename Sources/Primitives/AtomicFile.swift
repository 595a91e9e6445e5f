// Files that appear complete or not at all.

import Glibc

/// Writes through a temporary file in the same directory, then renames it.
public enum AtomicFile {
    /// The system's `write`, or what a test puts in its place.
    public typealias SystemWrite = (CInt, UnsafeRawPointer, Int) -> Int

    /// Appends bytes to the file being written.
    public struct Output: ~Copyable {
        fileprivate let descriptor: CInt
        fileprivate let path: String
        fileprivate let systemWrite: SystemWrite

        /// Writes all of `bytes`, however many calls that takes.
        public mutating func write(_ bytes: UnsafeRawBufferPointer) throws(PerseusError) {
            var rest = bytes
            while let start = rest.baseAddress, !rest.isEmpty {
                let written = systemWrite(descriptor, start, rest.count)
                if written < 0 && errno == EINTR { continue }
                guard written > 0 else { throw .unwritable(path, errno) }
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(written))
            }
        }

        public mutating func write(_ bytes: [UInt8]) throws(PerseusError) {
            try bytes.span.bytes.withUnsafeBytes { buffer throws(PerseusError) in
                try write(buffer)
            }
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
        to path: String, using systemWrite: @escaping SystemWrite = { Glibc.write($0, $1, $2) },
        _ fill: (inout Output) throws(PerseusError) -> Void
    ) throws(PerseusError) {
        if path == "-" {
            // What was printed before stands in buffers, and must stay before.
            fflush(nil)
            var output = Output(
                descriptor: STDOUT_FILENO, path: "the standard output", systemWrite: systemWrite)
            return try fill(&output)
        }
        switch destination(of: path) {
        case .directory: throw .unwritable(path, EISDIR)
        case .special: try fillInPlace(path, systemWrite, fill)
        case .file(let resolved): try replace(resolved, shownAs: path, systemWrite, fill)
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
        _ path: String, _ systemWrite: @escaping SystemWrite,
        _ fill: (inout Output) throws(PerseusError) -> Void
    ) throws(PerseusError) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unwritable(path, errno) }
        defer { close(descriptor) }
        var output = Output(descriptor: descriptor, path: path, systemWrite: systemWrite)
        try fill(&output)
    }

    private static func replace(
        _ path: String, shownAs shownPath: String, _ systemWrite: @escaping SystemWrite,
        _ fill: (inout Output) throws(PerseusError) -> Void
    ) throws(PerseusError) {
        let temporary = "\(path).\(getpid()).tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .unwritable(shownPath, errno) }
        do throws(PerseusError) {
            var output = Output(
                descriptor: descriptor, path: shownPath, systemWrite: systemWrite)
            try fill(&output)
            // A rename may reach the disk before the bytes do: they must be there first.
            guard fsync(descriptor) == 0 else { throw .unwritable(shownPath, errno) }
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        let wasClosed = close(descriptor) == 0
        guard wasClosed, rename(temporary, path) == 0 else {
            let code = errno
            unlink(temporary)
            throw .unwritable(shownPath, code)
        }
    }
}

extension PerseusError {
    /// `cannot write results/a.json: No such file or directory`.
    public static func unwritable(_ path: String, _ code: CInt) -> PerseusError {
        let isFaultOfPath = [ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, ENAMETOOLONG, ELOOP, EROFS]
            .contains(code)
        return PerseusError(
            isFaultOfPath ? .badInput : .environment,
            "cannot write \(path): \(String(cString: strerror(code)))")
    }
}
