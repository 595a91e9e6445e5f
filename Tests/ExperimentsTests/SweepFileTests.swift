// A sweep that was cut off anywhere and gone on with leaves the bytes of one that was not.

import Foundation
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import Synchronization
import Testing

@testable import PerseusExperiments

/// A file for one test, removed with it.
private final class Scratch {
    let path =
        FileManager.default.temporaryDirectory.appendingPathComponent(
            "perseus-sweep-\(UUID().uuidString)"
        ).path

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ data: Data) throws { try data.write(to: URL(fileURLWithPath: path)) }

    var data: Data { get throws { try Data(contentsOf: URL(fileURLWithPath: path)) } }
}

/// Instead of a layer: some points are refused, some fail, and some take longer than those behind them.
@Sendable private func stand(in point: LayerPoint, _ profile: Profile) throws -> LayerMeasure {
    usleep(UInt32(SeededRandom.mix(UInt64(point.nodes * 8 + point.model.count)) % 800))
    if point.scheme == .collective && point.nodes == 1 {
        throw PerseusError(.badInput, "a \"fabric\" that\tcannot", hint: "type something")
    }
    if point.scheme == .perseusPlus && point.zipf > 0 {
        throw PerseusError(.deadline, "is stuck\n  rank 0: waits")
    }
    var counters = ProxyCounters()
    counters.dispatchPuts = 3
    counters.combinePuts = 4
    return LayerMeasure(
        nanoseconds: 1000 + UInt64(point.nodes), computeNanoseconds: 400, counters: counters,
        ordering: point.ordering ?? .drainAll, stepCount: 5)
}

/// Runs `grid` into `path` and puts it in order if it was completed.
private func run(
    _ grid: SweepGrid, into path: String, threads: Int = 3, endsAfter limit: Int = .max
) throws {
    let file = try SweepFile(grid, path: path)
    var sweep = SweepRun(grid, threadCount: threads)
    let started = Atomic(0)
    sweep.measure = { point, profile in
        started.wrappingAdd(1, ordering: .relaxed)
        return try stand(in: point, profile)
    }
    sweep.isInterrupted = { started.load(ordering: .relaxed) >= limit }
    try sweep.run(into: file)
    if file.missing.isEmpty { try file.finish() }
}

private func bytes(_ grid: SweepGrid, threads: Int = 3) throws -> Data {
    let scratch = Scratch()
    try run(grid, into: scratch.path, threads: threads)
    return try scratch.data
}

@Suite struct SweepLineTests {
    @Test func fieldsStandInTheirOrder() throws {
        let lines = String(decoding: try bytes(sampleGrid()), as: UTF8.self).split(separator: "\n")
        let beginning =
            "{\"schema\":1,\"profile\":\"ideal\",\"profileFingerprint\":"
            + "\"\(try #require(Profile.named("ideal")).fingerprint)\",\"model\":\"qwen3-30b\","
        #expect(
            lines[2] == beginning
                + "\"nodes\":2,\"ranksPerNode\":1,\"tokensPerRank\":8,\"scheme\":\"coupled\","
                + "\"forcedOrdering\":\"fence-flag\",\"groupSize\":null,\"proxyThreads\":1,"
                + "\"zipfExponent\":0.0,\"seed\":7,\"clock\":\"virtual\",\"ordering\":\"fence-flag\","
                + "\"layerNanoseconds\":1002,\"computeNanoseconds\":400,"
                + "\"exposedCommunicationNanoseconds\":602,\"commands\":0,\"puts\":7,\"signals\":0,"
                + "\"fences\":0,\"drains\":0,\"doorbells\":0,\"bytesSent\":0,\"drainNanoseconds\":0,"
                + "\"steps\":5}")
        #expect(lines[5].hasSuffix("\"seed\":7,\"failure\":\"is stuck\"}"))
        #expect(
            lines[20].hasSuffix(#""seed":7,"refused":"a \"fabric\" that\u0009cannot"}"#))
    }

