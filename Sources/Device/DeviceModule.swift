// Compiled device code on a device, and launches of its kernels.

import CCUDA
import PerseusPrimitives

extension CUDADevice {
    /// Compiles a program, unless the cache has it, and loads it.
    public func load(_ program: DeviceProgram) throws(PerseusError) -> DeviceModule {
        try requireHopper()
        let compiler = try KernelCompiler.find()
        return try load(KernelCache.standard().compiled(program, by: compiler))
    }

    /// Loads compiled code.
    public func load(_ kernels: CompiledKernels) throws(PerseusError) -> DeviceModule {
        try DeviceModule(self, kernels)
    }
}

/// Loaded device code, unloaded with its owner.
public final class DeviceModule: @unchecked Sendable {
    public let device: CUDADevice
    let handle: UnsafeMutableRawPointer

    fileprivate init(_ device: CUDADevice, _ kernels: CompiledKernels) throws(PerseusError) {
        var handle: UnsafeMutableRawPointer?
        let status = kernels.cubin.withUnsafeBytes {
            device.driver.calls.cuModuleLoadData(&handle, $0.baseAddress!)
        }
        try device.driver.check(status, "cuModuleLoadData")
        guard let handle else {
            throw PerseusError(.environment, "cuModuleLoadData gave no module")
        }
        self.device = device
        self.handle = handle
    }

    deinit { device.release { $0.cuModuleUnload(handle) } }

    /// The kernel `name`, which the source declares `extern "C"`.
    public func function(_ name: String) throws(PerseusError) -> DeviceFunction {
        var function: UnsafeMutableRawPointer?
        let status = device.driver.calls.cuModuleGetFunction(&function, handle, name)
        guard status == 0, let function else {
            throw device.driver.error(status, "cuModuleGetFunction of \(name)")
        }
        return try DeviceFunction(self, name, function)
    }

    /// Place and size of the variable `name`, which the source declares `extern "C"`.
    public func global(
        _ name: String
    ) throws(PerseusError) -> (address: UInt64, byteCount: Int) {
        var address: UInt64 = 0
        var byteCount = 0
        let status = device.driver.calls.cuModuleGetGlobal(&address, &byteCount, handle, name)
        guard status == 0 else {
            throw device.driver.error(status, "cuModuleGetGlobal of \(name)")
        }
        return (address, byteCount)
    }
}

/// A kernel; keeps its module loaded.
public final class DeviceFunction: @unchecked Sendable {
    public let module: DeviceModule
    public let name: String
    public let registersPerThread: Int
    /// Stack and spilled registers of a thread, in bytes.
    public let localBytes: Int
    public let staticSharedBytes: Int

    private let handle: UnsafeMutableRawPointer
    private var driver: CUDADriver { module.device.driver }

    fileprivate init(
        _ module: DeviceModule, _ name: String, _ handle: UnsafeMutableRawPointer
    ) throws(PerseusError) {
        let driver = module.device.driver
        func attribute(_ number: Int) throws(PerseusError) -> Int {
            var value: CInt = 0
            try driver.check(
                driver.calls.cuFuncGetAttribute(&value, CInt(number), handle),
                "cuFuncGetAttribute")
            return Int(value)
        }
        registersPerThread = try attribute(PERSEUS_CUDA_FUNCTION_REGISTERS)
        localBytes = try attribute(PERSEUS_CUDA_FUNCTION_LOCAL_BYTES)
        staticSharedBytes = try attribute(PERSEUS_CUDA_FUNCTION_STATIC_SHARED_BYTES)
        self.module = module
        self.name = name
        self.handle = handle
    }

    /// Allows launches with up to `byteCount` of dynamic shared memory; without it 48 KiB.
    public func setMaxDynamicSharedBytes(_ byteCount: Int) throws(PerseusError) {
        let status = driver.calls.cuFuncSetAttribute(
            handle, CInt(PERSEUS_CUDA_FUNCTION_MAX_DYNAMIC_SHARED_BYTES), CInt(byteCount))
        guard status == 0 else {
            throw driver.error(
                status, "cuFuncSetAttribute of \(byteCount) shared bytes for \(name)")
        }
    }

    /// Blocks of this shape that a multiprocessor runs at once.
    public func maxActiveBlocksPerMultiprocessor(
        threads: Int, sharedBytes: Int
    ) throws(PerseusError) -> Int {
        var blocks: CInt = 0
        try driver.check(
            driver.calls.cuOccupancyMaxActiveBlocksPerMultiprocessor(
                &blocks, handle, CInt(threads), sharedBytes),
            "cuOccupancyMaxActiveBlocksPerMultiprocessor")
        return Int(blocks)
    }

    /// Puts a launch on `stream`; the values behind `arguments` are read before this returns.
    ///
    /// - Parameters:
    ///   - cooperative: Refuse the launch unless all blocks run at once.
    ///   - arguments: A pointer to the value of each parameter, in order.
    public func launch(
        grid: Int, block: Int, sharedBytes: Int = 0, cooperative: Bool = false,
        stream: CUDAStream, arguments: [UnsafeRawPointer]
    ) throws(PerseusError) {
        var pointers: [UnsafeMutableRawPointer?] = arguments.map {
            UnsafeMutableRawPointer(mutating: $0)
        }
        let calls = driver.calls
        let (blocks, threads) = (CUnsignedInt(grid), CUnsignedInt(block))
        let shared = CUnsignedInt(sharedBytes)
        let status =
            cooperative
            ? calls.cuLaunchCooperativeKernel(
                handle, blocks, 1, 1, threads, 1, 1, shared, stream.handle, &pointers)
            : calls.cuLaunchKernel(
                handle, blocks, 1, 1, threads, 1, 1, shared, stream.handle, &pointers, nil)
        guard status == 0 else {
            let call = cooperative ? "cuLaunchCooperativeKernel" : "cuLaunchKernel"
            throw driver.error(status, "\(call) of \(name), \(grid) x \(block) threads")
        }
    }

    public func launch(
        grid: Int, block: Int, sharedBytes: Int = 0, cooperative: Bool = false,
        stream: CUDAStream, arguments: LaunchArguments
    ) throws(PerseusError) {
        try arguments.withPointers { pointers throws(PerseusError) in
            try launch(
                grid: grid, block: block, sharedBytes: sharedBytes, cooperative: cooperative,
                stream: stream, arguments: pointers)
        }
    }
}
