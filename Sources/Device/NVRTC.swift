// Compiles device code inside this process.

import CCUDA
import Glibc
import PerseusPrimitives

/// NVIDIA's run-time compiler, found as a shared library.
struct NVRTC: @unchecked Sendable {
    static let options = [
        "--gpu-architecture=sm_90a", "-std=c++17", "-default-device", "--ptxas-options=-v",
    ]

    private let calls: perseus_nvrtc_calls
    let version: String

    /// Opens what a person named: the library, or the folder that it lies in.
    init(named path: String) throws(PerseusError) {
        var status = stat()
        let isFolder = stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
        let candidates =
            isFolder ? ["libnvrtc.so.13", "libnvrtc.so.12"].map { "\(path)/\($0)" } : [path]
        let found = candidates.first { access($0, R_OK) == 0 } ?? candidates[0]
        do throws(PerseusError) {
            self = try NVRTC(found)
        } catch {
            throw PerseusError(error.kind, "PERSEUS_NVRTC: \(error.reason)", hint: error.hint)
        }
    }

    init(_ path: String) throws(PerseusError) {
        let table = UnsafeMutablePointer<perseus_nvrtc_calls>.allocate(capacity: 1)
        defer { table.deallocate() }
        var detail: UnsafePointer<CChar>?
        let outcome = perseus_nvrtc_open(path, table, &detail)
        guard Int(outcome) == PERSEUS_CUDA_OPENED else {
            let text = detail.map { String(cString: $0) } ?? "no reason given"
            let lacks = Int(outcome) == PERSEUS_CUDA_NO_FUNCTION ? "\(path) lacks " : ""
            throw PerseusError(.environment, "cannot use NVRTC: \(lacks)\(text)")
        }
        let calls = table.pointee
        var major: CInt = 0
        var minor: CInt = 0
        guard calls.nvrtcVersion(&major, &minor) == 0 else {
            throw PerseusError(.environment, "cannot use NVRTC: nvrtcVersion of \(path) failed")
        }
        self.calls = calls
        version = "\(major).\(minor)"
    }

    /// Compiles `source`, which includes the others by their names; nothing is read from a disk.
    func compile(
        _ source: String, _ macros: [String], _ sources: [(name: String, text: String)]
    ) throws(PerseusError) -> CompiledKernels {
        let text = sources.first { $0.name == source }?.text ?? ""
        let texts = CStrings(sources.map(\.text))
        let names = CStrings(sources.map(\.name))
        var program: UnsafeMutableRawPointer?
        // The program copies the texts.
        let created = withExtendedLifetime((texts, names)) {
            calls.nvrtcCreateProgram(
                &program, text, source, CInt(sources.count), texts.pointers, names.pointers)
        }
        try check(created, "nvrtcCreateProgram")
        guard let handle = program else {
            throw PerseusError(.environment, "nvrtcCreateProgram gave no program")
        }
        defer { _ = calls.nvrtcDestroyProgram(&program) }
        let options = CStrings(Self.options + macros)
        let status = withExtendedLifetime(options) {
            calls.nvrtcCompileProgram(handle, CInt(options.count), options.pointers)
        }
        let log = try log(of: handle)
        guard status == 0 else {
            // Wrong code leaves a log with errors; anything else is the installation's fault.
            if log.contains("error") && !log.contains("failed to open") {
                throw KernelCompiler.failure(source, log: log)
            }
            let first = log.split(separator: "\n").first.map(String.init) ?? statusText(status)
            throw PerseusError(.environment, "NVRTC \(version) cannot compile: \(first)")
        }
        var byteCount = 0
        try check(calls.nvrtcGetCUBINSize(handle, &byteCount), "nvrtcGetCUBINSize")
        var cubin = [CChar](repeating: 0, count: byteCount)
        try check(calls.nvrtcGetCUBIN(handle, &cubin), "nvrtcGetCUBIN")
        return CompiledKernels(cubin: cubin.map { UInt8(bitPattern: $0) }, log: log)
    }

    private func log(of program: UnsafeMutableRawPointer) throws(PerseusError) -> String {
        var byteCount = 0
        try check(calls.nvrtcGetProgramLogSize(program, &byteCount), "nvrtcGetProgramLogSize")
        var characters = [CChar](repeating: 0, count: byteCount + 1)
        try check(calls.nvrtcGetProgramLog(program, &characters), "nvrtcGetProgramLog")
        return text(characters)
    }

    private func check(
        _ status: perseus_cuda_status, _ call: StaticString
    ) throws(PerseusError) {
        guard status != 0 else { return }
        throw PerseusError(.environment, "\(call): \(statusText(status))")
    }

    private func statusText(_ status: perseus_cuda_status) -> String {
        calls.nvrtcGetErrorString(status).map { String(cString: $0) } ?? "NVRTC error \(status)"
    }
}

/// Zero-terminated copies of texts for a call of C, freed with their owner.
final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafePointer<CChar>?>
    let count: Int

    init(_ texts: [String]) {
        count = texts.count
        // A nil behind the last one, as exec wants it.
        pointers = .allocate(capacity: count + 1)
        pointers.initialize(repeating: nil, count: count + 1)
        for (index, text) in texts.enumerated() { pointers[index] = UnsafePointer(strdup(text)) }
    }

    deinit {
        for index in 0..<count { free(UnsafeMutablePointer(mutating: pointers[index])) }
        pointers.deallocate()
    }
}
