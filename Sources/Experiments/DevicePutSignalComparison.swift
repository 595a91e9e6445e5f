// Put-only against every way of signalling, with the sender's blocks on a GPU.

import PerseusBenchmarks
import PerseusDevice
import PerseusDeviceRuns
import PerseusPrimitives
import PerseusProxy
import PerseusRunners

/// A GPU, and the kernel that puts.
public final class DevicePutSignalComparison {
    private let device: CUDADevice
    private let kernel: PutSignalDeviceKernel
    /// Rounds of each launch, the first ones to warm up.
    private let warmRounds: Int
    private let rounds: Int

    public var deviceName: String { device.name }

    /// - Throws: `environment` without a usable GPU.
    public init(isQuick: Bool) throws {
        device = try CUDADevice.open()
        try device.requireHopper()
        kernel = try PutSignalDeviceKernel(device)
        (warmRounds, rounds) = isQuick ? (1, 4) : (3, 23)
    }

    /// Put-only first, then the schemes; by turns, so that drift falls on all of them alike.
    ///
    /// Throughput is compared at the sender, when it knows that everything has completed: that is defined without
    /// signals too.
    /// - Throws: `badInput` for a scheme that the device or the fabric cannot honour, `deadline` when transfers do not
    ///   end, `wrongResult` when a word or a completion came before its bytes.
    public func run(
        _ comparison: PutSignalComparison, _ workload: PutSignalWorkload, nodes: Int
    ) throws -> [PutSignalResult] {
        var workload = workload
        workload.senders = comparison.senders
        let contenders: [Scheme?] = [nil] + comparison.schemes.map { $0 }
        var all = contenders.map { _ in DevicePutSignalResult() }
        var orderings = contenders.map { _ in "none" }
        for repetition in 0..<comparison.repetitions {
            for turn in contenders.indices {
                let index = (turn + repetition) % contenders.count
                let name = contenders[index]?.rawValue ?? "put-only"
                let launch = try DevicePutSignal(
                    contenders[index], workload, profile: comparison.profile,
                    options: comparison.options, rounds: rounds, device: device)
                let result = try launch.run(kernel, warm: warmRounds)
                if let failure = result.failure {
                    throw PerseusError(.deadline, "\(name): \(failure)")
                }
                guard result.missingPayloadCount == 0 else {
                    throw PerseusError(
                        .wrongResult,
                        "\(name): \(result.missingPayloadCount) transfers were announced before"
                            + " their bytes were there")
                }
                all[index].nanoseconds += result.nanoseconds
                all[index].completionNanoseconds += result.completionNanoseconds
                all[index].counters = result.counters
                if contenders[index] != nil { orderings[index] = launch.ordering }
            }
        }
        let times = all.map { BenchmarkStatistics(samples: $0.nanoseconds).median }
        let completions = all.map { BenchmarkStatistics(samples: $0.completionNanoseconds).median }
        return contenders.indices.map { index in
            // Of one round: all rounds are alike.
            let counters = all[index].counters
            func each(_ count: UInt64) -> Int { Int(count) / rounds }
            return PutSignalResult(
                scheme: contenders[index]?.rawValue ?? "put-only", ordering: orderings[index],
                clock: "device", profile: comparison.profile.name, nodes: nodes,
                ranksPerNode: workload.ranksPerNode, senders: workload.senders.rawValue,
                concurrency: workload.concurrency, bytes: workload.byteCount,
                nanoseconds: times[index], repetitions: comparison.repetitions,
                throughputShare: completions[0] / completions[index],
                fenceNanoseconds: completions[index] - completions[0],
                puts: each(counters.dispatchPuts + counters.combinePuts),
                signals: each(counters.signals),
                fences: each(counters.dispatchFences + counters.combineFences),
                drains: each(counters.drains), doorbells: each(counters.doorbells),
                drainNanoseconds: each(counters.drainNanoseconds),
                completionNanoseconds: completions[index])
        }
    }
}
