// The CUDA driver of this machine, opened at run time.

import CCUDA
import PerseusPrimitives

/// The driver's functions, with every status checked.
public final class CUDADriver: @unchecked Sendable {
    let calls: perseus_cuda_calls

    private init(_ calls: perseus_cuda_calls) { self.calls = calls }

    /// Opens the driver.
    ///
    /// - Throws: `environment`, with what is missing.
    public static func load() throws(PerseusError) -> CUDADriver { try load("libcuda.so.1") }

    static func load(_ library: String) throws(PerseusError) -> CUDADriver {
        let calls = UnsafeMutablePointer<perseus_cuda_calls>.allocate(capacity: 1)
        defer { calls.deallocate() }
        var detail: UnsafePointer<CChar>?
        let outcome = perseus_cuda_open(library, calls, &detail)
        let text = detail.map { String(cString: $0) } ?? "no reason given"
        switch Int(outcome) {
        case PERSEUS_CUDA_OPENED: return CUDADriver(calls.pointee)
        case PERSEUS_CUDA_NO_FUNCTION:
            throw PerseusError(
                .environment, "the CUDA driver is too old: \(library) lacks \(text)",
                hint: "install a driver for CUDA 12.2 or newer")
        default:
            // The loader says `name: cannot open ...`, or what else is wrong with the file.
            let isAbsent = text.contains("No such file")
            throw PerseusError(
                .environment,
                "no CUDA driver: \(isAbsent ? "\(library) was not found" : text)",
                hint: "perseus doctor says how to get it")
        }
    }

    /// The newest CUDA that the driver supports, `13.0`.
    public var version: String {
        var number: CInt = 0
        guard calls.cuDriverGetVersion(&number) == 0 else { return "unknown" }
        return "\(number / 1000).\(number % 1000 / 10)"
    }

    /// Devices that the driver offers.
    public func deviceCount() throws(PerseusError) -> Int {
        try check(calls.cuInit(0), "cuInit")
        var count: CInt = 0
        try check(calls.cuDeviceGetCount(&count), "cuDeviceGetCount")
        return Int(count)
    }

    /// The name of a device, without a context on it.
    public func deviceName(_ index: Int) throws(PerseusError) -> String {
        var device: CInt = 0
        try check(calls.cuDeviceGet(&device, CInt(index)), "cuDeviceGet")
        var characters = [CChar](repeating: 0, count: 256)
        try check(
            calls.cuDeviceGetName(&characters, CInt(characters.count - 1), device),
            "cuDeviceGetName")
        return text(characters)
    }

    /// Passes on success.
    @inline(__always)
    func check(_ status: perseus_cuda_status, _ call: StaticString) throws(PerseusError) {
        guard status != 0 else { return }
        throw error(status, "\(call)")
    }

    func error(_ status: perseus_cuda_status, _ call: String) -> PerseusError {
        var name: UnsafePointer<CChar>?
        var text: UnsafePointer<CChar>?
        _ = calls.cuGetErrorName(status, &name)
        _ = calls.cuGetErrorString(status, &text)
        let shownName = name.map { String(cString: $0) } ?? "CUDA error \(status)"
        let shownText = text.map { " (\(String(cString: $0)))" } ?? ""
        return PerseusError(.environment, "\(call): \(shownName)\(shownText)")
    }
}

/// What a call of C wrote, up to the zero.
func text(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
