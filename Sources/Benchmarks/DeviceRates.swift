// What a GPU can do at most, measured in the same run: the largest matrix product and a copy.

import CPerseusShims
import Foundation
import PerseusDevice
import PerseusMoE
import PerseusPrimitives

/// Rates that floors and percentages are computed from.
struct DeviceRates {
    /// Of a bf16 product of 8192 x 8192 matrices, floating-point operations per nanosecond; nil without cuBLAS.
    var product: Double?
    /// What made `product`, or why there is none.
    var productSource: String
    /// Bytes read and written per nanosecond by a copy of 2 GiB.
    var copy: Double

    /// Nanoseconds that no kernel can stay below: all products at the best rate, or every weight read once.
    func floor(operations: Double, bytes: Double) -> Double? {
        product.map { max(operations / $0, bytes / copy) }
    }
}

extension DeviceRates {
    /// Side of the matrices.
    private static let side = 8192
    private static let callCount = 20
    /// Idle before every measurement, so that each begins with a cool and unthrottled GPU.
    static let idleNanoseconds: UInt64 = 450_000_000

    /// Measures both; takes 4 GiB of the device for a moment.
    static func measure(_ device: CUDADevice) throws -> DeviceRates {
        let stream = try device.makeStream()
        let copy = try copyRate(device, stream)
        do {
            let library = try CUBLAS(device)
            let rate = try productRate(library, stream)
            return DeviceRates(
                product: rate, productSource: "cuBLAS \(library.version)", copy: copy)
        } catch let error as PerseusError where error.kind == .environment {
            return DeviceRates(product: nil, productSource: error.message, copy: copy)
        }
    }

    private static func copyRate(_ device: CUDADevice, _ stream: CUDAStream) throws -> Double {
        let byteCount = 2 << 30
        let (source, target) = (try device.allocate(byteCount), try device.allocate(byteCount))
        try source.fill(0x5A as UInt8)
        let nanoseconds = try median(device, stream) {
            try target.copy(from: source, byteCount: byteCount, on: stream)
        }
        return Double(2 * byteCount) / nanoseconds
    }

    private static func productRate(_ library: CUBLAS, _ stream: CUDAStream) throws -> Double {
        let device = library.device
        let count = side * side
        let buffers = try (0..<3).map { _ in try device.allocate(count * 2) }
        let random = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: count)
        defer { random.deallocate() }
        for index in 0..<2 {
            fillRandomBFloat16(
                random.baseAddress!, count: count, seed: UInt64(index + 1), scale: 1)
            try buffers[index].write(from: UnsafeRawBufferPointer(random))
        }
        let nanoseconds = try [true, false].map { transposesFirst in
            try median(device, stream) {
                try library.multiplySquare(
                    buffers[0], buffers[1], into: buffers[2], size: side,
                    transposesFirst: transposesFirst, on: stream)
            }
        }
        return 2 * Double(side) * Double(side) * Double(side) / nanoseconds.min()!
    }

    /// Nanoseconds of one call, the median of many back to back, each between two events.
    private static func median(
        _ device: CUDADevice, _ stream: CUDAStream, _ call: () throws -> Void
    ) throws -> Double {
        for _ in 0..<2 { try call() }
        try stream.synchronize()
        perseus_sleep_nanoseconds(idleNanoseconds)
        let events = try (0...callCount).map { _ in try device.makeEvent() }
        try events[0].record(on: stream)
        for index in 1...callCount {
            try call()
            try events[index].record(on: stream)
        }
        try stream.synchronize()
        let samples = try (1...callCount).map {
            try events[$0].elapsedMilliseconds(since: events[$0 - 1]) * 1e6
        }
        return BenchmarkStatistics(samples: samples).median
    }
}
