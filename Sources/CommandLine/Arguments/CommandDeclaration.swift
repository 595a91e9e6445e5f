// What a command accepts, said once: parsing, errors and help all read these declarations.

/// An option with a value, written `--name value` or `--name=value`.
struct CommandOption<Value: Sendable>: Sendable {
    /// Without the dashes.
    let name: String
    let format: ValueFormat<Value>
    /// The value when the option is absent.
    let defaultValue: Value
    /// What help says about the absence; nil says nothing.
    let defaultText: String?
    let help: String

    init(_ name: String, _ format: ValueFormat<Value>, default defaultValue: Value, help: String) {
        self.name = name
        self.format = format
        self.defaultValue = defaultValue
        self.defaultText = format.show(defaultValue)
        self.help = help
    }

    /// An option that may be absent; `absent` says in help what happens then.
    init<Wrapped>(
        _ name: String, _ format: ValueFormat<Wrapped>, absent: String? = nil, help: String
    ) where Value == Wrapped? {
        self.name = name
        self.format = ValueFormat(placeholder: format.placeholder) { text throws(ValueRefusal) in
            try format.read(text)
        } show: {
            $0.map(format.show) ?? ""
        }
        self.defaultValue = nil
        self.defaultText = absent
        self.help = help
    }

    /// The option without its type, for help and for the scanner.
    var entry: OptionEntry {
        OptionEntry(
            name: name, placeholder: format.placeholder, defaultText: defaultText, help: help)
    }
}

/// An option without a value: absent is false.
struct CommandFlag: Sendable {
    /// Without the dashes.
    let name: String
    let help: String

    init(_ name: String, help: String) {
        self.name = name
        self.help = help
    }

    var entry: OptionEntry {
        OptionEntry(name: name, placeholder: nil, defaultText: nil, help: help)
    }
}

/// One line of a command's option list.
struct OptionEntry: Sendable {
    let name: String
    /// Nil for a flag.
    let placeholder: String?
    let defaultText: String?
    let help: String
}

/// Options that help shows under one heading.
struct OptionGroup: Sendable {
    let title: String
    let entries: [OptionEntry]
}

/// A command line that works as printed, and what it is good for.
struct CommandExample: Sendable {
    let purpose: String
    let line: String
}

/// A command: a leaf with options, or a node with subcommands.
struct CommandDeclaration: Sendable {
    /// As typed, `perseus bench ring`.
    let path: String
    /// One clause without a full stop, for the list of the parent.
    let summary: String
    /// One paragraph for a person who meets the command for the first time.
    let discussion: String
    var groups: [OptionGroup] = []
    var subcommands: [CommandDeclaration] = []
    let examples: [CommandExample]

    /// The last word of `path`.
    var name: String { String(path.split(separator: " ").last ?? "") }

    var entries: [OptionEntry] { groups.flatMap(\.entries) }
}
