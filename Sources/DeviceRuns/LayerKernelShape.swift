// From a model to the megakernel compiled for it: tile sizes and the definitions of shape.cuh.

import CPerseusABI
import PerseusDevice
import PerseusMoE

/// How the megakernel is built for a model.
public struct LayerKernelShape: Sendable, Equatable {
    /// Columns of a tile of the first multiplication (gate and up together), and of the second one.
    public var upColumns: Int
    public var downColumns: Int
    /// Stages of 64 columns of K in shared memory.
    public var stages: Int

    /// The megakernel for every published model.
    public static var programs: [DeviceProgram] {
        MoEModel.presets.map { LayerKernelShape($0).program(for: $0) }
    }

    /// The widest tile that divides the columns, so that no column is computed in vain; 256 where none does.
    public init(_ model: MoEModel) {
        upColumns = Self.columns(2 * model.intermediate)
        downColumns = Self.columns(model.hidden)
        stages = max(upColumns, downColumns) > 192 ? 4 : 5
    }

    private static func columns(_ count: Int) -> Int {
        [256, 240, 192, 128].first { count % $0 == 0 } ?? (count <= 128 ? 128 : 256)
    }

    /// Dynamic shared memory of a block: a worker's stages, an operator's counters, a copy block's chunks, and what belongs
    /// to them. The kernel asserts that it is enough.
    func sharedBytes(_ model: MoEModel) -> Int {
        let worker = stages * (Int(PERSEUS_DEVICE_TILE_ROWS) + max(upColumns, downColumns)) * 128
        let planner = (12 + 4) * 4 * model.expertCount
        return max(max(worker, planner) + 3072, Int(PERSEUS_DEVICE_COPY_SHARED_BYTES))
    }

    /// The program for `model`.
    public func program(for model: MoEModel) -> DeviceProgram {
        var clamp: (alpha: Float, limit: Float)?
        if case .clampedSwiGLU(let alpha, let limit) = model.activation { clamp = (alpha, limit) }
        return DeviceProgram(
            source: "megakernel.cu",
            defines: [
                ("PERSEUS_HIDDEN", "\(model.hidden)"),
                ("PERSEUS_INTERMEDIATE", "\(model.intermediate)"),
                ("PERSEUS_SHARED_INTERMEDIATE", "\(model.sharedIntermediate)"),
                ("PERSEUS_EXPERTS", "\(model.expertCount)"),
                ("PERSEUS_TOP_K", "\(model.topK)"),
                ("PERSEUS_UP_COLUMNS", "\(upColumns)"),
                ("PERSEUS_DOWN_COLUMNS", "\(downColumns)"),
                ("PERSEUS_STAGES", "\(stages)"),
                ("PERSEUS_SHARED_BYTES", "\(sharedBytes(model))"),
                ("PERSEUS_CLAMPED", clamp == nil ? "0" : "1"),
                ("PERSEUS_CLAMP_ALPHA", "\(clamp?.alpha ?? 1)f"),
                ("PERSEUS_CLAMP_LIMIT", "\(clamp?.limit ?? 0)f"),
                ("PERSEUS_BIAS", model.hasBias ? "1" : "0"),
                ("PERSEUS_SCALES_INPUT", model.scalesInput ? "1" : "0"),
            ],
            // In the operator, packing and combining; the loops over K have none (docs/gpu.md, What is open).
            spillByteLimit: 700)
    }
}
