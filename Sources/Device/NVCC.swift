// Compiles device code with the compiler of an installed CUDA toolkit, where NVRTC is missing.

import Glibc
import PerseusPrimitives

/// The nvcc of this machine, started as a process.
struct NVCC: Sendable {
    static let options = [
        "-cubin", "-gencode", "arch=compute_90a,code=sm_90a", "-std=c++17", "-O3",
        "--ptxas-options=-v",
    ]

    let path: String
    let version: String

    /// Nil when `path` does not say its version as nvcc does.
    init?(_ path: String) {
        guard let folder = try? TemporaryFolder(),
            let ended = try? run([path, "--version"], outputPath: folder.path + "/version"),
            ended.status == 0, let release = ended.output.firstRange(of: "release ")
        else { return nil }
        self.path = path
        version = String(ended.output[release.upperBound...].prefix { $0.isNumber || $0 == "." })
    }

    /// Compiles `source` beside the files that it includes, in a folder of its own.
    func compile(
        _ source: String, _ macros: [String], _ sources: [(name: String, text: String)]
    ) throws(PerseusError) -> CompiledKernels {
        let folder = try TemporaryFolder()
        for (name, text) in sources {
            try AtomicFile.write(Array(text.utf8), to: "\(folder.path)/\(name)")
        }
        let result = "\(folder.path)/result.cubin"
        let ended = try run(
            [path] + Self.options + macros + ["-o", result, "\(folder.path)/\(source)"],
            outputPath: "\(folder.path)/log")
        // The folder's random name says nothing to a reader.
        let log = ended.output.replacing("\(folder.path)/", with: "")
        guard ended.status == 0 else { throw KernelCompiler.failure(source, log: log) }
        guard let cubin = readFile(result) else {
            throw PerseusError(.environment, "nvcc succeeded and left no cubin")
        }
        return CompiledKernels(cubin: cubin, log: log)
    }
}

/// A fresh folder, removed with everything in it.
private final class TemporaryFolder {
    let path: String

    init() throws(PerseusError) {
        let parent = environment("TMPDIR") ?? "/tmp"
        // mkdtemp replaces six X.
        guard let template = strdup("\(parent)/perseus-kernels-" + String(repeating: "X", count: 6))
        else {
            throw PerseusError(.environment, "no memory for the name of a folder")
        }
        defer { free(template) }
        guard mkdtemp(template) != nil else { throw .unwritable(parent, errno) }
        path = String(cString: template)
    }

    deinit {
        for name in fileNames(in: path) { unlink("\(path)/\(name)") }
        rmdir(path)
    }
}

private func fileNames(in folder: String) -> [String] {
    guard let directory = opendir(folder) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names
}

/// Runs a program to its end, with both outputs in one file.
private func run(
    _ words: [String], outputPath: String
) throws(PerseusError) -> (status: Int32, output: String) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(
        &actions, STDOUT_FILENO, outputPath, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    let arguments = CStrings(words)
    var process: pid_t = 0
    let code = withExtendedLifetime(arguments) {
        arguments.pointers.withMemoryRebound(
            to: UnsafeMutablePointer<CChar>?.self, capacity: words.count + 1
        ) { posix_spawn(&process, words[0], &actions, nil, $0, environ) }
    }
    guard code == 0 else {
        throw PerseusError(
            .environment, "cannot start \(words[0]): \(String(cString: strerror(code)))")
    }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 {
        guard errno == EINTR else {
            throw PerseusError(.environment, "cannot wait for \(words[0])")
        }
    }
    let output = String(decoding: readFile(outputPath) ?? [], as: UTF8.self)
    return (status, output)
}
