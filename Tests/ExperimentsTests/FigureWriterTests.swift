// Files that a writer leaves, and the one line with which it refuses.

import Foundation
import PerseusPrimitives
import Testing

@testable import PerseusExperiments

/// A folder for one test, removed with it.
private final class Folder {
    let path: String

    init() throws {
        path =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("perseus-figures-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    /// A program called gnuplot that runs `lines` of shell.
    ///
    /// Another process writes it: a file that this one has open for writing, a neighbouring test's child may have open too,
    /// and then nobody can execute it.
    func addGnuplot(_ lines: String) throws {
        let writer = Process()
        writer.executableURL = URL(fileURLWithPath: "/bin/sh")
        writer.arguments = [
            "-c",
            #"printf '#!/bin/sh\n%s\n' "$2" > "$1.new" && chmod 755 "$1.new" && mv "$1.new" "$1""#,
            "sh", "\(path)/gnuplot", lines,
        ]
        try writer.run()
        writer.waitUntilExit()
        #expect(writer.terminationStatus == 0)
    }

    func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
    }
}

/// What `body` throws, nil when it does not.
private func refusal(_ body: () throws(PerseusError) -> Void) -> PerseusError? {
    do {
        try body()
        return nil
    } catch {
        return error
    }
}

@Suite struct FigureWriterTests {
    private static let hasGnuplot = (try? Gnuplot(searchPath: path)) != nil
    private static let path = ProcessInfo.processInfo.environment["PATH"] ?? ""

    /// PERSEUS_FIGURES=DIR keeps the pictures, for a person to look at.
    @Test(.enabled(if: hasGnuplot, "gnuplot is not in PATH: sudo apt install gnuplot-nox"))
    func picturesAreDrawn() throws {
        let folder = try Folder()
        let kept = ProcessInfo.processInfo.environment["PERSEUS_FIGURES"]
        let writer = try FigureWriter(directory: kept ?? folder.path + "/new")
        for figure in SampleFigures.all {
            let paths = try writer.write(figure)
            #expect(
                paths == ["csv", "svg", "png"].map { "\(writer.directory)/\(figure.stem).\($0)" })
            let files = try paths.map { [UInt8](try Data(contentsOf: URL(fileURLWithPath: $0))) }
            #expect(String(decoding: files[0], as: UTF8.self) == figure.table)
            #expect(files[1].starts(with: Gnuplot.Format.svg.signature))
            #expect(files[2].starts(with: Gnuplot.Format.png.signature))
            // Width and height stand behind the name of the first chunk.
            #expect(files[2][16..<24] == [0, 0, 3, 132, 0, 0, 2, 48])
        }
    }

    /// What stands in the picture is what stands in the figure, whatever it means to gnuplot elsewhere.
    @Test(.enabled(if: hasGnuplot, "gnuplot is not in PATH: sudo apt install gnuplot-nox"))
    func textsArriveAsTheyAre() throws {
        let figure = SampleFigures.awkward
        let bytes = try Gnuplot(searchPath: Self.path).render(FigureScript(figure).text, as: .svg)
        let picture = String(decoding: bytes, as: UTF8.self)
            .replacing("&lt;", with: "<").replacing("&gt;", with: ">").replacing("&amp;", with: "&")
        let texts =
            [figure.title, figure.x.label, figure.y.label] + (figure.categories ?? [])
            + figure.series.map(\.name) + figure.caption.split(separator: "\n").map(String.init)
        for text in texts { #expect(picture.contains(text), "\(text)") }
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not in PATH: sudo apt install gnuplot-nox"))
    func equalFiguresGiveEqualPictures() throws {
        let gnuplot = try Gnuplot(searchPath: Self.path)
        let script = FigureScript(SampleFigures.scaling).text
        for format in Gnuplot.Format.allCases {
            #expect(try gnuplot.render(script, as: format) == gnuplot.render(script, as: format))
        }
    }

    @Test(.enabled(if: hasGnuplot, "gnuplot is not in PATH: sudo apt install gnuplot-nox"))
    func whatGnuplotSaysIsPassedOn() throws {
        let gnuplot = try Gnuplot(searchPath: Self.path)
        let error = refusal { () throws(PerseusError) in
            _ = try gnuplot.render("set nonsense\n", as: .png)
        }
        #expect(error?.kind == .environment)
        #expect(error?.message.hasPrefix("gnuplot: line ") == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("\n") == false)
    }

    @Test func withoutGnuplotNothingIsStarted() throws {
        let folder = try Folder()
        let target = folder.path + "/figures"
        for searchPath in ["", folder.path, ":\(folder.path):"] {
            let error = refusal { () throws(PerseusError) in
                _ = try FigureWriter(directory: target, searchPath: searchPath)
            }
            #expect(
                error
                    == PerseusError(
                        .environment,
                        "figures need gnuplot, which is not in PATH;"
                            + " get it: sudo apt install gnuplot-nox"))
        }
        #expect(folder.names == [])
    }

    @Test func aFolderCalledGnuplotIsNoProgram() throws {
        let folder = try Folder()
        try FileManager.default.createDirectory(
            atPath: folder.path + "/gnuplot", withIntermediateDirectories: false)
        #expect(throws: PerseusError.self) { try Gnuplot(searchPath: folder.path) }
    }

    @Test func aDirectoryThatCannotBeWrittenIsRefusedAtOnce() throws {
        let folder = try Folder()
        try folder.addGnuplot("exit 0")
        let cases = [
            ("\(folder.path)/gnuplot", "Not a directory"),
            ("\(folder.path)/gnuplot/figures", "Not a directory"),
            ("\(folder.path)/absent/figures", "No such file or directory"),
            ("", "No such file or directory"),
        ]
        for (directory, reason) in cases {
            let error = refusal { () throws(PerseusError) in
                _ = try FigureWriter(directory: directory, searchPath: folder.path)
            }
            #expect(
                error == PerseusError(.badInput, "cannot write figures to \(directory): \(reason)"))
        }
    }

