// `perseus simulate sweep`: a grid of modelled layers, one line each, that survives its interruption.

import Foundation
import PerseusCommandLine
import PerseusExperiments
import PerseusExpertKernels
import PerseusPrimitives
import PerseusProxy
import PerseusRunners

func executeSweep(_ options: SweepOptions) throws {
    let grid = try SweepGrid(options)
    let memory = sweepMemory()
    try grid.check { point throws(PerseusError) in try point.requireMemory(memory) }
    let file = try open(options.outputPath, grid)
    let keptCount = file.lineCount
    do {
        try run(grid, options, memory: memory, into: file)
    } catch {
        throw PerseusError(
            error.kind, error.message, hint: state(file, options.outputPath))
    }
    if file.lineCount == grid.count {
        try file.finish()
        try conclude(grid, file.outcomes.compactMap(\.self), keptCount: keptCount, options)
    } else if Interruption.isAskedFor {
        try TextStream.error.writeLine(
            "perseus simulate sweep: interrupted; \(state(file, options.outputPath))")
        Interruption.endProcess()
    }
}

private func open(_ path: String?, _ grid: SweepGrid) throws -> SweepFile {
    guard let path else { return SweepFile(grid) }
    return try SweepFile(grid, path: path)
}

private func run(
    _ grid: SweepGrid, _ options: SweepOptions, memory: Int, into file: SweepFile
) throws(PerseusError) {
    Interruption.watch()
    let threadCount = options.threadCount ?? ProcessInfo.processInfo.activeProcessorCount
    // A quarter may go to what threads reserve.
    var sweep = SweepRun(
        grid, threadCount: min(threadCount, max(1, memory / 4 / threadByteCount)))
    sweep.memory = memory - sweep.threadCount * threadByteCount
    sweep.need = { $0.memoryByteCount }
    sweep.isInterrupted = { Interruption.isAskedFor }
    let progress = SweepProgress(
        keptCount: file.lineCount, total: grid.count,
        // Lines on a terminal are progress enough.
        isShown: options.outputPath != nil || isatty(STDOUT_FILENO) == 0)
    sweep.progress = { progress.update($0) }
    defer { progress.finish() }
    try sweep.run(into: file)
}

/// How much is done, and how it goes on.
private func state(_ file: SweepFile, _ path: String?) -> String {
    let share = "\(Quantity.count(file.lineCount)) of \(Quantity.count(file.outcomes.count)) points"
    return path.map { "\(share) are in \($0), and the same command goes on from there" }
        ?? "\(share) were written; with --output FILE the same command can go on from there"
}

private func conclude(
    _ grid: SweepGrid, _ outcomes: [SweepOutcome], keptCount: Int, _ options: SweepOptions
) throws {
    if let path = options.outputPath {
        let summary = SweepSummary(grid: grid, outcomes: outcomes)
        try TextStream.output.write(summary.text(path: path, keptCount: keptCount))
    }
    let failures = outcomes.compactMap {
        if case .failed(let reason) = $0 { reason } else { nil }
    }
    if let first = failures.first {
        throw PerseusError(
            .deadline, "\(failures.count) of \(grid.count) points failed; the first: \(first)")
    }
}

// MARK: Memory

/// Bytes that the points may take. Measured sizes exceed their estimates by up to 14 %, and a point reserves up to
/// 3.5 times the pages that it uses.
private func sweepMemory() -> Int { min(availableMemory() / 5 * 4, availableAddressSpace() / 4) }

/// Stack and allocator's arena that a thread reserves, whatever it uses of them.
private let threadByteCount = 72 << 20

// MARK: The grid

extension SweepGrid {
    fileprivate init(_ options: SweepOptions) throws {
        self.init(
            profiles: try options.profiles.map { try ProfileDocument(namedOrAt: $0).profile },
            models: options.models, nodes: options.nodes, ranksPerNode: options.ranksPerNode,
            tokens: options.tokens, schemes: options.schemes.compactMap(Scheme.init))
        orderings = options.orderings?.map(SignalOrdering.init(rawValue:)) ?? [nil]
        groupSizes = options.groupSizes ?? [nil]
        proxyThreads = options.proxyThreads
        zipfExponents = options.zipfExponents
        seed = options.seed
    }
}

extension LayerPoint {
    /// What the layer takes of this machine's memory.
    private var memoryNeed: MemoryNeed? {
        (try? geometry()).map { MemoryNeed($0, proxyThreads: proxyThreads, isModelled: true) }
    }

    fileprivate var memoryByteCount: Int { memoryNeed?.byteCount ?? 0 }

    fileprivate func requireMemory(_ available: Int) throws(PerseusError) {
        do throws(PerseusError) {
            try memoryNeed?.require(available: available, hint: "try fewer tokens or ranks")
        } catch {
            throw PerseusError(error.kind, "\(shapeText): \(error.message)")
        }
    }
}

// MARK: Progress

/// Threading: one thread.
private final class SweepProgress {
    private var line = ProgressLine()
    private let keptCount: Int
    private let total: Int
    private let isShown: Bool
    private let begin = DispatchTime.now().uptimeNanoseconds
    private var hasSaidEnd = false

    init(keptCount: Int, total: Int, isShown: Bool) {
        self.keptCount = keptCount
        self.total = total
        self.isShown = isShown
    }

    func update(_ progress: SweepRun.Progress) {
        if Interruption.isAskedFor && !hasSaidEnd {
            hasSaidEnd = true
            line.finish()
            try? TextStream.error.writeLine(
                "the points that run are finished first; a second interrupt ends at once")
        }
        guard isShown else { return }
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9
        let bar = ProgressBar(
            done: keptCount + progress.pointCount, total: total,
            share: progress.work / max(progress.totalWork, 1), elapsedSeconds: seconds)
        line.update(bar.text)
    }

    func finish() { line.finish() }
}
