// Splits the words of a command line into named values and refuses whatever was not declared.

import PerseusPrimitives

/// The options that were given to one command, still as text.
struct ParsedArguments {
    let command: CommandDeclaration
    /// Text by option name; a flag holds the empty text. Looked up, never iterated.
    private var texts: [String: String] = [:]

    /// Reads `words`, the command line behind the command's name.
    ///
    /// - Throws: `badInput` for an unknown or repeated option, a missing value, a flag with a value
    ///   or a word that belongs to no option.
    init(_ words: ArraySlice<String>, for command: CommandDeclaration) throws(PerseusError) {
        self.command = command
        var rest = words
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), word != "-" else {
                throw refusal("unexpected argument \(word)\(leftoverHint)")
            }
            try readOption(word, following: &rest)
        }
    }

    func isGiven<Value>(_ option: CommandOption<Value>) -> Bool { texts[option.name] != nil }

    func isGiven(_ flag: CommandFlag) -> Bool { texts[flag.name] != nil }

    /// The value given for `option`, or its default.
    func value<Value>(of option: CommandOption<Value>) throws(PerseusError) -> Value {
        guard let text = texts[option.name] else { return option.defaultValue }
        do {
            return try option.format.read(text)
        } catch {
            throw refusal("--\(option.name) \(text): \(error.reason)")
        }
    }

    /// A bad-input error that names the command.
    func refusal(_ message: String) -> PerseusError {
        PerseusError(.badInput, "\(command.path): \(message)")
    }

    private mutating func readOption(
        _ word: String, following rest: inout ArraySlice<String>
    ) throws(PerseusError) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let spelling = String(parts[0])
        guard let entry = command.entries.first(where: { "--\($0.name)" == spelling }) else {
            throw refusal("unknown option \(spelling)\(suggestion(for: spelling))")
        }
        guard texts[entry.name] == nil else {
            throw refusal("\(spelling) is given twice")
        }
        let attached = parts.count == 2 ? String(parts[1]) : nil
        guard let placeholder = entry.placeholder else {
            guard attached == nil else { throw refusal("\(spelling) takes no value") }
            texts[entry.name] = ""
            return
        }
        let value = attached ?? nextValue(&rest)
        guard let value, !value.isEmpty else {
            throw refusal("\(spelling) needs a value: \(spelling) \(placeholder)")
        }
        texts[entry.name] = value
    }

    /// The next word, unless it is an option: a forgotten value must not swallow its neighbour.
    private func nextValue(_ rest: inout ArraySlice<String>) -> String? {
        guard let next = rest.first, !next.hasPrefix("--") else { return nil }
        rest.removeFirst()
        return next
    }

    private func suggestion(for spelling: String) -> String {
        let names = command.entries.map(\.name) + ["help"]
        let word = String(spelling.drop { $0 == "-" })
        guard let nearest = NameSuggestion.nearest(to: word, among: names) else {
            return "; see \(command.path) --help"
        }
        return "; did you mean --\(nearest)?"
    }

    private var leftoverHint: String {
        command.entries.isEmpty ? "" : "; every option starts with --, see \(command.path) --help"
    }
}
