// One GPU: its primary context, what it offers, and everything that lives on it.

import CCUDA
import PerseusPrimitives

/// A GPU whose primary context this process holds.
///
/// Everything made from a device keeps it open. Calls may come from any thread, which first calls
/// `makeCurrent()`.
public final class CUDADevice: @unchecked Sendable {
    public let driver: CUDADriver
    public let index: Int
    public let name: String
    public let multiprocessorCount: Int
    public let computeCapability: (major: Int, minor: Int)
    public let totalMemoryBytes: Int
    public let l2Bytes: Int
    /// The most shared memory that one block may ask for.
    public let sharedMemoryPerBlockOptin: Int

    private let handle: CInt
    private let context: UnsafeMutableRawPointer

    /// Opens a device and makes it current on this thread.
    ///
    /// - Throws: `environment` when there is no driver or no such device.
    public static func open(index: Int = 0) throws(PerseusError) -> CUDADevice {
        let driver = try CUDADriver.load()
        let count = try driver.deviceCount()
        guard index >= 0, index < count else {
            throw PerseusError(
                .environment, "no GPU \(index): the CUDA driver offers \(count) of them")
        }
        return try CUDADevice(driver, index)
    }

    private init(_ driver: CUDADriver, _ index: Int) throws(PerseusError) {
        let calls = driver.calls
        var handle: CInt = 0
        try driver.check(calls.cuDeviceGet(&handle, CInt(index)), "cuDeviceGet")
        func attribute(_ number: Int) throws(PerseusError) -> Int {
            var value: CInt = 0
            try driver.check(
                calls.cuDeviceGetAttribute(&value, CInt(number), handle), "cuDeviceGetAttribute")
            return Int(value)
        }
        let name = try driver.deviceName(index)
        var memoryBytes = 0
        try driver.check(calls.cuDeviceTotalMem(&memoryBytes, handle), "cuDeviceTotalMem")
        let multiprocessors = try attribute(PERSEUS_CUDA_MULTIPROCESSOR_COUNT)
        let major = try attribute(PERSEUS_CUDA_COMPUTE_MAJOR)
        let minor = try attribute(PERSEUS_CUDA_COMPUTE_MINOR)
        let l2Bytes = try attribute(PERSEUS_CUDA_L2_BYTES)
        let sharedBytes = try attribute(PERSEUS_CUDA_SHARED_BYTES_PER_BLOCK_OPTIN)
        var context: UnsafeMutableRawPointer?
        try driver.check(
            calls.cuDevicePrimaryCtxRetain(&context, handle), "cuDevicePrimaryCtxRetain")
        guard let context else {
            throw PerseusError(.environment, "cuDevicePrimaryCtxRetain gave no context")
        }
        self.driver = driver
        self.index = index
        self.handle = handle
        self.context = context
        self.name = name
        multiprocessorCount = multiprocessors
        computeCapability = (major, minor)
        totalMemoryBytes = memoryBytes
        self.l2Bytes = l2Bytes
        sharedMemoryPerBlockOptin = sharedBytes
        try makeCurrent()
    }

    deinit { _ = driver.calls.cuDevicePrimaryCtxRelease(handle) }

    /// Directs this thread's calls to the device.
    public func makeCurrent() throws(PerseusError) {
        try driver.check(driver.calls.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    }

    /// For `deinit`s, which run on any thread and cannot fail.
    func release(_ action: (perseus_cuda_calls) -> perseus_cuda_status) {
        guard driver.calls.cuCtxSetCurrent(context) == 0 else { return }
        _ = action(driver.calls)
    }

    /// Throws unless the device runs sm_90a code.
    public func requireHopper() throws(PerseusError) {
        guard computeCapability == (9, 0) else {
            throw PerseusError(
                .environment,
                "GPU \(index) (\(name)) has compute capability \(computeCapability.major)."
                    + "\(computeCapability.minor), and the device code is for 9.0: H100, H200, GH200"
            )
        }
    }

    /// Bytes that could still be allocated.
    public func freeMemory() throws(PerseusError) -> Int {
        var free = 0
        var total = 0
        try driver.check(driver.calls.cuMemGetInfo(&free, &total), "cuMemGetInfo")
        return free
    }

    /// Waits for everything on the device; an error of an earlier kernel appears here.
    public func synchronize() throws(PerseusError) {
        try driver.check(driver.calls.cuCtxSynchronize(), "cuCtxSynchronize")
    }
}
