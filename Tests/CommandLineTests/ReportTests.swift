// Reports have the promised keys and equal bytes, and reach the disk whole or not at all.

import Foundation
import PerseusPrimitives
import Testing

@testable import PerseusCommandLine

/// A directory of its own for one test; its files are removed with it.
private final class TemporaryDirectory {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func text(_ name: String) throws -> String {
        try String(contentsOfFile: "\(path)/\(name)", encoding: .utf8)
    }

    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }
}

@Suite struct RunReportTests {
    private func report(_ words: [String] = []) throws -> RunReport {
        var result = RunResult(
            scheme: "perseus", path: "proxy", signaling: "decoupled", ordering: "fence-flag")
        result.maxRelativeError = 1e-6
        result.layerNanoseconds = 1234
        let options = try RunOptions(parsing: words)
        let context = RunContext(options, machine: MachineContext(.nothing))
        return RunReport(command: "run", context: context, results: [result])
    }

    @Test func keysAreThePromisedOnes() throws {
        let bytes = try jsonBytes(report())
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
        #expect(object.keys.sorted() == ["command", "context", "results", "schema"])
        #expect(object["schema"] as? Int == 1)
        let results = try #require(object["results"] as? [[String: Any]])
        let promised = [
            "scheme", "path", "signaling", "ordering", "ranks", "nodes", "tokens", "commands",
            "puts", "signals", "fences", "drains", "doorbells", "completions", "bytesSent",
            "layerNanoseconds", "clock", "maxRelativeError", "bitwiseEqual", "dispatchPuts",
            "combinePuts", "dispatchFences", "combineFences", "drainNanoseconds",
            "exposedCommunicationNanoseconds",
        ]
        for key in promised { #expect(results[0][key] != nil, "\(key) is missing") }
        #expect(results[0]["bitwiseEqual"] is NSNull)
    }

    @Test func equalRunsGiveEqualBytesAndReadBack() throws {
        let first = try report()
        #expect(try jsonBytes(first) == jsonBytes(report()))
        let read = try JSONDecoder().decode(RunReport.self, from: Data(jsonBytes(first)))
        #expect(read == first)
    }

    @Test func onlyTheRealClockNamesTheMachine() throws {
        #expect(try report().context.machine == nil)
        #expect(try report(["--clock", "real"]).context.machine != nil)
    }

    @Test func numbersThatJSONLacksBecomeText() throws {
        var broken = try report()
        broken.results[0].maxRelativeError = .infinity
        let text = String(decoding: try jsonBytes(broken), as: UTF8.self)
        #expect(text.contains("\"maxRelativeError\" : \"inf\""))
    }
}

@Suite struct AtomicFileTests {
    @Test func writesAndReplaces() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/a.json"
        try AtomicFile.write(Array("old, longer".utf8), to: path)
        try AtomicFile.write(Array("new".utf8), to: path)
        #expect(try directory.text("a.json") == "new")
        #expect(directory.names == ["a.json"])
    }

    @Test func aFailedFillLeavesTheOldFileAndNothingElse() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/a.json"
        try AtomicFile.write(Array("old".utf8), to: path)
        let failure = PerseusError(.deadline, "too late")
        #expect(throws: failure) {
            try AtomicFile.write(to: path) { (output) throws(PerseusError) in
                try output.write(Array("half".utf8))
                throw failure
            }
        }
        #expect(try directory.text("a.json") == "old")
        #expect(directory.names == ["a.json"])
    }

    @Test func errorsNameThePathAndTheReason() throws {
        let directory = try TemporaryDirectory()
        let missing = "\(directory.path)/none/a.json"
        #expect(
            throws: PerseusError(.badInput, "cannot write \(missing): No such file or directory")
        ) { try AtomicFile.write([1], to: missing) }
        #expect(
            throws: PerseusError(.badInput, "cannot write \(directory.path): Is a directory")
        ) { try AtomicFile.write([1], to: directory.path) }
        #expect(directory.names.isEmpty)
    }

    @Test func aFullDeviceIsAnEnvironmentErrorAndALinkIsFollowed() throws {
        #expect(
            throws: PerseusError(.environment, "cannot write /dev/full: No space left on device")
        ) { try AtomicFile.write([1], to: "/dev/full") }
        try AtomicFile.write([1], to: "/dev/null")
        let directory = try TemporaryDirectory()
        try AtomicFile.write(Array("old".utf8), to: "\(directory.path)/target")
        try FileManager.default.createSymbolicLink(
            atPath: "\(directory.path)/link", withDestinationPath: "target")
        try AtomicFile.write(Array("new".utf8), to: "\(directory.path)/link")
        #expect(try directory.text("target") == "new")
        #expect(directory.names == ["link", "target"])
    }
}

