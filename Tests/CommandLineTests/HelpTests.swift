// Help texts equal their golden files; PERSEUS_UPDATE_GOLDEN=1 rewrites the files.

import Foundation
import Testing

@testable import PerseusCommandLine

@Suite struct HelpTests {
    private static let commands: [CommandDeclaration] = flattened(CommandTree.root)

    private static func flattened(_ command: CommandDeclaration) -> [CommandDeclaration] {
        [command] + command.subcommands.flatMap(flattened)
    }

    @Test(arguments: commands.map(\.path))
    func helpEqualsItsGoldenFile(path: String) throws {
        let words = path.split(separator: " ").dropFirst().map(String.init)
        guard case .help(let text) = try Invocation.parse(words + ["--help"]) else {
            Issue.record("\(path) --help is not help")
            return
        }
        let name = path.split(separator: " ").joined(separator: "-") + ".txt"
        let golden = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Golden").appending(path: name)
        if ProcessInfo.processInfo.environment["PERSEUS_UPDATE_GOLDEN"] == "1" {
            try Data(text.utf8).write(to: golden)
        }
        let expected = try String(contentsOf: golden, encoding: .utf8)
        #expect(
            text == expected, "PERSEUS_UPDATE_GOLDEN=1 swift test --filter HelpTests rewrites it")
    }

    /// An example that is refused would be the first thing that a newcomer sees fail.
    @Test(arguments: commands.flatMap(\.examples).map(\.line))
    func examplesAreAccepted(line: String) throws {
        let command = line.split { $0 == "|" || $0 == ">" }[0]
        let words = command.split(separator: " ").map(String.init)
        #expect(words.first == "perseus")
        let invocation = try Invocation.parse(Array(words.dropFirst()))
        if case .help = invocation { Issue.record("\(line) only prints help") }
    }

    @Test func everyCommandHasThreeExamplesAndDistinctOptions() {
        for command in Self.commands {
            #expect(command.examples.count == 3, "\(command.path)")
            let names = command.entries.map(\.name)
            #expect(Set(names).count == names.count, "\(command.path)")
        }
    }

    @Test func wrappingKeepsWordsAndWidth() {
        let text = String(repeating: "word ", count: 60)
        let lines = HelpText.wrap(text, indent: 4)
        #expect(lines.allSatisfy { $0.count <= HelpText.width && $0.hasPrefix("    word") })
        #expect(lines.joined(separator: " ").split(separator: " ").count == 60)
        let longWord = String(repeating: "x", count: 100)
        #expect(HelpText.wrap("a \(longWord) b", indent: 0) == ["a", longWord, "b"])
    }
}
