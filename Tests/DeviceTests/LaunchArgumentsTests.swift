// Parameters lie where a kernel's parameter list has them, and what is missing of a driver is said in one line.

import PerseusPrimitives
import Testing

@testable import PerseusDevice

@Suite struct LaunchArgumentsTests {
    private struct Pair: BitwiseCopyable {
        var first: UInt32
        var second: UInt64
    }

    @Test func parametersStandOnTheirBoundaries() {
        var arguments = LaunchArguments()
        arguments.append(UInt32(0x0102_0304))
        arguments.append(UInt64(7))
        arguments.append(UInt32(9))
        arguments.append(Pair(first: 1, second: 2))
        arguments.append(UInt8(5))
        arguments.append(Float(1))
        #expect(arguments.offsets == [0, 8, 16, 24, 40, 44])
        #expect(arguments.bytes.count == 48)
        #expect(Array(arguments.bytes[0..<8]) == [4, 3, 2, 1, 0, 0, 0, 0])
    }

    @Test func aWideValueStandsOnItsBoundaryInMemoryToo() {
        #expect(MemoryLayout<TensorMap>.size == 128)
        #expect(MemoryLayout<TensorMap>.stride == 128)
        let words = InlineArray<16, UInt64> { UInt64($0) + 100 }
        var arguments = LaunchArguments()
        arguments.append(UInt64(1))
        arguments.append(words, alignment: TensorMap.alignment)
        arguments.append(UInt32(2))
        arguments.append(words, alignment: TensorMap.alignment)
        #expect(arguments.offsets == [0, 64, 192, 256])
        arguments.withPointers { pointers in
            #expect(pointers[0].load(as: UInt64.self) == 1)
            for pointer in [pointers[1], pointers[3]] {
                #expect(UInt(bitPattern: pointer) % 64 == 0)
                #expect(pointer.load(fromByteOffset: 120, as: UInt64.self) == 115)
            }
            #expect(pointers[2].load(as: UInt32.self) == 2)
        }
    }

    @Test func noParametersAreFine() {
        LaunchArguments().withPointers { #expect($0.isEmpty) }
    }
}

@Suite struct MissingDriverTests {
    @Test func aMissingDriverIsOneLineOfTheEnvironment() {
        let error = #expect(throws: PerseusError.self) {
            try CUDADriver.load("libcuda-that-is-nowhere.so.1")
        }
        #expect(error?.kind == .environment)
        #expect(error?.kind.rawValue == 3)
        #expect(
            error?.reason == "no CUDA driver: libcuda-that-is-nowhere.so.1 was not found")
    }

    @Test func aLibraryThatIsNoDriverSaysWhatItLacks() {
        let error = #expect(throws: PerseusError.self) { try CUDADriver.load("libc.so.6") }
        #expect(error?.kind == .environment)
        #expect(error?.reason == "the CUDA driver is too old: libc.so.6 lacks cuInit")
    }
}

@Suite struct DeviceSourcesTests {
    @Test func everyFileIsThereOnceAndIsText() {
        let names = DeviceSources.all.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(names.contains("perseus_command.h") && names.contains("perseus_probe.cu"))
        for (name, text) in DeviceSources.all {
            #expect(text.hasPrefix("//") && text.hasSuffix("\n"), "\(name)")
        }
    }

    @Test func everyIncludeOfAFileIsEmbedded() {
        let names = Set(DeviceSources.all.map(\.name))
        for (name, text) in DeviceSources.all {
            for line in text.split(separator: "\n") where line.hasPrefix("#include \"") {
                let included = String(line.split(separator: "\"")[1])
                #expect(names.contains(included), "\(name) includes \(included)")
            }
        }
    }
}
