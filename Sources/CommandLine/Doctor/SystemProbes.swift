// Probes of the real machine: files, libraries and limits; none needs rights or can crash.

import Foundation
import Glibc
import PerseusDevice
import PerseusLibfabric
import PerseusPrimitives
import PerseusProxy

extension MachineProbes {
    /// Looks at the machine that this process runs on.
    public static var system: MachineProbes {
        MachineProbes(
            readFile: { path in
                FileManager.default.contents(atPath: path).map {
                    String(decoding: $0, as: UTF8.self)
                }
            },
            listDirectory: { path in
                ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
            },
            library: probeLibrary,
            program: findProgram,
            freeBytes: { path in
                var status = statvfs()
                guard statvfs(path, &status) == 0 else { return nil }
                return UInt64(status.f_bavail) * UInt64(status.f_frsize)
            },
            usableProcessorCount: { ProcessInfo.processInfo.activeProcessorCount },
            output: programOutput)
    }
}

private func findProgram(_ name: String) -> String? {
    (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":")
        .map { "\($0)/\(name)" }
        .first { access($0, X_OK) == 0 }
}

private func programOutput(_ words: [String]) -> String? {
    guard let name = words.first, let path = findProgram(name) else { return nil }
    let process = Process()
    process.executableURL = URL(filePath: path)
    process.arguments = Array(words.dropFirst())
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let bytes = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { return nil }
    return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
}

// MARK: Libraries

/// Opens a library for the life of the process: closing a driver can crash it.
private struct OpenLibrary {
    private let handle: UnsafeMutableRawPointer

    init?(_ names: [String]) {
        guard let handle = names.lazy.compactMap({ dlopen($0, RTLD_LAZY | RTLD_LOCAL) }).first
        else { return nil }
        self.handle = handle
    }

    /// The function `name` of the C type `Function`, nil when the library lacks it.
    func function<Function>(_ name: String, as type: Function.Type) -> Function? {
        dlsym(handle, name).map { unsafeBitCast($0, to: type) }
    }
}

private func probeLibrary(_ library: ProbedLibrary) -> LibraryState {
    if library == .nvrtc { return probeCompiler() }
    guard let open = OpenLibrary(fileNames(of: library)) else { return .missing }
    return switch library {
    case .cudaDriver: probeDevices()
    case .nvrtc: probeCompiler()
    case .verbs: probeVerbs(open)
    case .libfabric: probeFabric()
    case .pmix: .present(text(of: "PMIx_Get_version", in: open))
    case .openBLAS: .present(text(of: "openblas_get_config", in: open))
    }
}

private func fileNames(of library: ProbedLibrary) -> [String] {
    switch library {
    case .cudaDriver: ["libcuda.so.1"]
    case .nvrtc: []
    case .verbs: ["libibverbs.so.1"]
    case .libfabric: ["libfabric.so.1"]
    case .pmix: ["libpmix.so.2"]
    case .openBLAS: ["libopenblas.so.0"]
    }
}

private func probeDevices() -> LibraryState {
    do {
        let driver = try CUDADriver.load()
        let count = try driver.deviceCount()
        guard count > 0 else { return .unusable("the driver has no device") }
        let name = try driver.deviceName(0)
        return .present("\(count) x \(name), driver for CUDA \(driver.version)")
    } catch {
        return .unusable(error.reason)
    }
}

/// A wrong name in `PERSEUS_NVRTC` is a mistake to be told; a missing compiler is only missing.
private func probeCompiler() -> LibraryState {
    do {
        return .present(try KernelCompiler.find().description)
    } catch {
        return getenv("PERSEUS_NVRTC") == nil ? .missing : .unusable(error.reason)
    }
}

private func probeVerbs(_ verbs: OpenLibrary) -> LibraryState {
    typealias List = @convention(c) (UnsafeMutablePointer<Int32>) -> UnsafeMutableRawPointer?
    typealias Release = @convention(c) (UnsafeMutableRawPointer) -> Void
    guard let list = verbs.function("ibv_get_device_list", as: List.self),
        let release = verbs.function("ibv_free_device_list", as: Release.self)
    else { return .unusable("libibverbs.so.1 lacks ibv_get_device_list") }
    var count: Int32 = 0
    if let devices = list(&count) { release(devices) }
    return .present("\(count) device\(count == 1 ? "" : "s") seen by ibv_get_device_list")
}

/// Providers with what keeps a signal behind its data there, the cheapest that they promise.
private func probeFabric() -> LibraryState {
    switch LibfabricProvider.library {
    case .failure(let error): return .unusable(error.reason)
    case .success(let version):
        let providers = LibfabricProvider.available.map { provider in
            let ordering = SignalOrdering.cheapest(on: provider.guarantees)
            return "\(provider.name) \(ordering?.rawValue ?? "without any order")"
        }
        return .present("version \(version): \(providers.joined(separator: ", "))")
    }
}

/// What a function without arguments that returns a C text says.
private func text(of name: String, in library: OpenLibrary) -> String {
    typealias Text = @convention(c) () -> UnsafePointer<CChar>?
    guard let function = library.function(name, as: Text.self), let text = function() else {
        return "version unknown"
    }
    return String(cString: text).trimmingCharacters(in: .whitespacesAndNewlines)
}
