// The command tree, and the way from the words of a command line to one typed invocation.

import PerseusPrimitives

/// What a command line asks for.
public enum Invocation: Equatable, Sendable {
    /// Print this text and exit with 0.
    case help(String)
    /// Print `perseusVersion` and exit with 0.
    case version
    case run(RunOptions)
    case bench(BenchOptions)
    case benchPutSignal(PutSignalOptions)
    case benchLayer(LayerBenchOptions)
    case simulateSeeds(SimulateOptions)
    case simulatePaper(PaperOptions)
    case simulateCalibrate(PaperOptions)
    case simulateExplain(ExplainOptions)
    case simulateSweep(SweepOptions)
    case simulateProfile(ProfileOptions)
    case kernelsCompile(KernelsOptions)
    case litmus(LitmusOptions)
    case doctor(DoctorOptions)

    /// Parses `arguments`, which exclude the name of the program.
    ///
    /// - Throws: `badInput`; the message names the command, such as
    ///   `perseus run: unknown option --scheem; did you mean --scheme?`.
    public static func parse(_ arguments: [String]) throws(PerseusError) -> Invocation {
        if arguments == ["--version"] { return .version }
        var command = CommandTree.root
        var rest = arguments[...]
        while !command.subcommands.isEmpty {
            guard let word = rest.popFirst(), !isHelp(word) else {
                return .help(HelpText.render(command))
            }
            command = try CommandTree.child(word, of: command)
        }
        if rest.contains(where: isHelp) { return .help(HelpText.render(command)) }
        return try invocation(of: ParsedArguments(rest, for: command))
    }

    private static func invocation(
        of given: ParsedArguments
    ) throws(PerseusError) -> Invocation {
        switch given.command.path {
        case RunDeclaration.command.path: .run(try RunOptions(given))
        case LitmusDeclaration.command.path: .litmus(try LitmusOptions(given))
        case DoctorDeclaration.command.path: .doctor(try DoctorOptions(given))
        case KernelsDeclaration.compile.path: .kernelsCompile(try KernelsOptions(given))
        case "perseus simulate seeds": .simulateSeeds(try SimulateOptions(given))
        case PutSignalDeclaration.command.path: .benchPutSignal(try PutSignalOptions(given))
        case LayerBenchDeclaration.command.path: .benchLayer(try LayerBenchOptions(given))
        case PaperDeclaration.command.path: .simulatePaper(try PaperOptions(given))
        case ExplainDeclaration.command.path: .simulateExplain(try ExplainOptions(given))
        case PaperDeclaration.calibration.path: .simulateCalibrate(try PaperOptions(given))
        case SweepDeclaration.command.path: .simulateSweep(try SweepOptions(given))
        case ProfileDeclaration.command.path: .simulateProfile(try ProfileOptions(given))
        default: .bench(try BenchOptions(given))
        }
    }

    private static func isHelp(_ word: String) -> Bool { word == "--help" || word == "-h" }
}

/// Every command.
enum CommandTree {
    static let root = CommandDeclaration(
        path: "perseus",
        summary: "MoE layers over many ranks without waiting for the network",
        discussion: "Kernels write 16-byte commands; proxies turn them into RDMA; signals stay "
            + "behind their data without stalls. Start with perseus run: it needs no GPU and no "
            + "NIC. Exit status: 0 fine, 1 wrong result, 2 bad usage or input, 3 something this "
            + "machine lacks, 4 a deadline passed or a peer died.",
        subcommands: [
            RunDeclaration.command, BenchDeclaration.command, SimulateDeclaration.command,
            KernelsDeclaration.command, LitmusDeclaration.command, DoctorDeclaration.command,
        ],
        examples: [
            CommandExample(
                purpose: "One layer on eight ranks, every scheme:", line: "perseus run"),
            CommandExample(
                purpose: "What this machine offers:", line: "perseus doctor"),
            CommandExample(
                purpose: "Two hundred scenarios with faults:", line: "perseus simulate seeds"),
        ])

    /// The command under `parent` called `word`.
    static func child(
        _ word: String, of parent: CommandDeclaration
    ) throws(PerseusError) -> CommandDeclaration {
        if let child = parent.subcommands.first(where: { $0.name == word }) { return child }
        let kind = word.hasPrefix("-") ? "option" : "command"
        let names =
            parent.subcommands.map(\.name) + (kind == "option" ? ["--help", "--version"] : [])
        let clause = NameSuggestion.clause(for: word, among: names)
        throw PerseusError(.badInput, "\(parent.path): unknown \(kind) \(word)\(clause)")
    }
}

/// The version that `perseus --version` prints.
public let perseusVersion = "0.1.0"