    @Test func linesReadBack() throws {
        let grid = try sampleGrid()
        let outcomes: [SweepOutcome] = [
            .measured(nanoseconds: 1002), .refused("a \"fabric\" that\tcannot"),
            .failed("is stuck"),
        ]
        for (index, line) in try bytes(grid).split(separator: UInt8(ascii: "\n")).enumerated() {
            let record = try #require(SweepRecord(line))
            #expect(record.point == grid[index])
            #expect(record.fingerprint == grid.fingerprints[index / 48])
            if record.point.nodes == 2 { #expect(outcomes.contains(record.outcome)) }
        }
    }

    @Test(arguments: ["", "{}", "[1]", "null", "{\"schema\":2}", "perseus", "\u{0}"])
    func otherTextIsNoLine(_ text: String) { #expect(SweepRecord(Data(text.utf8)) == nil) }
}

@Suite struct SweepFileTests {
    @Test func bytesDoNotDependOnTheThreads() throws {
        let one = try bytes(sampleGrid(), threads: 1)
        #expect(one.count { $0 == UInt8(ascii: "\n") } == 96)
        #expect(try bytes(sampleGrid(), threads: 2) == one)
        #expect(try bytes(sampleGrid(), threads: 16) == one)
    }

    /// After any number of points, on any number of threads.
    @Test(arguments: [0, 1, 2, 50, 95, 96])
    func anInterruptedSweepGoesOn(after limit: Int) throws {
        let grid = try sampleGrid()
        let whole = try bytes(grid)
        let scratch = Scratch()
        try run(grid, into: scratch.path, endsAfter: limit)
        let part = try scratch.data
        #expect(whole.starts(with: part))
        #expect(part.isEmpty == (limit == 0) && (part.last ?? 10) == UInt8(ascii: "\n"))
        try run(grid, into: scratch.path)
        #expect(try scratch.data == whole)
    }

    /// A kill may cut the file behind any byte: everything of the first two lines, and places in the last ones.
    @Test func aTornLineIsWrittenAgain() throws {
        let grid = try sampleGrid()
        let whole = try bytes(grid)
        for length in Array(0..<800) + Array(whole.count - 20..<whole.count) {
            let scratch = Scratch()
            try scratch.write(whole.prefix(length))
            let file = try SweepFile(grid, path: scratch.path)
            let kept = whole.prefix(length).count { $0 == UInt8(ascii: "\n") }
            #expect(file.lineCount == kept && file.missing == Array(kept..<96))
            let left = try scratch.data
            #expect(whole.starts(with: left) && left.last ?? 10 == UInt8(ascii: "\n"))
        }
        let scratch = Scratch()
        try scratch.write(whole.prefix(777))
        try run(grid, into: scratch.path)
        #expect(try scratch.data == whole)
    }

    @Test func aSmallerGridIsKept() throws {
        let grid = try sampleGrid()
        var smaller = grid
        smaller.nodes = [1]
        smaller.schemes = [.collective, .coupled]
        let scratch = Scratch()
        try run(smaller, into: scratch.path)
        let part = try scratch.data
        try run(grid, into: scratch.path, endsAfter: 20)
        #expect(try scratch.data.starts(with: part))
        try run(grid, into: scratch.path)
        #expect(try scratch.data == bytes(grid))
    }

    @Test func aCompleteFileIsLeftAlone() throws {
        let grid = try sampleGrid()
        let whole = try bytes(grid)
        let scratch = Scratch()
        try scratch.write(whole)
        try run(grid, into: scratch.path, endsAfter: 0)
        #expect(try scratch.data == whole)
    }

    /// The file, and what is wrong with it for the sample grid.
    private func foreignFiles() throws -> [(Data, String)] {
        let whole = try bytes(sampleGrid())
        let lines = whole.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        var other = try sampleGrid()
        other.seed = 8
        var third = try sampleGrid()
        third.nodes = [2, 4]
        return [
            (Data("hello\n".utf8), "line 1 is no line of a sweep"),
            (Data("hello".utf8), "line 1 is torn, and no point of this sweep begins so"),
            (lines[0] + Data("\n\n".utf8), "line 2 is no line of a sweep"),
            (whole + Data("{".utf8), "line 97 is torn, and no point of this sweep begins so"),
            (whole + lines[3] + [10], "line 97 repeats a point"),
            (try bytes(other), "line 1 has seed 8, which this sweep does not have"),
            (try bytes(third), "line 13 has nodes 4, which this sweep does not have"),
            (
                Data(
                    String(decoding: whole, as: UTF8.self).replacing(
                        "print\":\"", with: "print\":\"0"
                    )
                    .utf8), "line 1 had other values in profile ideal"
            ),
        ]
    }

    @Test func aForeignFileIsRefusedAndStays() throws {
        for (data, what) in try foreignFiles() {
            let scratch = Scratch()
            try scratch.write(data)
            let error = #expect(throws: PerseusError.self) {
                _ = try SweepFile(try sampleGrid(), path: scratch.path)
            }
            #expect(
                error
                    == PerseusError(
                        .badInput, "\(scratch.path): \(what)", hint: "give this sweep another file")
            )
            #expect(try scratch.data == data)
        }
    }

