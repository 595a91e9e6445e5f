// Device code compiles without a GPU, wherever NVRTC or nvcc is found; elsewhere these tests say that they were skipped.

import PerseusPrimitives
import Testing

@testable import PerseusDevice

private let compiler = try? KernelCompiler.find()
private let skipped: Comment =
    "skipped: no NVRTC and no nvcc here; PERSEUS_NVRTC names an installed one"

@Suite(.enabled(if: compiler != nil, skipped)) struct KernelCompilerTests {
    @Test(arguments: DeviceKernelRegistry.all.map(\.description))
    func everyProgramCompilesWithoutSpills(_ description: String) throws {
        let compiler = try #require(compiler)
        let program = try #require(
            DeviceKernelRegistry.all.first { $0.description == description })
        let kernels = try compiler.compile(program)
        #expect(kernels.cubin.starts(with: [0x7F] + Array("ELF".utf8)))
        #expect(!kernels.resources.isEmpty)
        for kernel in kernels.resources {
            #expect(kernel.registers > 0 && !kernel.spills, "\(kernel)")
        }
    }

    @Test func definesReachTheCode() throws {
        let compiler = try #require(compiler)
        let plain = try compiler.compile(DeviceProgram(source: "perseus_probe.cu"))
        let other = try compiler.compile(
            DeviceProgram(source: "perseus_probe.cu", defines: [("PERSEUS_PROBE_FACTOR", "3")]))
        #expect(plain.cubin != other.cubin)
    }

    /// Every layout header stands alone, and its assertions hold in the device's compiler too.
    @Test(arguments: DeviceSources.all.map(\.name).filter { $0.hasSuffix(".h") })
    func layoutHeadersCompile(_ header: String) throws {
        let compiler = try #require(compiler)
        let text = "#include \"\(header)\"\nextern \"C\" __global__ void nothing() {}\n"
        let kernels = try compiler.compile(
            DeviceProgram(source: "it.cu"), sources: DeviceSources.all + [("it.cu", text)])
        #expect(kernels.resources.map(\.name) == ["nothing"])
    }

    @Test func wrongCodeIsReportedWithItsLine() throws {
        let compiler = try #require(compiler)
        let text = "extern \"C\" __global__ void broken() {\n  nonsense();\n}\n"
        let error = #expect(throws: PerseusError.self) {
            try compiler.compile(DeviceProgram(source: "it.cu"), sources: [("it.cu", text)])
        }
        #expect(error?.kind == .wrongResult)
        #expect(error?.reason.contains("it.cu(2): error") == true, "\(error?.reason ?? "")")
    }

    @Test func spillsAreSeen() throws {
        let compiler = try #require(compiler)
        let text = """
            extern "C" __global__ void __launch_bounds__(1024, 2) greedy(float *values) {
                float kept[96];
                for (int round = 0; round < 4; round++) {
                    _Pragma("unroll")
                    for (int i = 0; i < 96; i++) kept[i] = values[i * 33 + round];
                    _Pragma("unroll")
                    for (int i = 0; i < 96; i++)
                        values[i * 7 + round] = kept[i] * kept[(i + 5) % 96] + kept[(i * 7) % 96];
                }
            }
            """
        let kernels = try compiler.compile(
            DeviceProgram(source: "it.cu"), sources: [("it.cu", text)])
        #expect(kernels.resources.map(\.spills) == [true], "\(kernels.log)")
    }
}

@Suite struct KernelResourcesTests {
    @Test func theAssemblersAccountIsRead() {
        let log = """
            ptxas info    : 0 bytes gmem
            ptxas info    : Compiling entry function 'first' for 'sm_90a'
            ptxas info    : Function properties for first
            ptxas         .     160 bytes stack frame, 164 bytes spill stores, 244 bytes spill loads
            ptxas info    : Used 32 registers, used 0 barriers, 160 bytes cumulative stack size
            ptxas info    : Compiling entry function 'second' for 'sm_90a'
                0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
            ptxas info    : Used 8 registers, used 1 barriers, 256 bytes smem
            """
        let kernels = KernelResources.parse(log)
        #expect(
            kernels == [
                KernelResources(
                    name: "first", registers: 32, stackBytes: 160, spillStoreBytes: 164,
                    spillLoadBytes: 244),
                KernelResources(name: "second", registers: 8, sharedBytes: 256),
            ])
        #expect(kernels.map(\.spills) == [true, false])
        #expect(KernelResources.parse("nothing of this kind").isEmpty)
    }
}

@Suite struct MissingCompilerTests {
    @Test func nothingFoundSaysWhatToInstall() {
        // The loader's own path is searched too, so this holds only where it has no NVRTC.
        guard compiler == nil else { return }
        let error = #expect(throws: PerseusError.self) {
            try KernelCompiler.find({ _ in nil }, systemFolders: [])
        }
        #expect(error?.kind == .environment)
        #expect(error?.message.contains("PERSEUS_NVRTC") == true)
    }

    @Test func aWrongNameIsNotPassedOver() {
        let error = #expect(throws: PerseusError.self) {
            try KernelCompiler.find { $0 == "PERSEUS_NVRTC" ? "/nowhere/libnvrtc.so.13" : nil }
        }
        #expect(error?.kind == .environment)
        #expect(error?.reason.hasPrefix("PERSEUS_NVRTC: cannot use NVRTC: ") == true)
    }
}
