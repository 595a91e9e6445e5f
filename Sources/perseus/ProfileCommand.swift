// `perseus simulate profile`: a cluster's numbers as a file, or the list of the built-in ones.

import PerseusCommandLine
import PerseusPrimitives
import PerseusRunners

/// A report on the standard output stands there alone.
func executeProfile(_ options: ProfileOptions) throws {
    let stream = options.jsonPath == "-" ? TextStream.error : .output
    guard let name = options.profile else {
        try stream.write(listText)
        if let path = options.jsonPath { try writeJSON(listReport, to: path) }
        return
    }
    let document = try ProfileDocument(namedOrAt: name)
    try stream.write(document.text)
    if let path = options.jsonPath { try writeJSON(report(document), to: path) }
}

// MARK: One profile

private struct ProfileContext: Codable, Equatable, Sendable {
    var profile: String
    var summary: String
}

/// One parameter; the value is in `unit`, whatever unit the file has.
private struct ParameterResult: Codable, Equatable, Sendable {
    var key: String
    var value: ProfileValue
    @Nullable var unit: String?
    var meaning: String
    var source: String
}

private func report(
    _ document: ProfileDocument
) -> Report<ProfileContext, ParameterResult> {
    Report(
        command: "simulate profile",
        context: ProfileContext(
            profile: document.profile.name, summary: document.profile.summary),
        results: ProfileParameter.all.map {
            ParameterResult(
                key: $0.key, value: $0.value(in: document.profile),
                unit: $0.quantity.unit, meaning: $0.meaning,
                source: document.source(of: $0))
        })
}

// MARK: All profiles

private struct ListContext: Codable, Equatable, Sendable {
    var defaultProfile = Profile.builtIn[0].name
}

private struct ListResult: Codable, Equatable, Sendable {
    var name: String
    var summary: String
}

private var listText: String {
    Profile.builtIn.enumerated().map { index, profile in
        "\(profile.name)\(index == 0 ? " (the default)" : "")\n    \(profile.summary)\n"
    }.joined()
}

private var listReport: Report<ListContext, ListResult> {
    Report(
        command: "simulate profile", context: ListContext(),
        results: Profile.builtIn.map { ListResult(name: $0.name, summary: $0.summary) })
}
