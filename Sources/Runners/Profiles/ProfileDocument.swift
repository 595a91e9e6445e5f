// A profile together with the sources of its values: what a file holds, and how it is written.

import PerseusPrimitives

/// A profile as a file has it; `docs/profiles.md` describes the format.
public struct ProfileDocument: Equatable, Sendable {
    public internal(set) var profile: Profile
    /// By the parameter's key, without those that have none; looked up, never iterated.
    private var sources: [String: String] = [:]

    private static let noSource = "no source given"

    /// Reads a file's contents; `file` is what errors call it.
    ///
    /// - Throws: `badInput` with file, line and what is wrong there.
    public init(parsing bytes: [UInt8], file: String) throws(PerseusError) {
        self = try ProfileParser.parse(bytes, file: file, bases: Self.builtIn)
    }

    init(profile: Profile) { self.profile = profile }

    /// Where a value comes from: data sheet, fit, guess or code, in the words of its file.
    public func source(of parameter: ProfileParameter) -> String {
        sources[parameter.key] ?? Self.noSource
    }

    mutating func setSource(_ source: String, of parameter: ProfileParameter) {
        sources[parameter.key] = source.isEmpty || source == Self.noSource ? nil : source
    }

    /// Every parameter with its value, meaning and source: a file that reads back as an equal document.
    public var text: String {
        let values = ProfileParameter.all.map { "\($0.name) = \($0.text(in: profile))" }
        let column = values.reduce(0) { max($0, $1.count) } + 2
        var lines = [
            "# A cluster profile of perseus. Behind each value: its meaning; its source.",
            "name = \(profile.name)", "summary = \(profile.summary)",
        ]
        var section: ProfileParameter.Section?
        for (parameter, value) in zip(ProfileParameter.all, values) {
            if parameter.section != section {
                section = parameter.section
                lines += ["", "[\(parameter.section.rawValue)]"]
            }
            let margin = String(repeating: " ", count: column - value.count)
            lines.append("\(value)\(margin)# \(parameter.meaning); \(source(of: parameter))")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
