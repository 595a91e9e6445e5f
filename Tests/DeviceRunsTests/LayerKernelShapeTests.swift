// What the megakernel is built with for each model, without a GPU.

import PerseusDevice
import PerseusDeviceRuns
import PerseusMoE
import Testing

@Suite struct LayerKernelShapeTests {
    /// No column of a published model is computed in vain.
    @Test(arguments: MoEModel.presets.map(\.name))
    func tilesDivideTheColumns(_ name: String) throws {
        let model = try #require(MoEModel.preset(name))
        let shape = LayerKernelShape(model)
        #expect(2 * model.intermediate % shape.upColumns == 0)
        #expect(model.hidden % shape.downColumns == 0)
    }

    /// A multiprocessor of a Hopper GPU gives a block 227 KiB.
    @Test(arguments: MoEModel.presets.map(\.name))
    func aBlockFitsAMultiprocessor(_ name: String) throws {
        let model = try #require(MoEModel.preset(name))
        let defines = Dictionary(
            uniqueKeysWithValues: LayerKernelShape(model).program(for: model).defines)
        let bytes = try #require(defines["PERSEUS_SHARED_BYTES"].flatMap(Int.init))
        #expect(bytes <= 227 * 1024)
    }

    /// Shapes of the fixtures, which no tile divides, are built all the same.
    @Test func oddShapesHaveATile() {
        var model = MoEModel.qwen3
        model.hidden = 96
        model.intermediate = 160
        let shape = LayerKernelShape(model)
        #expect([128, 192, 256].contains(shape.upColumns))
        #expect([128, 192, 256].contains(shape.downColumns))
    }

    @Test func everyPresetIsCompiledInCI() {
        #expect(LayerKernelShape.programs.count == MoEModel.presets.count)
    }
}