    @Test func oneWriterAtATime() throws {
        let scratch = Scratch()
        let first = try SweepFile(try sampleGrid(), path: scratch.path)
        let error = #expect(throws: PerseusError.self) {
            _ = try SweepFile(try sampleGrid(), path: scratch.path)
        }
        #expect(error?.message == "\(scratch.path): another process is writing to it")
        withExtendedLifetime(first) {}
    }
}

@Suite struct SweepRunTests {
    /// What the machine cannot do ends the sweep, behind the lines of the points before it.
    @Test func anErrorOfTheMachineEndsTheSweep() throws {
        let grid = try sampleGrid()
        let scratch = Scratch()
        let file = try SweepFile(grid, path: scratch.path)
        var sweep = SweepRun(grid, threadCount: 3)
        sweep.measure = { point, profile in
            if grid.index(of: point) == 30 { throw PerseusError(.environment, "no memory") }
            return try stand(in: point, profile)
        }
        #expect(throws: PerseusError(.environment, "no memory")) { try sweep.run(into: file) }
        #expect(file.lineCount == 30)
        #expect(try bytes(grid).starts(with: scratch.data))
    }

    @Test func progressCountsWhatIsMissing() throws {
        let grid = try sampleGrid()
        let scratch = Scratch()
        try run(grid, into: scratch.path, threads: 1, endsAfter: 40)
        let file = try SweepFile(grid, path: scratch.path)
        var sweep = SweepRun(grid, threadCount: 2)
        sweep.measure = stand
        var seen: [SweepRun.Progress] = []
        sweep.progress = { seen.append($0) }
        try sweep.run(into: file)
        #expect(file.lineCount == 96)
        let counts = seen.map(\.pointCount)
        #expect(counts == counts.sorted() && counts.allSatisfy { $0 <= 56 })
        #expect(seen.allSatisfy { 0...$0.totalWork * 1.0001 ~= $0.work && $0.totalWork > 0 })
    }

    /// A precondition of the protocol is what unusual points break most of all.
    @Test func aCrashNamesItsPoint() async throws {
        let ended = await #expect(
            processExitsWith: .failure, observing: [\.standardErrorContent]
        ) {
            let grid = try sampleGrid()
            var sweep = SweepRun(grid, threadCount: 2)
            sweep.measure = { point, profile in
                precondition(grid.index(of: point) != 9, "SweepRunTests: a trap on purpose")
                return try stand(in: point, profile)
            }
            try sweep.run(into: SweepFile(grid, path: "/dev/null"))
        }
        let said = String(decoding: try #require(ended).standardErrorContent, as: UTF8.self)
        let lines = said.split(separator: "\n").filter { $0.hasPrefix("crashed at the point {") }
        #expect(lines.count == 1, "\(said)")
        #expect(lines.first?.contains("\"scheme\":\"collective\"") == true)
    }
}
