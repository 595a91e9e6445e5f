// A layer's weights in device memory, as the megakernel's tiles read them.

import CPerseusABI
import PerseusDevice
import PerseusExpertKernels
import PerseusMoE
import PerseusPrimitives

/// Experts of one shape in device memory.
///
/// `up` is [experts][2 x intermediate][hidden] with gate and up interleaved by 8 rows, so that both halves of an
/// activation meet in one thread; `down` is [experts][hidden][intermediate].
final class DeviceExperts {
    let up: DeviceBuffer
    let down: DeviceBuffer
    /// F32 in the same order; nil without biases.
    let upBias: DeviceBuffer?
    let downBias: DeviceBuffer?
    let upMap: TensorMap
    let downMap: TensorMap

    init(
        _ source: any ExpertWeightSource, shape: LayerKernelShape, device: CUDADevice, threads: Int
    ) throws {
        let dimensions = source.dimensions
        let (hidden, inner) = (dimensions.hidden, dimensions.intermediate)
        let experts = source.expertCount
        let elements = hidden * inner
        up = try device.allocate(experts * elements * 4)
        down = try device.allocate(experts * elements * 2)
        upBias = source.hasBias ? try device.allocate(experts * inner * 8) : nil
        downBias = source.hasBias ? try device.allocate(experts * hidden * 4) : nil
        upMap = try device.tensorMap2D(
            address: up.address, rows: experts * 2 * inner, columns: hidden,
            rowStrideBytes: hidden * 2, boxRows: shape.upColumns, boxColumns: 64)
        downMap = try device.tensorMap2D(
            address: down.address, rows: experts * hidden, columns: inner,
            rowStrideBytes: inner * 2, boxRows: shape.downColumns, boxColumns: 64)
        let loader = Loader(source: source, target: self, device: device)
        try runOnThreads(max(1, min(threads, experts)), itemCount: experts) { items in
            loader.load(items)
        }
    }

    var byteCount: Int { up.byteCount + down.byteCount }

    /// Copies experts over, one thread's share at a time.
    private final class Loader: @unchecked Sendable {
        let source: any ExpertWeightSource
        unowned let target: DeviceExperts
        let device: CUDADevice

        init(source: any ExpertWeightSource, target: DeviceExperts, device: CUDADevice) {
            self.source = source
            self.target = target
            self.device = device
        }

        func load(_ items: StrideTo<Int>) -> (Int, any Error)? {
            let (hidden, inner) = (source.dimensions.hidden, source.dimensions.intermediate)
            let buffer = ExpertWeightBuffer.allocate(source.dimensions, hasBias: source.hasBias)
            let both = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: 2 * hidden * inner)
            defer {
                buffer.deallocate()
                both.deallocate()
            }
            for expert in items {
                do {
                    try device.makeCurrent()
                    try source.load(expert: expert, into: buffer)
                    interleave(buffer, into: both.baseAddress!)
                    try target.up.write(
                        from: UnsafeRawBufferPointer(both), at: expert * hidden * inner * 4)
                    try target.down.write(
                        from: UnsafeRawBufferPointer(buffer.down), at: expert * hidden * inner * 2)
                    try writeBiases(buffer, expert)
                } catch { return (expert, error) }
            }
            return nil
        }

        /// Rows of 8 gates, then the 8 ups that belong to them.
        private func interleave(
            _ buffer: ExpertWeightBuffer, into both: UnsafeMutablePointer<UInt16>
        ) {
            let (hidden, inner) = (source.dimensions.hidden, source.dimensions.intermediate)
            let block = 8 * hidden
            for group in 0..<inner / 8 {
                let target = both + 2 * group * block
                target.update(from: buffer.gate.baseAddress! + group * block, count: block)
                (target + block).update(from: buffer.up.baseAddress! + group * block, count: block)
            }
        }

        private func writeBiases(_ buffer: ExpertWeightBuffer, _ expert: Int) throws {
            guard let upBias = target.upBias, let downBias = target.downBias,
                let gate = buffer.gateBias, let up = buffer.upBias, let down = buffer.downBias
            else { return }
            let inner = source.dimensions.intermediate
            var both: [Float] = []
            both.reserveCapacity(2 * inner)
            for first in stride(from: 0, to: inner, by: 8) {
                both += gate[first..<first + 8]
                both += up[first..<first + 8]
            }
            try upBias.write(both, at: expert * inner * 8)
            try downBias.write([Float](down), at: expert * source.dimensions.hidden * 4)
        }
    }
}

/// Everything that a layer on a device multiplies by; shared by all runs.
public final class DeviceWeights {
    public let model: MoEModel
    public let shape: LayerKernelShape
    let experts: DeviceExperts
    let shared: DeviceExperts?
    /// The four tensor maps, in device memory.
    let maps: DeviceBuffer

    /// - Throws: `badInput` when the megakernel cannot be built for the model's shape.
    public init(_ weights: LayerWeights, device: CUDADevice, threads: Int) throws {
        model = weights.model
        guard model.hidden % 8 == 0, model.intermediate % 8 == 0, model.sharedIntermediate % 8 == 0
        else {
            throw PerseusError(
                .badInput,
                "--device cuda: hidden \(model.hidden) and intermediate \(model.intermediate) must be"
                    + " multiples of 8")
        }
        let shape = LayerKernelShape(weights.model)
        let experts = try DeviceExperts(
            weights.experts, shape: shape, device: device, threads: threads)
        let shared = try weights.shared.map {
            try DeviceExperts($0, shape: shape, device: device, threads: 1)
        }
        (self.shape, self.experts, self.shared) = (shape, experts, shared)
        let list = [
            experts.upMap, experts.downMap, (shared ?? experts).upMap, (shared ?? experts).downMap,
        ]
        maps = try device.allocate(list.count * 128)
        try maps.write(list)
    }

    public var byteCount: Int { experts.byteCount + (shared?.byteCount ?? 0) }
}
