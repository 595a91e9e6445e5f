// NVIDIA's matrix products, found at run time: what benchmarks hold the expert multiplication against.

import CCUDA
import Glibc
import PerseusPrimitives

/// A cuBLAS of this machine, on one device.
public final class CUBLAS {
    public let device: CUDADevice
    /// `13.0.2`.
    public let version: String
    private let calls: perseus_cublas_calls
    private let handle: UnsafeMutableRawPointer

    /// Opens what `PERSEUS_CUBLAS` names, a library or its folder, or else what the loader finds.
    ///
    /// - Throws: `environment` when there is none, with what was tried.
    public init(_ device: CUDADevice) throws(PerseusError) {
        let calls = try Self.open()
        var handle: UnsafeMutableRawPointer?
        try Self.check(calls.cublasCreate(&handle), "cublasCreate")
        guard let handle else { throw PerseusError(.environment, "cublasCreate gave no handle") }
        var number: CInt = 0
        _ = calls.cublasGetVersion(handle, &number)
        self.device = device
        self.calls = calls
        self.handle = handle
        version = Self.text(ofVersion: Int(number))
    }

    deinit { device.release { _ in calls.cublasDestroy(handle) } }

    /// 130002 is 13.0.2; numbers below 10 are written with two digits.
    static func text(ofVersion number: Int) -> String {
        "\(number / 10_000).\(number / 100 % 100).\(number % 100)"
    }

    /// Where a library may lie.
    ///
    /// - Parameter named: the value of `PERSEUS_CUBLAS`; nil where it is not set.
    static func candidates(named: String?, isFolder: (String) -> Bool) -> [String] {
        let names = ["libcublas.so.13", "libcublas.so.12"]
        guard let named, !named.isEmpty else {
            return names + names.map { "/usr/local/cuda/lib64/\($0)" }
        }
        return isFolder(named) ? names.map { "\(named)/\($0)" } : [named]
    }

    private static func open() throws(PerseusError) -> perseus_cublas_calls {
        let named = getenv("PERSEUS_CUBLAS").map { String(cString: $0) }
        let table = UnsafeMutablePointer<perseus_cublas_calls>.allocate(capacity: 1)
        defer { table.deallocate() }
        var reason = ""
        for path in candidates(named: named, isFolder: isFolder) {
            var detail: UnsafePointer<CChar>?
            let outcome = perseus_cublas_open(path, table, &detail)
            if Int(outcome) == PERSEUS_CUDA_OPENED { return table.pointee }
            let text = detail.map { String(cString: $0) } ?? "no reason given"
            let lacks = Int(outcome) == PERSEUS_CUDA_NO_FUNCTION ? "\(path) lacks " : ""
            if reason.isEmpty { reason = lacks + text }
        }
        throw PerseusError(
            .environment, "no cuBLAS: \(reason)",
            hint: "PERSEUS_CUBLAS names the library or its folder")
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func check(
        _ status: perseus_cuda_status, _ call: StaticString
    ) throws(PerseusError) {
        guard status != 0 else { return }
        throw PerseusError(.environment, "\(call): cuBLAS status \(status)")
    }

    /// Puts one product of square bf16 matrices on `stream`, summed in float32: `c = a * b`, or with the first one
    /// transposed, which reads both of them along the depth.
    public func multiplySquare(
        _ a: DeviceBuffer, _ b: DeviceBuffer, into c: DeviceBuffer, size: Int,
        transposesFirst: Bool, on stream: CUDAStream
    ) throws(PerseusError) {
        for buffer in [a, b, c] {
            precondition(buffer.byteCount >= size * size * 2, "a matrix is larger than its buffer")
        }
        try Self.check(calls.cublasSetStream(handle, stream.handle), "cublasSetStream")
        var (one, zero) = (Float(1), Float(0))
        let (type, side) = (CInt(PERSEUS_CUBLAS_BFLOAT16), CInt(size))
        let first = transposesFirst ? PERSEUS_CUBLAS_TRANSPOSED : PERSEUS_CUBLAS_AS_IT_IS
        let status = calls.cublasGemmEx(
            handle, CInt(first), CInt(PERSEUS_CUBLAS_AS_IT_IS), side, side, side, &one, a.address,
            type, side, b.address, type, side, &zero, c.address, type, side,
            CInt(PERSEUS_CUBLAS_COMPUTE_FLOAT32), CInt(PERSEUS_CUBLAS_DEFAULT_ALGORITHM))
        try Self.check(status, "cublasGemmEx")
    }
}
