// Starts the built `perseus` as a person would, and keeps everything that it says.

import Foundation

/// How one invocation ended.
struct Ended {
    /// Exit status; 128 and more: killed by a signal; nil: did not end in time.
    let status: Int32?
    let output: Data
    let errors: String
    let seconds: Double

    var text: String { String(decoding: output, as: UTF8.self) }
    var errorLines: [String] { errors.split(separator: "\n").map(String.init) }
}

/// A fresh folder in which commands run; removed at the end of the test that owns it.
final class Workplace {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory
            .appendingPathComponent("perseus-e2e-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// The names of the files in the folder, sorted.
    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    func data(_ name: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: path + "/" + name))
    }

    func write(_ name: String, _ data: Data) throws {
        try data.write(to: URL(fileURLWithPath: path + "/" + name))
    }

    // MARK: Running

    /// Runs `perseus` with `arguments` in this folder.
    ///
    /// - Parameter interruption: once true, the process gets the SIGINT of a person's Ctrl-C.
    func perseus(
        _ arguments: [String], limitSeconds: Double = 60, interruptedWhen interruption: () -> Bool
    ) throws -> Ended {
        try run(
            [try Self.binary()] + arguments, limitSeconds: limitSeconds,
            interruptedWhen: interruption)
    }

    func perseus(_ arguments: [String], limitSeconds: Double = 60) throws -> Ended {
        try perseus(arguments, limitSeconds: limitSeconds, interruptedWhen: { false })
    }

    /// Runs a line of shell, in which `$PERSEUS` is the binary.
    func shell(_ line: String, limitSeconds: Double = 60) throws -> Ended {
        try run(
            ["/bin/sh", "-c", "PERSEUS='\(try Self.binary())'\n" + line],
            limitSeconds: limitSeconds, interruptedWhen: { false })
    }

    /// Beside the test bundle, or in the debug build of this checkout.
    private static func binary() throws -> String {
        let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        let checkout = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let candidates = [bundle, checkout.appendingPathComponent(".build/debug")].map {
            $0.appendingPathComponent("perseus").path
        }
        guard let found = candidates.first(where: FileManager.default.isExecutableFile) else {
            throw MissingBinary(candidates: candidates)
        }
        return found
    }

    private struct MissingBinary: Error { let candidates: [String] }

    private func run(
        _ words: [String], limitSeconds: Double, interruptedWhen interruption: () -> Bool
    ) throws -> Ended {
        var isInterrupted = false
        let running = try start(words, variables: [:])
        return try running.wait(limitSeconds: limitSeconds) {
            if !isInterrupted && interruption() {
                isInterrupted = true
                running.send(SIGINT)
            }
        }
    }

    /// Starts `perseus`, or another `binary`, and does not wait.
    func startPerseus(
        _ arguments: [String], variables: [String: String], binary: String? = nil
    ) throws -> Running {
        try start([try binary ?? Self.binary()] + arguments, variables: variables)
    }

    /// The binary with a byte behind its end: the same program, another build.
    func makeOtherBuild() throws -> String {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: try Self.binary()))
        bytes.append(0)
        try write("other", bytes)
        chmod(path + "/other", 0o755)
        return path + "/other"
    }

    private func start(_ words: [String], variables: [String: String]) throws -> Running {
        let capture = try Capture()
        return Running(process: try spawn(words, variables, capture), capture: capture)
    }

    /// A process that a test started and will wait for. Files instead of pipes: nothing blocks, however much is said.
    final class Running {
        let process: pid_t
        private let capture: Capture
        private let begin = Date()
        private var status: Int32?
        private var isReaped = false

        fileprivate init(process: pid_t, capture: Capture) {
            self.process = process
            self.capture = capture
        }

        deinit { end() }

        func send(_ signal: Int32) { if !isReaped { kill(process, signal) } }

        /// What it has printed so far.
        var printed: String {
            (try? capture.output).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }

        /// True once it has ended by itself.
        func hasEnded() -> Bool {
            var waitStatus: Int32 = 0
            if !isReaped, waitpid(process, &waitStatus, WNOHANG) == process {
                let signal = waitStatus & 0x7F
                status = signal == 0 ? (waitStatus >> 8) & 0xFF : 128 + signal
                isReaped = true
            }
            return isReaped
        }

        /// Kills it if it still runs.
        func end() {
            guard !hasEnded() else { return }
            var waitStatus: Int32 = 0
            kill(process, SIGKILL)
            waitpid(process, &waitStatus, 0)
            isReaped = true
        }

        func wait(limitSeconds: Double = 60, meanwhile body: () -> Void = {}) throws -> Ended {
            while !hasEnded(), -begin.timeIntervalSinceNow < limitSeconds {
                body()
                usleep(2000)
            }
            end()
            return Ended(
                status: status, output: try capture.output, errors: try capture.errors,
                seconds: -begin.timeIntervalSinceNow)
        }
    }

    private func spawn(
        _ words: [String], _ more: [String: String], _ capture: Capture
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, capture.outputPath, O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, capture.errorPath, O_WRONLY, 0)
        // A test's thread may have signals blocked, and a script's background job ignores some: a person's shell does not.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))
        let inFolder = ["/bin/sh", "-c", #"cd "$0" && exec "$@""#, path] + words
        var arguments = inFolder.map { strdup($0) } + [nil]
        // A crash shall be a status, not a page of registers.
        var variables =
            ProcessInfo.processInfo.environment.merging(more) { $1 }
            .map { strdup("\($0.key)=\($0.value)") }
            + [strdup("SWIFT_BACKTRACE=enable=no"), nil]
        defer { for text in arguments + variables { free(text) } }
        var process = pid_t()
        let code = posix_spawn(&process, "/bin/sh", &actions, &attributes, &arguments, &variables)
        guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO) }
        return process
    }

    /// Two temporary files outside the folder, so that it holds only what the command wrote.
    fileprivate final class Capture {
        let outputPath: String
        let errorPath: String

        init() throws {
            let stem = NSTemporaryDirectory() + "/perseus-capture-\(UUID().uuidString)"
            outputPath = stem + ".out"
            errorPath = stem + ".err"
            for path in [outputPath, errorPath] {
                try Data().write(to: URL(fileURLWithPath: path))
            }
        }

        deinit {
            unlink(outputPath)
            unlink(errorPath)
        }

        var output: Data {
            get throws { try Data(contentsOf: URL(fileURLWithPath: outputPath)) }
        }

        var errors: String {
            get throws {
                String(
                    decoding: try Data(contentsOf: URL(fileURLWithPath: errorPath)), as: UTF8.self)
            }
        }
    }
}
