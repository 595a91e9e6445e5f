// What every file owes its reader: a first sentence, no loose ends, nothing of one machine.

import Testing

@Suite struct StyleTests {
    @Test func everyFileStartsWithASentence() {
        for file in SourceTree.sources + SourceTree.tests {
            let first = file.lines.first ?? ""
            let isComment = first.hasPrefix("// ") || first.hasPrefix("/* ")
            #expect(
                isComment && first.count > 20,
                "\(file.path):1 says in one comment line what the file is")
        }
    }

    @Test func sourcesHaveNoLooseEnds() {
        for file in SourceTree.sources {
            for (index, line) in file.lines.enumerated() {
                for word in ["TODO", "FIXME", "XXX"] where line.contains(word) {
                    Issue.record("\(file.path):\(index + 1) contains \(word)")
                }
            }
        }
    }

    /// A path below somebody's home or workplace works on one machine only.
    @Test func nothingNamesAPlaceOfOneMachine() {
        let scripts = SourceTree.files(under: "Scripts", endings: ["sh"])
        let documents = SourceTree.files(under: "docs", endings: ["md"])
        let places = ["/home/", "/root/", "/Users/", "/work/", "/workspace/"]
        for file in SourceTree.sources + SourceTree.tests + scripts + documents
        where file.name != "StyleTests.swift" {
            for (index, line) in file.lines.enumerated() {
                for place in places where line.contains(place) {
                    Issue.record("\(file.path):\(index + 1) names \(place)")
                }
            }
        }
    }

    @Test func theTreeWasFound() {
        #expect(SourceTree.sources.contains { $0.path == "Sources/Primitives/SeededRandom.swift" })
        #expect(SourceTree.tests.contains { $0.path == "Tests/TidyTests/StyleTests.swift" })
    }
}
