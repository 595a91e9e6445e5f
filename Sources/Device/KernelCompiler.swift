// The compiler of device code on this machine: NVRTC, or else nvcc; neither needs a GPU.

import CCUDA
import Glibc
import PerseusPrimitives

/// A compiler that was found.
public struct KernelCompiler: Sendable {
    private enum Backend: Sendable {
        case nvrtc(NVRTC)
        case nvcc(NVCC)
    }

    private let backend: Backend
    /// Name and version, `NVRTC 13.0`.
    public let description: String

    /// Looks for NVRTC at `PERSEUS_NVRTC`, on the loader's path and below `CUDA_HOME` and
    /// `/usr/local/cuda`, then for nvcc.
    ///
    /// - Throws: `environment` when there is neither, or when `PERSEUS_NVRTC` names no NVRTC.
    public static func find() throws(PerseusError) -> KernelCompiler { try find(environment) }

    static func find(
        _ variable: (String) -> String?, systemFolders: [String] = ["/usr/local/cuda"]
    ) throws(PerseusError) -> KernelCompiler {
        let roots = (variable("CUDA_HOME").map { [$0] } ?? []) + systemFolders
        if let named = variable("PERSEUS_NVRTC") {
            return KernelCompiler(try NVRTC(named: named))
        }
        let names = ["libnvrtc.so.13", "libnvrtc.so.12"]
        let paths = names + roots.flatMap { root in names.map { "\(root)/lib64/\($0)" } }
        for path in paths {
            if let nvrtc = try? NVRTC(path) { return KernelCompiler(nvrtc) }
        }
        let folders =
            (variable("PATH") ?? "").split(separator: ":").map(String.init)
            + roots.map { "\($0)/bin" }
        for folder in folders where access("\(folder)/nvcc", X_OK) == 0 {
            if let nvcc = NVCC("\(folder)/nvcc") { return KernelCompiler(nvcc) }
        }
        throw PerseusError(
            .environment,
            "no compiler for device code: neither libnvrtc.so.13 nor libnvrtc.so.12 nor nvcc was found",
            hint: "pip install nvidia-cuda-nvrtc, and name its library in PERSEUS_NVRTC")
    }

    private init(_ nvrtc: NVRTC) {
        backend = .nvrtc(nvrtc)
        description = "NVRTC \(nvrtc.version)"
    }

    private init(_ nvcc: NVCC) {
        backend = .nvcc(nvcc)
        description = "nvcc \(nvcc.version)"
    }

    /// Options that stand for the result, macros aside.
    var options: [String] {
        switch backend {
        case .nvrtc: NVRTC.options
        case .nvcc: NVCC.options
        }
    }

    /// Compiles for sm_90a.
    ///
    /// - Throws: `wrongResult` with the compiler's messages when the program is wrong, `environment` when
    ///   the compiler cannot work.
    public func compile(_ program: DeviceProgram) throws(PerseusError) -> CompiledKernels {
        try compile(program, sources: DeviceSources.all)
    }

    func compile(
        _ program: DeviceProgram, sources: [(name: String, text: String)]
    ) throws(PerseusError) -> CompiledKernels {
        guard sources.contains(where: { $0.name == program.source }) else {
            throw PerseusError(.badInput, "there is no device code \(program.source)")
        }
        let macros = program.defines.map { "-D\($0.0)=\($0.1)" }
        return switch backend {
        case .nvrtc(let nvrtc): try nvrtc.compile(program.source, macros, sources)
        case .nvcc(let nvcc): try nvcc.compile(program.source, macros, sources)
        }
    }

    /// The error of a program that does not compile: the first lines of the log.
    static func failure(_ source: String, log: String) -> PerseusError {
        let lines = log.split(separator: "\n").prefix(40).joined(separator: "\n")
        return PerseusError(.wrongResult, "\(source) does not compile:\n\(lines)")
    }
}

func environment(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    let text = String(cString: value)
    return text.isEmpty ? nil : text
}
