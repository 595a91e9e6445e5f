// How near the expert kernels come to this machine's own peak, and to OpenBLAS, on one thread.

import CExpertKernels
import CPerseusShims
import PerseusExpertKernels
import PerseusMoE
import PerseusPrimitives

/// What `bench gemm` measures; the defaults are Qwen3's experts and one 64-row segment.
public struct ExpertGEMMOptions: Sendable {
    public var dimensions = ExpertDimensions(hidden: 2048, intermediate: 768)
    public var rows = 64
    /// Experts in turn: with 8 of Qwen3's, 72 MiB of weights exceed the caches of current
    /// processors.
    public var expertCount = 8
    /// Interleaved repetitions of every measurement.
    public var repetitions = 16
    public var variants = ExpertKernelVariant.available

    public init() {}

    /// One small expert: proves that everything runs, measures little.
    public mutating func makeQuick() {
        dimensions = ExpertDimensions(hidden: 256, intermediate: 128)
        rows = 16
        expertCount = 1
    }
}

/// Measures every variant with weights from memory and from cache, beside the register-only peak of
/// its instructions and OpenBLAS sgemm. One thread.
///
/// - Throws: `.badInput` for rows outside 1...128 or no repetitions; what packing the experts
///   throws.
public func runExpertGEMMBenchmark(_ options: ExpertGEMMOptions = .init()) throws -> BenchmarkReport
{
    guard (1...PackedExperts.maximumRows).contains(options.rows), options.repetitions >= 1,
        options.expertCount >= 1
    else {
        throw PerseusError(.badInput, "bench gemm needs 1 to 128 rows, a repetition and an expert")
    }
    let operands = ExpertGEMMOperands(options)
    let library = OpenBLAS()
    var results: [BenchmarkResult] = []
    for variant in options.variants {
        results += try measure(variant, operands, library)
    }
    var notes = [
        "one thread; in memory: \(options.expertCount) experts in turn"
            + " (8 of Qwen3's exceed the caches); in cache: one expert again",
        "flop per multiplication: 6 x rows x hidden x intermediate",
    ]
    if library == nil { notes.append("OpenBLAS: not installed (libopenblas.so.0)") }
    return BenchmarkReport(command: "bench gemm", results: results, notes: notes)
}

/// Rounds of the register-only loop in one repetition: some milliseconds.
private let peakIterations: UInt64 = 200_000

private func measure(
    _ variant: ExpertKernelVariant, _ operands: ExpertGEMMOperands, _ library: OpenBLAS?
) throws -> [BenchmarkResult] {
    let options = operands.options
    let experts = try PackedExperts(source: operands.source, activation: .silu, variant: variant)
    guard let kernel = variant.kernel else { return [] }
    let scratch = UnsafeMutableRawPointer.allocate(
        byteCount: experts.scratchByteCount, alignment: 64)
    defer { scratch.deallocate() }
    var next = 0
    var contenders = [
        BenchmarkContender(
            "memory",
            timing: {
                operands.multiply(experts, expert: next % options.expertCount, scratch)
                next += 1
            }),
        BenchmarkContender(
            "cache",
            samples: {
                // The second of two passes over one expert.
                operands.multiply(experts, expert: 0, scratch)
                let start = perseus_monotonic_nanoseconds()
                operands.multiply(experts, expert: 0, scratch)
                return [Double(perseus_monotonic_nanoseconds() - start)]
            }),
        BenchmarkContender(
            "peak",
            timing: {
                let sum = kernel.pointee.measure_peak(peakIterations)
                precondition(sum >= 0, "measure_peak: sums of positive products")
            }),
    ]
    if let library {
        contenders.append(
            BenchmarkContender("OpenBLAS", timing: { operands.multiply(library) }))
    }
    let statistics = try measureInterleaved(contenders, repetitions: options.repetitions)
    let peak =
        kernel.pointee.peak_operation_count * Double(peakIterations)
        / statistics[2].thirdFastest
    let flop = operands.floatingPointOperationCount
    let baseline = library.map { _ in
        BenchmarkBaseline(name: "OpenBLAS sgemm", value: flop / statistics[3].thirdFastest)
    }
    operands.multiply(experts, expert: 0, scratch)
    return [("memory", statistics[0]), ("cache", statistics[1])].map { weights, nanoseconds in
        BenchmarkResult(
            name: "expert gemm \(variant.rawValue) \(operands.shapeText) weights in \(weights)",
            parameters: operands.parameters(variant, weights: weights, peak: peak),
            unit: "GFLOP/s", amount: flop, nanoseconds: nanoseconds, baseline: baseline,
            checksum: operands.checksum)
    }
}
