// The values of `perseus kernels compile`.

import PerseusPrimitives

/// Everything `perseus kernels compile` was told.
public struct KernelsOptions: Equatable, Sendable {
    public var jsonPath: String?

    init(_ given: ParsedArguments) throws(PerseusError) {
        jsonPath = try given.value(of: CommonOptions.json)
    }
}

/// Declares `perseus kernels` and its only subcommand.
enum KernelsDeclaration {
    static let compile = CommandDeclaration(
        path: "perseus kernels compile",
        summary: "compile the device code, and say what each kernel uses",
        discussion: "Compiles every device program for sm_90a with NVRTC or nvcc, without a GPU "
            + "and without the cache, and prints registers, stack, spills and shared memory of "
            + "each kernel. Exits with 1 when a kernel spills more registers than is known of it or "
            + "does not compile, and with 3 when there is no compiler; PERSEUS_NVRTC names one, as a library or as its "
            + "folder.",
        groups: [OptionGroup(title: "Options", entries: [CommonOptions.json.entry])],
        examples: examples)

    static let command = CommandDeclaration(
        path: "perseus kernels",
        summary: "compile the device code, which needs no GPU",
        discussion: "The device code travels inside the program as text. A run compiles what it "
            + "needs and keeps the result in PERSEUS_CACHE_DIR, else XDG_CACHE_HOME/perseus, else "
            + "~/.cache/perseus, where it may be deleted at any time.",
        subcommands: [compile],
        examples: examples)

    private static let examples = [
        CommandExample(purpose: "What each kernel uses:", line: "perseus kernels compile"),
        CommandExample(
            purpose: "The same for another program:",
            line: "perseus kernels compile --json kernels.json"),
        CommandExample(
            purpose: "One program's kernels:", line: "perseus kernels compile | grep probe"),
    ]
}
