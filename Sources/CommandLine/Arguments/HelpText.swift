// Help generated from a command's declaration: usage, groups of options, defaults, examples.

/// Lays out what `--help` prints.
enum HelpText {
    /// Columns of a line; fits the narrowest terminal that people use.
    static let width = 80
    /// The column where explanations start.
    private static let explanationColumn = 26

    /// The whole help of `command`, ending with a newline.
    static func render(_ command: CommandDeclaration) -> String {
        var lines = wrap("\(command.path) - \(command.summary)", indent: 0) + [""]
        lines.append("Usage: \(usage(of: command))")
        lines.append("")
        lines += wrap(command.discussion, indent: 0)
        if !command.subcommands.isEmpty {
            lines += ["", "Commands"]
            for child in command.subcommands {
                lines += row("  \(child.name)", child.summary)
            }
        }
        for group in groupsWithHelp(command) {
            lines += ["", group.title]
            for entry in group.entries { lines += row(for: entry) }
        }
        lines += ["", "Examples"]
        for example in command.examples {
            lines += wrap(example.purpose, indent: 2)
            lines.append("      \(example.line)")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func usage(of command: CommandDeclaration) -> String {
        command.path + (command.subcommands.isEmpty ? " [options]" : " COMMAND [options]")
    }

    /// The declared groups and the option that every command has.
    private static func groupsWithHelp(_ command: CommandDeclaration) -> [OptionGroup] {
        var entries = [
            OptionEntry(
                name: "help", placeholder: nil, defaultText: nil, help: "Print this text (also -h)."
            )
        ]
        if command.path == CommandTree.root.path {
            entries.append(
                OptionEntry(
                    name: "version", placeholder: nil, defaultText: nil, help: "Print the version.")
            )
        }
        return command.groups + [OptionGroup(title: "Help", entries: entries)]
    }

    private static func row(for entry: OptionEntry) -> [String] {
        let placeholder = entry.placeholder.map { " \($0)" } ?? ""
        let defaultText = entry.defaultText.map { " " + unbroken("(default: \($0))") } ?? ""
        return row("  --\(entry.name)\(placeholder)", entry.help + defaultText)
    }

    /// `text` as one word for `wrap`.
    private static func unbroken(_ text: String) -> String {
        text.replacing(" ", with: String(unbrokenSpace))
    }

    private static let unbrokenSpace: Character = "\u{A0}"

    /// A left and a right column; a long left part gets a line of its own.
    private static func row(_ left: String, _ right: String) -> [String] {
        var lines = wrap(right, indent: explanationColumn)
        guard left.count < explanationColumn - 1 else { return [left] + lines }
        let padding = String(repeating: " ", count: explanationColumn - left.count)
        lines[0] = left + padding + lines[0].dropFirst(explanationColumn)
        return lines
    }

    /// Breaks `text` at spaces so that no line is longer than `width`, unless one word is.
    static func wrap(_ text: String, indent: Int) -> [String] {
        let margin = String(repeating: " ", count: indent)
        var lines: [String] = []
        var line = margin
        for word in text.split(separator: " ") {
            let isEmpty = line.count == indent
            if !isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = margin + word
            } else {
                line += (isEmpty ? "" : " ") + word
            }
        }
        return (lines + [line]).map { $0.replacing(String(unbrokenSpace), with: " ") }
    }
}
