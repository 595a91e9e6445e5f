// The device code that this program carries, and the programs that are made of it.

import CDeviceKernels

/// The embedded files of device code and the layout headers that they include.
public enum DeviceSources {
    /// Every file, by the name with which another file includes it.
    public static let all: [(name: String, text: String)] = {
        var files: [(name: String, text: String)] = []
        var file = perseus_device_sources()
        while let entry = file, let name = entry.pointee.name {
            files.append((String(cString: name), String(cString: entry.pointee.text)))
            file = entry + 1
        }
        return files
    }()

    static func text(_ name: String) -> String? { all.first { $0.name == name }?.text }
}

/// A device program: one `.cu` file among `DeviceSources`, with its macros.
public struct DeviceProgram: Sendable {
    /// The file that is compiled, `perseus_probe.cu`.
    public var source: String
    /// Macros in the order in which the compiler gets them.
    public var defines: [(String, String)]

    /// Bytes that a kernel may store to spill registers: 0 unless it is known where it does, and that it does not matter.
    public var spillByteLimit: Int

    public init(source: String, defines: [(String, String)] = [], spillByteLimit: Int = 0) {
        self.source = source
        self.defines = defines
        self.spillByteLimit = spillByteLimit
    }

    /// The program in one line, `perseus_probe.cu PERSEUS_PROBE_FACTOR=3`.
    public var description: String {
        ([source] + defines.map { "\($0.0)=\($0.1)" }).joined(separator: " ")
    }
}

/// Programs without a model's shape that every change must leave without spills.
public enum DeviceKernelRegistry {
    public static let all: [DeviceProgram] = [
        DeviceProgram(source: "perseus_probe.cu"),
        DeviceProgram(source: "bench_ring.cu"),
        DeviceProgram(source: "example_put_signal.cu"),
        DeviceProgram(source: "bench_put_signal.cu"),
    ]
}
