// Modules import downwards only: imports.txt, Package.swift and the sources must agree.

import Testing

/// The list in `imports.txt`.
private struct AllowedImports {
    /// Modules in the order of the list.
    var modules: [String] = []
    var imports: [String: [String]] = [:]

    init(_ text: String) {
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let parts = line.split(separator: ":", omittingEmptySubsequences: false)
            let module = String(parts[0])
            modules.append(module)
            imports[module] = parts.dropFirst().flatMap { $0.split(separator: " ") }
                .map(String.init)
        }
    }

    static let inTree = AllowedImports(SourceTree.text("Tests/TidyTests/imports.txt") ?? "")

    /// The module whose sources are in `Sources/folder`.
    func module(ofFolder folder: String) -> String? {
        [folder, "Perseus\(folder)"].first { imports[$0] != nil }
    }
}

/// Every name in `text` that stands behind `import`, attributes and access levels skipped.
private func importedModules(_ file: SourceFile) -> [String] {
    file.lines.compactMap { line in
        let words = line.split(separator: " ")
        guard let position = words.firstIndex(of: "import"), position + 1 < words.count,
            words[..<position].allSatisfy({ $0.hasPrefix("@") || accessLevels.contains($0) })
        else { return nil }
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let"]
        let rest = words[(position + 1)...].drop { kinds.contains($0) }
        return rest.first?.split(separator: ".").first.map(String.init)
    }
}

private let accessLevels: Set<Substring> = ["public", "package", "internal", "private"]

@Suite struct ImportTests {
    private let allowed = AllowedImports.inTree

    @Test func theListHasNoCycle() {
        #expect(allowed.modules.count > 10)
        var above: Set<String> = []
        for module in allowed.modules {
            for imported in allowed.imports[module] ?? [] {
                #expect(above.contains(imported), "\(module): \(imported) does not stand above it")
            }
            #expect(above.insert(module).inserted, "\(module) stands twice")
        }
    }

    @Test func thePackageDeclaresTheListedDependencies() throws {
        let package = try #require(SourceTree.text("Package.swift"))
        for module in allowed.modules {
            let declared = try #require(declaredDependencies(of: module, in: package), "\(module)")
            #expect(declared == Set(allowed.imports[module] ?? []), "\(module)")
        }
    }

    /// Names in quotes behind the target's own name, up to the next target.
    private func declaredDependencies(of module: String, in package: String) -> Set<String>? {
        let shortName = module.hasPrefix("Perseus") ? String(module.dropFirst(7)) : module
        let starts = [
            "swiftTarget(\"\(shortName)\"", ".target(name: \"\(module)\"",
            ".executableTarget(name: \"\(module)\"",
        ]
        let compact = package.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            .replacing("( ", with: "(")
        guard let start = starts.lazy.compactMap({ compact.firstRange(of: $0) }).first else {
            return nil
        }
        let rest = compact[start.upperBound...]
        let ends = [
            "swiftTarget(", ".target(", ".executableTarget(", ".testTarget(", "swiftTests(",
            "path:",
        ].compactMap { rest.firstRange(of: $0)?.lowerBound }
        let declaration = rest[..<(ends.min() ?? rest.endIndex)]
        let quoted = declaration.split(separator: "\"", omittingEmptySubsequences: false)
        let names = quoted.indices.filter { $0 % 2 == 1 }.map { String(quoted[$0]) }
        return Set(names.filter { allowed.imports[$0] != nil })
    }

    @Test func sourcesImportOnlyWhatIsListed() {
        for file in SourceTree.sources where file.name.hasSuffix(".swift") {
            guard let module = allowed.module(ofFolder: file.folder) else {
                Issue.record("\(file.path): imports.txt does not list its module")
                continue
            }
            for imported in importedModules(file) where allowed.imports[imported] != nil {
                #expect(
                    allowed.imports[module]?.contains(imported) == true,
                    "\(file.path): \(module) may not import \(imported)")
            }
        }
    }

    /// Foundation allocates and locks where nobody expects it.
    @Test func theDataPathDoesNotImportFoundation() {
        let dataPath = [
            "Primitives", "Memory", "MoE", "ExpertKernels", "CommandRing", "Transport", "Proxy",
            "SoftNIC", "Megakernel", "Runners",
        ]
        for file in SourceTree.sources where dataPath.contains(file.folder) {
            let foundation = importedModules(file).filter { $0.hasPrefix("Foundation") }
            #expect(foundation.isEmpty, "\(file.path) imports Foundation")
        }
    }

    @Test func importLinesAreRecognised() {
        let file = SourceFile(
            path: "Sources/A/B.swift",
            text: """
                import A
                @testable import B
                public import struct C.Inner
                // import D
                let text = "import E"
                """)
        #expect(importedModules(file) == ["A", "B", "C"])
    }
}
