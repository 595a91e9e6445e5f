// The command line's entry: one invocation in, one exit status out.

import Foundation
import PerseusCommandLine
import PerseusPrimitives

@main
struct Perseus {
    static func main() {
        // A reader that goes away (`| head`) is an error of a write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        TextStream.openMissingDescriptors()
        let arguments = Array(CommandLine.arguments.dropFirst())
        do {
            try execute(Invocation.parse(arguments))
            try flush()
        } catch let error as PerseusError {
            let command = (["perseus"] + arguments.prefix { !$0.hasPrefix("-") }.prefix(2)).joined(
                separator: " ")
            fail(errorLine(error, command: command), error.kind)
        } catch {
            fail("perseus: \(error)", .environment)
        }
    }

    private static func execute(_ invocation: Invocation) throws {
        switch invocation {
        case .help(let text): try TextStream.output.write(text)
        case .version: try TextStream.output.writeLine("perseus \(perseusVersion)")
        case .run(let options): try RunCommand(options).execute()
        case .bench(let options): try executeBench(options)
        case .benchPutSignal(let options): try executePutSignal(options)
        case .benchLayer(let options): try executeBenchLayer(options)
        case .simulateSeeds(let options): try executeSeeds(options)
        case .simulatePaper(let options): try executePaper(options)
        case .simulateCalibrate(let options): try executeCalibrate(options)
        case .simulateExplain(let options): try executeExplain(options)
        case .simulateSweep(let options): try executeSweep(options)
        case .simulateProfile(let options): try executeProfile(options)
        case .kernelsCompile(let options): try executeKernelsCompile(options)
        case .litmus(let options): try executeLitmus(options)
        case .doctor(let options): try executeDoctor(options)
        }
    }

    /// What commands print through buffers may fail only here, on a full disk.
    private static func flush() throws(PerseusError) {
        guard fflush(nil) == 0 || errno == EPIPE else {
            throw PerseusError(
                .environment, "cannot write the text: \(String(cString: strerror(errno)))")
        }
    }

    private static func fail(_ line: String, _ kind: PerseusError.Kind) -> Never {
        fflush(nil)
        // Nobody is left to be told when the standard error cannot be written.
        try? TextStream.error.writeLine(line)
        exit(kind.rawValue)
    }
}
