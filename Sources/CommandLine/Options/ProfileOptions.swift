// The values of `perseus simulate profile`.

import PerseusPrimitives

/// Everything `perseus simulate profile` was told.
public struct ProfileOptions: Equatable, Sendable {
    /// A built-in name or a path; nil asks for the list of the built-in ones.
    public var profile: String?
    public var jsonPath: String?

    init(_ given: ParsedArguments) throws(PerseusError) {
        profile = try given.value(of: ProfileDeclaration.profile)
        jsonPath = try given.value(of: CommonOptions.json)
    }
}

/// Declares `perseus simulate profile`.
enum ProfileDeclaration {
    static let profile = CommandOption(
        "profile", .profile, absent: "a list of the built-in ones",
        help: "The profile to print.")

    static let command = CommandDeclaration(
        path: "perseus simulate profile",
        summary:
            "print the cluster that perseus run --profile models, as a file to copy and change",
        discussion: "Every value of the profile with its unit, its meaning and its source, in the "
            + "format that --profile reads. A file may also name a built-in profile with based-on "
            + "and give only what differs; see docs/profiles.md.",
        groups: [
            OptionGroup(title: "Options", entries: [profile.entry, CommonOptions.json.entry])
        ],
        examples: [
            CommandExample(
                purpose: "The built-in profiles:", line: "perseus simulate profile"),
            CommandExample(
                purpose: "A file to change, for perseus run --profile my.profile:",
                line: "perseus simulate profile --profile h100-connectx7 > my.profile"),
            CommandExample(
                purpose: "The values for another program, in nanoseconds, GB/s, GFLOP/s, bytes:",
                line: "perseus simulate profile --profile efa-srd --json efa.json"),
        ])
}