@Suite struct TextTests {
    @Test func tablesAlignNumbersRightAndCountWideCharacters() {
        var table = TextTable(["scheme", "time", "ratio"])
        table.addRow(["coupled", "1.50 ms", "1.00x"])
        table.addRow(["漢字", "12.3 us", "-"])
        table.addRow(["e\u{301}te", "9 ns", "121x"])
        let expected = [
            "scheme      time  ratio", "coupled  1.50 ms  1.00x", "漢字     12.3 us      -",
            "e\u{301}te         9 ns   121x", "",
        ]
        #expect(
            table.render().split(separator: "\n", omittingEmptySubsequences: false)
                .map(String.init) == expected)
        #expect(!table.render().contains("\u{1B}"))
    }

    @Test func quantitiesKeepThreeDigits() {
        for (nanoseconds, text) in [
            (0, "0 ns"), (850, "850 ns"), (1000, "1.00 us"), (12_345, "12.3 us"),
            (999_400, "999 us"), (999_600, "1.00 ms"), (7_890_000_000, "7.89 s"),
            (9_999_000, "10.0 ms"),
        ] { #expect(Quantity.time(nanoseconds) == text) }
        for (bytes, text) in [(512, "512 B"), (1536, "1.50 KiB"), (2 << 30, "2.00 GiB")] {
            #expect(Quantity.bytes(bytes) == text)
        }
        for (value, text) in [
            (0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"),
        ] { #expect(Quantity.count(value) == text) }
        #expect(Quantity.ratio(2.406) == "2.41x")
        #expect(Quantity.error(nil) == "-")
        #expect(Quantity.error(3.14e-5) == "3.1e-05")
    }

    @Test func progressIsSilentInAPipeAndThrottledOnATerminal() {
        final class Screen {
            var writes: [String] = []
            var time: UInt64 = 0
        }
        let screen = Screen()
        func progress(isTerminal: Bool) -> ProgressLine {
            ProgressLine(
                isTerminal: isTerminal, write: { screen.writes.append($0) }, now: { screen.time })
        }
        var silent = progress(isTerminal: false)
        silent.update("scheme perseus")
        silent.finish()
        #expect(screen.writes.isEmpty)
        var shown = progress(isTerminal: true)
        shown.update("seeds", done: 1, of: 200)
        screen.time += 50_000_000
        shown.update("seeds", done: 2, of: 200)
        screen.time += 60_000_000
        shown.update("seeds", done: 3, of: 0)
        shown.finish()
        #expect(
            screen.writes
                == ["\r\u{1B}[Kseeds 1 of 200 (0%)", "\r\u{1B}[Kseeds 3", "\r\u{1B}[K"])
    }

    @Test func barsShowWhatIsDoneAndWhatMayBeLeft() {
        for (done, share, seconds, text) in [
            (0, 0.0, 0.0, "[--------------------] 0 of 96, 0:00"),
            (1, 0.25, 20.4, "[--------------------] 1 of 96, 0:20, about 1:01 left"),
            (48, 0.5, 3661, "[##########----------] 48 of 96, 1:01:01, about 1:01:01 left"),
            (96, 1, 59.6, "[####################] 96 of 96, 1:00, about 0:00 left"),
        ] {
            let bar = ProgressBar(done: done, total: 96, share: share, elapsedSeconds: seconds)
            #expect(bar.text == text)
        }
    }

    @Test func errorLinesNameTheirCommandOnce() {
        #expect(
            errorLine(PerseusError(.environment, "no device"), command: "perseus run")
                == "perseus run: no device")
        #expect(
            errorLine(PerseusError(.badInput, "perseus run: no"), command: "perseus run")
                == "perseus run: no")
        #expect(
            errorLine(PerseusError(.badInput, "no", hint: "try yes"), command: "perseus run")
                == "perseus run: no; try yes")
    }
}
