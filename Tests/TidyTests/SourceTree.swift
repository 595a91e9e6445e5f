// The files of this checkout, found from the place of this file.

import Foundation

/// One text file of the tree.
struct SourceFile: Sendable {
    /// From the root of the checkout, `Sources/Proxy/ProxyLoop.swift`.
    let path: String
    let text: String

    var name: String { String(path.split(separator: "/").last ?? "") }

    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    /// The folder under `Sources`, `Proxy`.
    var folder: String {
        let parts = path.split(separator: "/")
        return parts.count > 2 ? String(parts[1]) : ""
    }
}

/// The root of the checkout, and the files in it.
enum SourceTree {
    static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Code of all targets, sorted by path.
    static let sources = files(under: "Sources", endings: codeEndings)
    static let tests = files(under: "Tests", endings: codeEndings)

    private static let codeEndings = ["swift", "c", "h", "cu", "cuh"]

    /// Text of one file, nil when it does not exist.
    static func text(_ path: String) -> String? {
        try? String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appending(path: path).path)
    }

    /// Files below `folder` with one of `endings`, sorted by path.
    static func files(under folder: String, endings: [String]) -> [SourceFile] {
        let paths = FileManager.default.subpaths(atPath: root.appending(path: folder).path) ?? []
        return paths.sorted().compactMap { path in
            let ending = path.split(separator: ".").last.map(String.init) ?? ""
            guard endings.contains(ending) else { return nil }
            return text("\(folder)/\(path)").map {
                SourceFile(path: "\(folder)/\(path)", text: $0)
            }
        }
    }
}
