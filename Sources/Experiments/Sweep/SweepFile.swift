// A file of lines, one for each point of a sweep, that can be gone on with after a kill at any time.

import Glibc
import PerseusPrimitives

/// What a sweep has written and what it still has to write.
///
/// Each line reaches the system whole, in one write, as soon as its point is done. Lines that were there stay where
/// they are; if the grid was smaller then, `finish` puts them in order.
/// - Threading: one thread.
public final class SweepFile {
    private let grid: SweepGrid
    /// nil: the standard output.
    private let path: String?
    private let descriptor: CInt
    private let isRegular: Bool
    /// Numbers of the points whose lines are in the file, in the order of the lines.
    private var lines: [Int] = []
    /// By the point's number; nil: not there yet.
    public private(set) var outcomes: [SweepOutcome?]
    private var byteCount = 0

    /// The standard output: everything is to be written.
    public init(_ grid: SweepGrid) {
        self.grid = grid
        path = nil
        descriptor = STDOUT_FILENO
        isRegular = false
        outcomes = Array(repeating: nil, count: grid.count)
    }

    /// Opens the file and reads what is there; a last line that was torn by a kill is cut off.
    ///
    /// - Throws: `badInput` for a path that cannot be written and for a file that is no part of this sweep; such a
    ///   file stays as it is.
    public init(_ grid: SweepGrid, path: String) throws(PerseusError) {
        self.grid = grid
        self.path = path
        outcomes = Array(repeating: nil, count: grid.count)
        var status = stat()
        // Reading from a pipe of its own would keep a sweep from noticing that nobody else does.
        isRegular = stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
        descriptor = open(
            path, (isRegular ? O_RDWR | O_CREAT : O_WRONLY) | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            throw .unwritable(path, errno)
        }
        guard isRegular else { return }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw PerseusError(.badInput, "\(path): another process is writing to it")
        }
        try keep(Int(status.st_size))
    }

    deinit { if path != nil { close(descriptor) } }

    /// Numbers of the points that are not in the file, in order.
    public var missing: [Int] { outcomes.indices.filter { outcomes[$0] == nil } }

    /// Points that are in the file.
    public var lineCount: Int { lines.count }

    // MARK: Writing

    /// Adds the line of point `index`.
    ///
    /// - Returns: whether somebody takes the lines; a reader that went away (`| head`) does not.
    /// - Throws: `environment` for a full disk; the file ends with a whole line then too.
    func append(_ line: SweepLine, of index: Int) throws(PerseusError) -> Bool {
        let bytes = Array((line.text + "\n").utf8)
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 {
                rest = rest.dropFirst(written)
            } else if errno == EPIPE {
                return false
            } else if errno != EINTR {
                let code = errno
                if isRegular { ftruncate(descriptor, byteCount) }
                throw .unwritable(path ?? "the standard output", code)
            }
        }
        byteCount += bytes.count
        lines.append(index)
        outcomes[index] = line.outcome
        return true
    }

    /// Puts the lines into the order of the grid, if they are not.
    public func finish() throws(PerseusError) {
        guard let path, isRegular, zip(lines, lines.dropFirst()).contains(where: >) else { return }
        let numbers = lines
        try withContents(byteCount) { (bytes) throws(PerseusError) in
            let ordered = zip(numbers, wholeLines(of: bytes)).sorted { $0.0 < $1.0 }
            try AtomicFile.write(to: path) { (output) throws(PerseusError) in
                for (_, line) in ordered {
                    try output.write(UnsafeRawBufferPointer(rebasing: bytes[line]))
                }
            }
        }
    }
}

// MARK: Reading

extension SweepFile {
    /// Takes the lines of the first `count` bytes.
    private func keep(_ count: Int) throws(PerseusError) {
        guard count > 0 else { return }
        try withContents(count) { (bytes) throws(PerseusError) in
            for line in wholeLines(of: bytes) {
                try keep(SweepRecord(bytes[line].dropLast()))
                byteCount = line.upperBound
            }
            try checkTorn(bytes[byteCount...])
        }
        guard byteCount == count || ftruncate(descriptor, byteCount) == 0 else {
            throw .unwritable(path ?? "", errno)
        }
    }

    private func keep(_ record: SweepRecord?) throws(PerseusError) {
        guard let record else { throw foreign("is no line of a sweep") }
        guard let index = grid.index(of: record.point) else {
            let value = grid.foreignValue(of: record.point) ?? "another point"
            throw foreign("has \(value), which this sweep does not have")
        }
        let profile = grid.profile(of: index)
        guard record.fingerprint == profile.fingerprint else {
            throw foreign("had other values in profile \(record.point.profile)")
        }
        guard outcomes[index] == nil else { throw foreign("repeats a point") }
        outcomes[index] = record.outcome
        lines.append(index)
    }

    /// Refuses a last line without an end that no point of this sweep begins with.
    private func checkTorn(_ tail: Slice<UnsafeRawBufferPointer>) throws(PerseusError) {
        guard !tail.isEmpty else { return }
        let isOurs = outcomes.indices.contains { index in
            guard outcomes[index] == nil else { return false }
            let beginning = SweepLine.beginning(
                grid[index], fingerprint: grid.profile(of: index).fingerprint)
            return zip(beginning.utf8, tail).allSatisfy(==)
        }
        guard isOurs else { throw foreign("is torn, and no point of this sweep begins so") }
    }

    private func foreign(_ what: String) -> PerseusError {
        PerseusError(
            .badInput, "\(path ?? ""): line \(lines.count + 1) \(what)",
            hint: "give this sweep another file")
    }

    /// Calls `body` with the first `count` bytes of the file.
    private func withContents(
        _ count: Int, _ body: (UnsafeRawBufferPointer) throws(PerseusError) -> Void
    ) throws(PerseusError) {
        let mapped = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard let mapped, mapped != MAP_FAILED else {
            throw PerseusError(
                .environment,
                "cannot read \(path ?? ""): \(String(cString: strerror(errno)))")
        }
        defer { munmap(mapped, count) }
        try body(UnsafeRawBufferPointer(start: mapped, count: count))
    }
}

/// The lines of `bytes`, each with its newline; a rest without one is not among them.
private func wholeLines(of bytes: UnsafeRawBufferPointer) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var begin = 0
    while let newline = bytes[begin...].firstIndex(of: UInt8(ascii: "\n")) {
        ranges.append(begin..<newline + 1)
        begin = newline + 1
    }
    return ranges
}
