// The one door to gnuplot: finds the program, gives it a script, takes the picture.

import CPerseusShims
import Glibc
import PerseusPrimitives

/// An installed gnuplot.
struct Gnuplot: Sendable {
    enum Format: String, CaseIterable {
        case svg
        case png

        /// The line in front of a script; what follows it is the same for both.
        var terminalLine: String {
            // A point of svg is a pixel; one of pngcairo is larger.
            let kind = self == .svg ? "svg fontscale 1.25" : "pngcairo"
            return
                "set terminal \(kind) size \(FigureScript.width),\(FigureScript.height) noenhanced"
                + " font 'sans-serif,12' background '#FFFFFF'\n"
        }

        /// What every file of the format starts with.
        var signature: [UInt8] {
            switch self {
            case .svg: Array("<?xml".utf8)
            case .png: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
            }
        }
    }

    let path: String
    private let searchPath: String

    /// Looks through the directories of `searchPath`, separated by colons.
    ///
    /// - Throws: `environment` when none of them has an executable gnuplot.
    init(searchPath: String) throws(PerseusError) {
        let candidates = searchPath.split(separator: ":").map { "\($0)/gnuplot" }
        guard let path = candidates.first(where: isExecutableFile) else {
            throw PerseusError(
                .environment,
                "figures need gnuplot, which is not in PATH; get it: sudo apt install gnuplot-nox")
        }
        self.path = path
        self.searchPath = searchPath
    }

    /// The picture that `script` draws.
    ///
    /// - Throws: `environment` with what gnuplot says, in one line.
    func render(_ script: String, as format: Format) throws(PerseusError) -> [UInt8] {
        // Files in memory instead of pipes: neither side can wait for the other.
        let input = try MemoryFile()
        let output = try MemoryFile()
        let errors = try MemoryFile()
        try input.write(format.terminalLine + script)
        let status = try run(input, output, errors)
        let picture = try output.contents()
        guard status == 0, picture.starts(with: format.signature) else {
            let said = Gnuplot.summary(String(decoding: try errors.contents(), as: UTF8.self))
            throw PerseusError(
                .environment,
                "gnuplot: "
                    + (said ?? "ended with status \(status) and wrote no \(format.rawValue) picture")
            )
        }
        return picture
    }

    /// Returns the exit status, or 256 + the signal that ended gnuplot.
    private func run(
        _ input: borrowing MemoryFile, _ output: borrowing MemoryFile,
        _ errors: borrowing MemoryFile
    ) throws(PerseusError) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input.descriptor, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output.descriptor, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, errors.descriptor, STDERR_FILENO)
        // The settings of a user's .gnuplot would draw another figure.
        let arguments = ([path, "--default-settings"] as [String]).map { strdup($0) } + [nil]
        let variables = environment.map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var process = pid_t()
        let code = posix_spawn(&process, path, &actions, nil, arguments, variables)
        guard code == 0 else {
            throw PerseusError(
                .environment, "cannot start \(path): \(String(cString: strerror(code)))")
        }
        let status = perseus_wait_child(process)
        guard status >= 0 else {
            throw PerseusError(
                .environment, "cannot wait for gnuplot: \(String(cString: strerror(-status)))")
        }
        return status
    }

    /// No locale of the user's, and of his other variables only those with which programs and fonts are found.
    private var environment: [String] {
        let kept = [
            "HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "FONTCONFIG_PATH", "FONTCONFIG_FILE",
            "LD_LIBRARY_PATH",
        ]
        return ["LC_ALL=C.UTF-8", "PATH=\(searchPath)"]
            + kept.compactMap { name in getenv(name).map { "\(name)=\(String(cString: $0))" } }
    }

    /// The last line that gnuplot said, without the echo of the script in front of it; nil when it said nothing.
    static func summary(_ errors: String) -> String? {
        let lines = errors.split(whereSeparator: \.isNewline)
            .map { $0.split(separator: " ").joined(separator: " ") }
        return lines.last { !$0.isEmpty }
    }
}

private func isExecutableFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
}

/// An unnamed file in memory, gone with its owner.
private struct MemoryFile: ~Copyable {
    let descriptor: CInt

    init() throws(PerseusError) {
        descriptor = perseus_shared_memory_create("perseus-figure", 0)
        guard descriptor >= 0 else { throw MemoryFile.failure(-descriptor) }
    }

    deinit { close(descriptor) }

    /// Writes all of `text` and goes back to the start.
    func write(_ text: String) throws(PerseusError) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw MemoryFile.failure(errno) }
            rest = rest.dropFirst(count)
        }
        lseek(descriptor, 0, SEEK_SET)
    }

    /// Everything in it, wherever its last user stopped.
    func contents() throws(PerseusError) -> [UInt8] {
        let count = Int(lseek(descriptor, 0, SEEK_END))
        guard count > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress! + filled, count - filled, off_t(filled))
            }
            if got < 0 && errno == EINTR { continue }
            guard got > 0 else { throw MemoryFile.failure(errno) }
            filled += got
        }
        return bytes
    }

    private static func failure(_ code: CInt) -> PerseusError {
        PerseusError(
            .environment, "cannot hand a figure to gnuplot: \(String(cString: strerror(code)))")
    }
}
