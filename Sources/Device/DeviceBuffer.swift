// Memory of the GPU, and memory of the host that the GPU sees.

import CCUDA
import Glibc
import PerseusPrimitives

extension CUDADevice {
    /// Memory of the device with unspecified contents.
    public func allocate(_ byteCount: Int) throws(PerseusError) -> DeviceBuffer {
        try DeviceBuffer(self, byteCount)
    }

    /// Zeroed pages of the host that the device reads and writes over the bus.
    public func allocateMapped(_ byteCount: Int) throws(PerseusError) -> MappedBuffer {
        try MappedBuffer(self, byteCount)
    }
}

/// Memory of the device, freed with its owner.
///
/// Synchronous calls do not wait for streams, which are non-blocking.
public final class DeviceBuffer: @unchecked Sendable {
    public let device: CUDADevice
    public let address: UInt64
    public let byteCount: Int

    fileprivate init(_ device: CUDADevice, _ byteCount: Int) throws(PerseusError) {
        precondition(byteCount > 0, "an empty device buffer")
        var address: UInt64 = 0
        let status = device.driver.calls.cuMemAlloc(&address, byteCount)
        guard status == 0 else {
            throw device.driver.error(status, "cuMemAlloc of \(byteCount) bytes")
        }
        self.device = device
        self.address = address
        self.byteCount = byteCount
    }

    deinit { device.release { $0.cuMemFree(address) } }

    /// Sets every byte.
    public func fill(_ value: UInt8, on stream: CUDAStream? = nil) throws(PerseusError) {
        let calls = device.driver.calls
        if let stream {
            try device.driver.check(
                calls.cuMemsetD8Async(address, value, byteCount, stream.handle), "cuMemsetD8Async")
        } else {
            try device.driver.check(calls.cuMemsetD8(address, value, byteCount), "cuMemsetD8")
        }
    }

    /// Sets every 32-bit word; the buffer holds whole words.
    public func fill(_ value: UInt32, on stream: CUDAStream? = nil) throws(PerseusError) {
        precondition(byteCount % 4 == 0, "a buffer of \(byteCount) bytes is filled with words")
        let calls = device.driver.calls
        let count = byteCount / 4
        if let stream {
            try device.driver.check(
                calls.cuMemsetD32Async(address, value, count, stream.handle), "cuMemsetD32Async")
        } else {
            try device.driver.check(calls.cuMemsetD32(address, value, count), "cuMemsetD32")
        }
    }

    /// Copies from the host, and returns when the bytes are there.
    public func write(from bytes: UnsafeRawBufferPointer, at offset: Int = 0) throws(PerseusError) {
        guard let source = start(bytes, at: offset) else { return }
        try device.driver.check(
            device.driver.calls.cuMemcpyHtoD(address + UInt64(offset), source, bytes.count),
            "cuMemcpyHtoD")
    }

    /// Starts a copy from the host; `bytes` must stay until the stream has passed it.
    public func write(
        from bytes: UnsafeRawBufferPointer, at offset: Int = 0, on stream: CUDAStream
    ) throws(PerseusError) {
        guard let source = start(bytes, at: offset) else { return }
        try device.driver.check(
            device.driver.calls.cuMemcpyHtoDAsync(
                address + UInt64(offset), source, bytes.count, stream.handle),
            "cuMemcpyHtoDAsync")
    }

    /// Copies to the host, and returns when the bytes are there.
    public func read(
        into bytes: UnsafeMutableRawBufferPointer, at offset: Int = 0
    ) throws(PerseusError) {
        guard start(UnsafeRawBufferPointer(bytes), at: offset) != nil else { return }
        try device.driver.check(
            device.driver.calls.cuMemcpyDtoH(
                bytes.baseAddress!, address + UInt64(offset), bytes.count), "cuMemcpyDtoH")
    }

    /// Starts a copy to the host; `bytes` must stay until the stream has passed it.
    public func read(
        into bytes: UnsafeMutableRawBufferPointer, at offset: Int = 0, on stream: CUDAStream
    ) throws(PerseusError) {
        guard start(UnsafeRawBufferPointer(bytes), at: offset) != nil else { return }
        try device.driver.check(
            device.driver.calls.cuMemcpyDtoHAsync(
                bytes.baseAddress!, address + UInt64(offset), bytes.count, stream.handle),
            "cuMemcpyDtoHAsync")
    }

    /// Starts a copy of `byteCount` bytes within the device.
    public func copy(
        from source: DeviceBuffer, at sourceOffset: Int = 0, to offset: Int = 0, byteCount: Int,
        on stream: CUDAStream
    ) throws(PerseusError) {
        precondition(
            byteCount >= 0 && offset >= 0 && byteCount <= self.byteCount - offset
                && sourceOffset >= 0 && byteCount <= source.byteCount - sourceOffset,
            "a copy of \(byteCount) bytes leaves its buffers")
        try device.driver.check(
            device.driver.calls.cuMemcpyDtoDAsync(
                address + UInt64(offset), source.address + UInt64(sourceOffset), byteCount,
                stream.handle),
            "cuMemcpyDtoDAsync")
    }

    /// The start of a copy's host side, nil for an empty copy.
    private func start(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UnsafeRawPointer? {
        precondition(
            offset >= 0 && bytes.count <= byteCount - offset,
            "bytes \(offset) ..< \(offset + bytes.count) of a buffer of \(byteCount)")
        return bytes.isEmpty ? nil : bytes.baseAddress
    }
}

extension DeviceBuffer {
    /// Copies an array to the device.
    public func write<Element: BitwiseCopyable>(
        _ elements: [Element], at offset: Int = 0
    ) throws(PerseusError) {
        try elements.span.bytes.withUnsafeBytes { bytes throws(PerseusError) in
            try write(from: bytes, at: offset)
        }
    }

    /// Copies `count` elements to an array.
    public func read<Element: BitwiseCopyable>(
        _ type: Element.Type, count: Int, at offset: Int = 0
    ) throws(PerseusError) -> [Element] {
        let buffer = UnsafeMutableBufferPointer<Element>.allocate(capacity: count)
        defer { buffer.deallocate() }
        try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
        return Array(buffer)
    }
}

/// Pages of the host that host and device see, zeroed; freed with their owner.
public final class MappedBuffer: @unchecked Sendable {
    public let device: CUDADevice
    /// Where the host sees the pages.
    public let pointer: UnsafeMutableRawPointer
    /// Where the device sees them.
    public let address: UInt64
    public let byteCount: Int

    fileprivate init(_ device: CUDADevice, _ byteCount: Int) throws(PerseusError) {
        precondition(byteCount > 0, "an empty mapped buffer")
        let calls = device.driver.calls
        var pointer: UnsafeMutableRawPointer?
        let flags = PERSEUS_CUDA_HOST_DEVICE_MAPPED | PERSEUS_CUDA_HOST_PORTABLE
        let status = calls.cuMemHostAlloc(&pointer, byteCount, CUnsignedInt(flags))
        guard status == 0, let pointer else {
            throw device.driver.error(status, "cuMemHostAlloc of \(byteCount) bytes")
        }
        var address: UInt64 = 0
        let mapped = calls.cuMemHostGetDevicePointer(&address, pointer, 0)
        guard mapped == 0 else {
            _ = calls.cuMemFreeHost(pointer)
            throw device.driver.error(mapped, "cuMemHostGetDevicePointer")
        }
        memset(pointer, 0, byteCount)
        self.device = device
        self.pointer = pointer
        self.address = address
        self.byteCount = byteCount
    }

    deinit { device.release { $0.cuMemFreeHost(pointer) } }
}
