// `perseus bench`: runs one benchmark and prints its ratios.

import PerseusBenchmarks
import PerseusCommandLine
import PerseusPrimitives

func executeBench(_ options: BenchOptions) throws {
    let report = try measure(options)
    print(text(of: report), terminator: "")
    if let path = options.jsonPath {
        try writeJSON(
            Report(
                command: report.command, context: MachineContext(), results: report.results,
                notes: report.notes), to: path)
    }
    if let failure = report.failure { throw failure }
}

private func measure(_ options: BenchOptions) throws -> BenchmarkReport {
    switch options.benchmark {
    case "ring" where options.device == "cuda":
        var ring = DeviceRingOptions()
        ring.repetitions = options.repetitionCount
        if options.isQuick { ring.makeQuick() }
        ring.ringCounts = options.ringCounts ?? ring.ringCounts
        ring.blockCounts = options.blockCounts ?? ring.blockCounts
        ring.warpCounts = options.warpCounts ?? ring.warpCounts
        return try runDeviceRingBenchmark(ring)
    case "ring":
        var ring = CommandRingOptions()
        ring.repetitions = options.repetitionCount
        if options.isQuick { ring.makeQuick() }
        return try runCommandRingBenchmark(ring)
    case "proxy":
        var proxy = ProxyBenchmarkOptions()
        proxy.repetitions = options.repetitionCount
        if options.isQuick { proxy.makeQuick() }
        return try runProxyBenchmark(proxy)
    case "gemm" where options.device == "cuda":
        var gemm = DeviceGEMMOptions()
        gemm.repetitions = options.repetitionCount
        if options.isQuick { gemm.makeQuick() }
        gemm.models = options.models ?? gemm.models
        gemm.tokenCounts = options.tokenCounts ?? gemm.tokenCounts
        gemm.deepSeekExpertCount = options.deepSeekExpertCount ?? gemm.deepSeekExpertCount
        return try withProgress { try runDeviceGEMMBenchmark(gemm, progress: $0) }
    case "gemm":
        var gemm = ExpertGEMMOptions()
        gemm.repetitions = options.repetitionCount
        if options.isQuick { gemm.makeQuick() }
        return try runExpertGEMMBenchmark(gemm)
    case "simulator":
        var simulator = SimulatorBenchmarkOptions()
        simulator.repetitions = options.repetitionCount
        if options.isQuick { simulator.makeQuick() }
        return try runSimulatorBenchmark(simulator)
    default:
        throw PerseusError(.badInput, "unknown benchmark \(options.benchmark)")
    }
}

/// Long work says on a terminal where it is.
func withProgress<Result>(_ work: ((String) -> Void) throws -> Result) rethrows -> Result {
    let line = SharedLine()
    defer { line.finish() }
    return try work(line.update)
}

/// A progress line that closures can share.
private final class SharedLine {
    private var line = ProgressLine()

    func update(_ text: String) { line.update(text) }
    func finish() { line.finish() }
}

/// A line for each result, then the notes. A ratio above 1 is better than the baseline.
private func text(of report: BenchmarkReport) -> String {
    let hasPeak = report.results.contains { peakShare(of: $0) != nil }
    let hasTime = report.results.contains { time(of: $0) != nil }
    var table = TextTable(
        ["what", "value", "median", "p99", "unit"] + (hasPeak ? ["of peak"] : [])
            + (hasTime ? ["time"] : []) + ["baseline", "its value", "ratio"])
    for result in report.results {
        table.addRow(
            [
                result.name, figure(result.value), figure(result.median), figure(result.p99),
                result.unit,
            ] + (hasPeak ? [peakShare(of: result) ?? "-"] : [])
                + (hasTime ? [time(of: result) ?? "-"] : []) + [
                    result.baseline?.name ?? "-", result.baseline.map { figure($0.value) } ?? "-",
                    result.ratio.map(Quantity.ratio) ?? "-",
                ])
    }
    let repetitions = report.results.first?.repetitions ?? 0
    let meaning =
        report.valueMeaning ?? "third-fastest of \(repetitions) interleaved repetitions"
    return table.render() + report.notes.map { "\($0)\n" }.joined()
        + "value: \(meaning);"
        + " ratio: above 1 is better than the baseline\n"
}

/// Percent of the peak that a result names among its parameters; nil where it names none.
private func peakShare(of result: BenchmarkResult) -> String? {
    guard case .real(let peak) = result.parameters["peak"] else { return nil }
    return "\(Int((100 * result.value / peak).rounded())) %"
}

/// The duration that a rate comes from, where a result names it among its parameters.
private func time(of result: BenchmarkResult) -> String? {
    guard case .real(let nanoseconds) = result.parameters["nanoseconds"] else { return nil }
    return Quantity.time(Int(nanoseconds.rounded()))
}

/// Three significant digits, at most two decimals.
private func figure(_ value: Double) -> String {
    let decimals = abs(value) >= 100 ? 1.0 : abs(value) >= 10 ? 10 : 100
    let rounded = (value * decimals).rounded() / decimals
    return decimals == 1 ? "\(Int(rounded))" : "\(rounded)"
}
