// Streams, on which the device works in order, and events, which mark places on them.

import CCUDA
import PerseusPrimitives

extension CUDADevice {
    /// A stream that waits for no other stream.
    public func makeStream() throws(PerseusError) -> CUDAStream { try CUDAStream(self) }

    /// - Parameter isTimed: Whether `elapsedMilliseconds(since:)` will be asked.
    public func makeEvent(isTimed: Bool = true) throws(PerseusError) -> CUDAEvent {
        try CUDAEvent(self, isTimed: isTimed)
    }
}

/// A non-blocking stream, destroyed with its owner.
public final class CUDAStream: @unchecked Sendable {
    public let device: CUDADevice
    let handle: UnsafeMutableRawPointer

    fileprivate init(_ device: CUDADevice) throws(PerseusError) {
        var handle: UnsafeMutableRawPointer?
        try device.driver.check(
            device.driver.calls.cuStreamCreate(
                &handle, CUnsignedInt(PERSEUS_CUDA_STREAM_NON_BLOCKING)), "cuStreamCreate")
        guard let handle else { throw PerseusError(.environment, "cuStreamCreate gave no stream") }
        self.device = device
        self.handle = handle
    }

    deinit { device.release { $0.cuStreamDestroy(handle) } }

    /// Waits until the device has done all that was put on the stream.
    public func synchronize() throws(PerseusError) {
        try device.driver.check(
            device.driver.calls.cuStreamSynchronize(handle), "cuStreamSynchronize")
    }

    /// Whether the device has done all that was put on the stream.
    public func query() throws(PerseusError) -> Bool {
        try device.isDone(device.driver.calls.cuStreamQuery(handle), "cuStreamQuery")
    }

    /// What is put on the stream from now on waits for `event`.
    public func wait(for event: CUDAEvent) throws(PerseusError) {
        try device.driver.check(
            device.driver.calls.cuStreamWaitEvent(handle, event.handle, 0), "cuStreamWaitEvent")
    }
}

/// A place on a stream, destroyed with its owner.
public final class CUDAEvent: @unchecked Sendable {
    public let device: CUDADevice
    let handle: UnsafeMutableRawPointer

    fileprivate init(_ device: CUDADevice, isTimed: Bool) throws(PerseusError) {
        var handle: UnsafeMutableRawPointer?
        try device.driver.check(
            device.driver.calls.cuEventCreate(
                &handle, isTimed ? 0 : CUnsignedInt(PERSEUS_CUDA_EVENT_UNTIMED)), "cuEventCreate")
        guard let handle else { throw PerseusError(.environment, "cuEventCreate gave no event") }
        self.device = device
        self.handle = handle
    }

    deinit { device.release { $0.cuEventDestroy(handle) } }

    /// Marks the end of what is on `stream` now.
    public func record(on stream: CUDAStream) throws(PerseusError) {
        try device.driver.check(
            device.driver.calls.cuEventRecord(handle, stream.handle), "cuEventRecord")
    }

    /// Waits until the device has passed the place.
    public func synchronize() throws(PerseusError) {
        try device.driver.check(
            device.driver.calls.cuEventSynchronize(handle), "cuEventSynchronize")
    }

    /// Whether the device has passed the place.
    public func query() throws(PerseusError) -> Bool {
        try device.isDone(device.driver.calls.cuEventQuery(handle), "cuEventQuery")
    }

    /// Time between two places that the device has passed.
    public func elapsedMilliseconds(since start: CUDAEvent) throws(PerseusError) -> Double {
        var milliseconds: Float = 0
        try device.driver.check(
            device.driver.calls.cuEventElapsedTime(&milliseconds, start.handle, handle),
            "cuEventElapsedTime")
        return Double(milliseconds)
    }
}

extension CUDADevice {
    fileprivate func isDone(
        _ status: perseus_cuda_status, _ call: StaticString
    ) throws(PerseusError) -> Bool {
        if Int(status) == PERSEUS_CUDA_NOT_READY { return false }
        try driver.check(status, call)
        return true
    }
}
