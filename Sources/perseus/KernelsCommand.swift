// `perseus kernels compile`: whether the device code compiles, and what each kernel uses.

import PerseusCommandLine
import PerseusDevice
import PerseusDeviceRuns
import PerseusPrimitives

/// What compiled the kernels.
private struct KernelsContext: Codable, Equatable, Sendable {
    var compiler: String
    var architecture = "sm_90a"
}

/// What one kernel of one program uses.
private struct KernelResult: Codable, Equatable, Sendable {
    var program: String
    var kernel: String
    var registers: Int
    var stackBytes: Int
    var spillStoreBytes: Int
    var spillLoadBytes: Int
    var sharedBytes: Int

    init(_ program: DeviceProgram, _ resources: KernelResources) {
        self.program = program.description
        kernel = resources.name
        registers = resources.registers
        stackBytes = resources.stackBytes
        spillStoreBytes = resources.spillStoreBytes
        spillLoadBytes = resources.spillLoadBytes
        sharedBytes = resources.sharedBytes
    }
}

/// A report on the standard output stands there alone.
func executeKernelsCompile(_ options: KernelsOptions) throws {
    let compiler = try KernelCompiler.find()
    var results: [KernelResult] = []
    var failures: [String] = []
    for program in DeviceKernelRegistry.all + LayerKernelShape.programs {
        do throws(PerseusError) {
            let kernels = try compiler.compile(program).resources
            if kernels.isEmpty { failures.append("\(program.description) has no kernel") }
            results += kernels.map { KernelResult(program, $0) }
            failures += kernels.filter { $0.spillStoreBytes > program.spillByteLimit }.map {
                "\($0.name) of \(program.description) spills \($0.spillStoreBytes) bytes of registers, at most"
                    + " \(program.spillByteLimit) are known"
            }
        } catch {
            // An installation that cannot compile is not the code's fault.
            guard error.kind == .wrongResult else { throw error }
            failures.append(error.message)
        }
    }
    let stream = options.jsonPath == "-" ? TextStream.error : .output
    try stream.write(text(of: results, compiler))
    if let path = options.jsonPath {
        try writeJSON(
            Report(
                command: "kernels compile",
                context: KernelsContext(compiler: compiler.description), results: results),
            to: path)
    }
    if !failures.isEmpty {
        throw PerseusError(.wrongResult, failures.joined(separator: "\n"))
    }
}

private func text(of results: [KernelResult], _ compiler: KernelCompiler) -> String {
    var table = TextTable([
        "kernel", "registers", "stack", "spill stores", "spill loads", "shared", "program",
    ])
    for result in results {
        table.addRow(
            [result.kernel]
                + [
                    result.registers, result.stackBytes, result.spillStoreBytes,
                    result.spillLoadBytes, result.sharedBytes,
                ].map { "\($0)" } + [result.program])
    }
    return table.render() + "\(compiler.description), sm_90a; sizes in bytes\n"
}
