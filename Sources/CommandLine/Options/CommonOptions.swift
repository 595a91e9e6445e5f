// Options that mean the same on every command.

/// Shared declarations.
enum CommonOptions {
    static let json = CommandOption(
        "json", .file,
        help: "Write the report as JSON; - is the standard output.")
}
