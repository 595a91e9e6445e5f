// The values of `perseus doctor`.

import PerseusPrimitives

/// Everything `perseus doctor` was told.
public struct DoctorOptions: Equatable, Sendable {
    public var jsonPath: String?

    init(_ given: ParsedArguments) throws(PerseusError) {
        jsonPath = try given.value(of: CommonOptions.json)
    }
}

/// Declares `perseus doctor`.
enum DoctorDeclaration {
    static let command = CommandDeclaration(
        path: "perseus doctor",
        summary: "say what this machine offers, and how to get what it lacks",
        discussion: "Looks at processor, memory, GPU, NIC and libraries. Changes nothing, needs no "
            + "rights, and always exits with 0: nothing that it looks for is required.",
        groups: [OptionGroup(title: "Options", entries: [CommonOptions.json.entry])],
        examples: [
            CommandExample(purpose: "Look:", line: "perseus doctor"),
            CommandExample(
                purpose: "Keep the findings beside a measurement:",
                line: "perseus doctor --json machine.json"),
            CommandExample(
                purpose: "List only what is missing:", line: "perseus doctor | grep missing"),
        ])
}
