// Links in the documents lead to files that exist.

import Foundation
import Testing

/// Targets of `[text](target)` that are files of this checkout, without `#section`.
private func linkedFiles(_ text: String) -> [String] {
    text.matches(of: /\]\(([^)\s]+)\)/).compactMap { match in
        let target = match.output.1
        guard !target.contains("://"), !target.hasPrefix("#"), !target.hasPrefix("mailto:") else {
            return nil
        }
        return target.split(separator: "#").first.map(String.init)
    }
}

@Suite struct LinkTests {
    @Test func linksOfDocumentsLeadToFiles() {
        let documents =
            ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "DESIGN.md"].compactMap { path in
                SourceTree.text(path).map { SourceFile(path: path, text: $0) }
            } + SourceTree.files(under: "docs", endings: ["md"])
        for document in documents {
            let folder = document.path.split(separator: "/").dropLast().map { "\($0)/" }.joined()
            for target in linkedFiles(document.text) {
                #expect(
                    SourceTree.exists(folder + target),
                    "\(document.path) links to \(target), which does not exist")
            }
        }
    }

    @Test func linksAreRecognised() {
        let text = "[a](Sources/a.swift#L3) [b](https://example.org) [c](#here) ![d](docs/d.svg)"
        #expect(linkedFiles(text) == ["Sources/a.swift", "docs/d.svg"])
    }
}
