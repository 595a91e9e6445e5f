// Reads a profile's file line by line; every refusal names the file, the line and what is wrong there.

import PerseusPrimitives

/// Reads built-in files and those of users alike.
struct ProfileParser {
    private let file: String
    /// What `based-on` may name.
    private let bases: [ProfileDocument]
    private var lineNumber = 0
    private var section: ProfileParameter.Section?
    private var name: String?
    private var summary: String?
    private var base: ProfileDocument?
    private var values: [(parameter: ProfileParameter, value: ProfileValue, source: String)] = []
    /// Lines of the keys that were met; looked up, never iterated.
    private var lineOfKey: [String: Int] = [:]

    /// Characters of a line without its comment: an error quotes them, and stays one line.
    private static let lineLimit = 200
    private static let headKeys = ["name", "summary", "based-on"]

    static func parse(
        _ bytes: [UInt8], file: String, bases: [ProfileDocument]
    ) throws(PerseusError) -> ProfileDocument {
        var parser = ProfileParser(file: file, bases: bases)
        // Some editors put a byte order mark in front.
        let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            parser.lineNumber += 1
            try parser.readLine(parser.text(of: line))
        }
        return try parser.document()
    }

    private init(file: String, bases: [ProfileDocument]) {
        self.file = file
        self.bases = bases
    }

    /// `my.profile:7: …`
    private func refusal(_ reason: String) -> PerseusError {
        PerseusError(.badInput, "\(file):\(lineNumber): \(reason)")
    }

    // MARK: Lines

    private func text(of line: ArraySlice<UInt8>) throws(PerseusError) -> String {
        let bytes = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
        let isText = bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == UInt8(ascii: "\t") }
        guard isText, let text = String(validating: bytes, as: UTF8.self) else {
            throw refusal("this is not UTF-8 text")
        }
        return text
    }

    private mutating func readLine(_ line: String) throws(PerseusError) {
        let content = trimmed(line.prefix { $0 != "#" })
        let comment = trimmed(line.drop { $0 != "#" }.dropFirst())
        guard content.count <= Self.lineLimit else {
            throw refusal("more than \(Self.lineLimit) characters before a comment")
        }
        if content.isEmpty { return }
        if content.hasPrefix("[") { return section = try section(content) }
        guard let sign = content.firstIndex(of: "=") else {
            throw refusal("expected key = value or [section], found \(content)")
        }
        let key = trimmed(content[..<sign])
        let text = trimmed(content[content.index(after: sign)...])
        if let section {
            try readParameter(parameter(key, in: section), text, comment)
        } else {
            try readHead(key, text)
        }
    }

    private func trimmed(_ text: Substring) -> String {
        var rest = text.drop { $0 == " " || $0 == "\t" }
        while rest.last == " " || rest.last == "\t" { rest.removeLast() }
        return String(rest)
    }

    private func section(_ content: String) throws(PerseusError) -> ProfileParameter.Section {
        guard content.hasSuffix("]") else { throw refusal("expected [section], found \(content)") }
        let name = trimmed(content.dropFirst().dropLast())
        guard let section = ProfileParameter.Section(rawValue: name) else {
            let names = ProfileParameter.Section.allCases.map(\.rawValue)
            let clause = NameSuggestion.clause(for: name, among: names)
            throw refusal("unknown section [\(name)]\(clause)")
        }
        return section
    }

    private mutating func requireFirst(_ key: String, _ text: String) throws(PerseusError) {
        if let line = lineOfKey.updateValue(lineNumber, forKey: key) {
            throw refusal("\(key) stands twice, first on line \(line)")
        }
        guard !text.isEmpty else { throw refusal("\(key) has no value") }
    }

    // MARK: Head

    private mutating func readHead(_ key: String, _ text: String) throws(PerseusError) {
        guard Self.headKeys.contains(key) else {
            if let section = sections(with: key).first {
                throw refusal("\(key) stands outside a section; it belongs below [\(section)]")
            }
            let clause = NameSuggestion.clause(for: key, among: Self.headKeys)
            throw refusal("unknown key \(key)\(clause)")
        }
        try requireFirst(key, text)
        switch key {
        case "name": name = try checked(name: text)
        case "summary": summary = text
        default: base = try base(named: text)
        }
    }

    /// Reports print the name within sentences.
    private func checked(name: String) throws(PerseusError) -> String {
        let isWord = name.allSatisfy {
            $0.isASCII && ($0.isLetter || $0.isNumber) || "-._".contains($0)
        }
        guard isWord, name.count <= 64 else {
            throw refusal("name \(name): must be at most 64 letters, digits and - . _")
        }
        return name
    }

    private func base(named name: String) throws(PerseusError) -> ProfileDocument {
        guard let base = bases.first(where: { $0.profile.name == name }) else {
            let clause = NameSuggestion.clause(for: name, among: bases.map(\.profile.name))
            throw refusal("based-on: unknown profile \(name)\(clause)")
        }
        return base
    }

    // MARK: Parameters

    /// Names of the sections that have a parameter called `name`.
    private func sections(with name: String) -> [String] {
        ProfileParameter.all.filter { $0.name == name }.map(\.section.rawValue)
    }

    private func parameter(
        _ name: String, in section: ProfileParameter.Section
    ) throws(PerseusError) -> ProfileParameter {
        if let known = ProfileParameter.named("\(section.rawValue).\(name)") { return known }
        guard !Self.headKeys.contains(name) else {
            throw refusal("\(name) belongs above the first section")
        }
        if let other = sections(with: name).first {
            throw refusal(
                "unknown key \(name) in [\(section.rawValue)]; it belongs below [\(other)]")
        }
        let names = ProfileParameter.all.filter { $0.section == section }.map(\.name)
        let clause = NameSuggestion.clause(for: name, among: names)
        throw refusal("unknown key \(name) in [\(section.rawValue)]\(clause)")
    }

    private mutating func readParameter(
        _ parameter: ProfileParameter, _ text: String, _ comment: String
    ) throws(PerseusError) {
        try requireFirst(parameter.key, text)
        let value: ProfileValue
        do {
            value = try parameter.quantity.read(text)
        } catch {
            throw refusal("\(parameter.key): \(error.reason)")
        }
        // A printed file has the meaning in front of the source.
        let meaning = "\(parameter.meaning); "
        let source = comment.hasPrefix(meaning) ? String(comment.dropFirst(meaning.count)) : comment
        values.append((parameter, value, source))
    }

    // MARK: End

    private func document() throws(PerseusError) -> ProfileDocument {
        guard let name else { throw PerseusError(.badInput, "\(file): name is missing") }
        try requireComplete()
        var profile = base?.profile ?? Profile()
        profile.name = name
        profile.summary = summary ?? base.map { "based on \($0.profile.name)" } ?? "no summary"
        var document = ProfileDocument(profile: profile)
        if let base {
            for parameter in ProfileParameter.all {
                let source = "as \(base.profile.name): \(base.source(of: parameter))"
                document.setSource(source, of: parameter)
            }
        }
        for (parameter, value, source) in values {
            parameter.set(value, in: &document.profile)
            document.setSource(source, of: parameter)
        }
        return document
    }

    private func requireComplete() throws(PerseusError) {
        guard base == nil else { return }
        let missing = ProfileParameter.all.map(\.key).filter { lineOfKey[$0] == nil }
        guard !missing.isEmpty else { return }
        let rest = missing.count > 8 ? " and \(missing.count - 8) more" : ""
        throw PerseusError(
            .badInput,
            "\(file): without based-on every parameter is needed; missing:"
                + " \(missing.prefix(8).joined(separator: ", "))\(rest)")
    }
}