    /// A picture that fails leaves an older figure as it was, table and all.
    @Test func aFailedFigureLeavesNothing() throws {
        let folder = try Folder()
        let target = folder.path + "/figures"
        try folder.addGnuplot("echo 'gnuplot> plot' >&2; echo '   line 9: no ink  ' >&2; exit 1")
        let writer = try FigureWriter(directory: target, searchPath: folder.path)
        let error = refusal { () throws(PerseusError) in try writer.write(SampleFigures.scaling) }
        #expect(
            error == PerseusError(.environment, "figure scaling: gnuplot: line 9: no ink"))
        try folder.addGnuplot("echo no picture")
        let silent = refusal { () throws(PerseusError) in try writer.write(SampleFigures.scaling) }
        #expect(
            silent
                == PerseusError(
                    .environment,
                    "figure scaling: gnuplot: ended with status 0 and wrote no svg picture"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: target) == [])
    }

    @Test func whatCannotBeDrawnIsNamed() {
        func problem(_ change: (inout Figure) -> Void) -> String {
            var figure = SampleFigures.scaling
            change(&figure)
            let error = refusal { () throws(PerseusError) in try figure.check() }
            #expect(error?.kind == .badInput)
            return error?.message ?? "accepted"
        }
        for stem in ["", "a/b", "../a", ".a", "é", "a b"] {
            #expect(
                problem { $0.stem = stem }
                    == "figure \"\(stem)\": a stem has letters, digits, -, _ and ."
                    + " and does not start with .")
        }
        #expect(problem { $0.series = [] } == "figure scaling: has no series")
        #expect(
            problem { $0.series[1].points = [] }
                == "figure scaling: series \"perseus\" has no points")
        #expect(
            problem { $0.series[0].points[1].y = 0 }
                == "figure scaling: series \"coupled\": a logarithmic axis cannot show y = 0.0")
        #expect(
            problem { $0.series[0].points[1].x = -1 }
                == "figure scaling: series \"coupled\": a logarithmic axis cannot show x = -1.0")
        #expect(
            problem { $0.series[0].points[1].y = .nan }
                == "figure scaling: series \"coupled\" has a point that is no number: 16.0, nan")
        #expect(
            problem { $0.series[0].style = .bars }
                == "figure scaling: series \"coupled\": bars need categories")
        #expect(
            problem { $0.series[0].colorIndex = -1 }
                == "figure scaling: series \"coupled\": colour -1 is negative")
        #expect(
            problem { $0.categories = ["one"] }
                == "figure scaling: series \"coupled\": x = 8.0 is no index of a category")
        #expect(problem { $0.categories = [] } == "figure scaling: has no categories")
    }
}
