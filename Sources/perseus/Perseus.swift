// The command line's entry: one invocation in, one exit status out.

import Foundation
import PerseusCommandLine
import PerseusPrimitives

@main
struct Perseus {
    static func main() {
        // A reader that goes away (`| head`) is an error of a write, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        let arguments = Array(CommandLine.arguments.dropFirst())
        do {
            try execute(Invocation.parse(arguments))
        } catch let error as PerseusError {
            let command = (["perseus"] + arguments.prefix { !$0.hasPrefix("-") }.prefix(2)).joined(
                separator: " ")
            FileHandle.standardError.write(Data((errorLine(error, command: command) + "\n").utf8))
            exit(error.kind.rawValue)
        } catch {
            FileHandle.standardError.write(Data("perseus: \(error)\n".utf8))
            exit(PerseusError.Kind.environment.rawValue)
        }
    }

    private static func execute(_ invocation: Invocation) throws {
        switch invocation {
        case .help(let text): print(text, terminator: "")
        case .version: print("perseus \(perseusVersion)")
        case .run(let options): try RunCommand(options).execute()
        case .bench(let options): try executeBench(options)
        case .simulateSeeds(let options): try executeSeeds(options)
        case .doctor(let options): try executeDoctor(options)
        }
    }
}
