// The microbenchmark of the cause on a GPU: blocks of one rank put to many others, through production proxies.

import CPerseusABI
import PerseusCommandRing
import PerseusDevice
import PerseusMegakernel
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC

/// The kernel, compiled and loaded.
public final class PutSignalDeviceKernel {
    let function: DeviceFunction

    public init(_ device: CUDADevice) throws(PerseusError) {
        let program = DeviceProgram(source: "bench_put_signal.cu")
        function = try device.load(program).function("perseus_bench_put_signal")
        try function.setMaxDynamicSharedBytes(Int(PERSEUS_DEVICE_COPY_SHARED_BYTES))
    }
}

/// What one launch measured.
public struct DevicePutSignalResult: Sendable {
    /// [round] nanoseconds from the first push until the last word was seen at its receiver; without signals until
    /// everything had completed.
    public var nanoseconds: [Double] = []
    /// [round] nanoseconds from the first push until the sender knew that everything had completed.
    public var completionNanoseconds: [Double] = []
    /// Of all rounds, the warm ones too.
    public var counters = ProxyCounters()
    /// Transfers whose bytes were not there when their word was, or when they had completed.
    public var missingPayloadCount = 0
    /// Why it did not end, if it did not.
    public var failure: RunFailure?

    public init() {}
}

/// The memory of one launch: rank 0 sends, the others receive.
public final class DevicePutSignal {
    private let device: CUDADevice
    private let workload: PutSignalWorkload
    private let setup: SchemeSetup
    private let hasSignals: Bool
    private let rounds: Int
    private let layout: perseus_arena_layout
    private let arenas: DeviceBuffer
    private let signals: DeviceBuffer
    private let tables: DeviceBuffer
    private let descriptors: DeviceBuffer
    private let times: MappedBuffer
    private let network: DeviceNetwork
    private let transport: TransportJob
    private let stream: CUDAStream
    /// Made beforehand: nothing is created while the kernel runs.
    private let abortStream: CUDAStream
    private var offsets = TableOffsets()

    /// Blocks that push, at most; the coordinator and the copy block come on top.
    private static let mostSenders = 96

    private struct TableOffsets {
        var destinations = 0
        var ordinals = 0
        var counts = 0
        var arrivals = 0
        var progress = 0
        var roundTokens = 0
    }

    /// - Parameters:
    ///   - scheme: nil: puts only, over the transport of `coupled`.
    ///   - rounds: times that the transfers are sent, each after the one before has completed.
    /// - Throws: `badInput` for what the device or the fabric cannot do, `environment` when memory does not suffice.
    public init(
        _ scheme: Scheme?, _ workload: PutSignalWorkload, profile: Profile, options: SchemeOptions,
        rounds: Int, device: CUDADevice
    ) throws {
        self.device = device
        self.workload = workload
        self.rounds = rounds
        hasSignals = scheme != nil
        setup = try SchemeSetup(
            scheme ?? .coupled, profile: profile, ranks: workload.ranks,
            groupWords: workload.mostPerDestination, options: options)
        try Self.requireSupported(setup, workload)
        // One source only: regions for more would stay empty.
        layout = perseus_arena_layout_in_place(
            perseus_arena_layout_make(
                1, UInt32(workload.concurrency), UInt32(workload.byteCount),
                UInt32(workload.mostPerDestination), UInt32(workload.mostPerDestination)))
        let ranks = workload.ranks
        stream = try device.makeStream()
        abortStream = try device.makeStream()
        let arenaBytes = Int(layout.data_byte_count + 127) & ~127
        let signalBytes = Int(layout.signal_byte_count + 127) & ~127
        let (arenas, signals) = (
            try device.allocate(arenaBytes * ranks), try device.allocate(signalBytes * ranks)
        )
        (self.arenas, self.signals) = (arenas, signals)
        var plan = DeviceMemoryPlan()
        offsets.destinations = plan.add(workload.concurrency * 4)
        offsets.ordinals = plan.add(workload.concurrency * 4)
        offsets.counts = plan.add(ranks * 4)
        offsets.arrivals = plan.add(ranks * 4)
        offsets.progress = plan.add(4 * Int(PERSEUS_SHARED_WORD_STRIDE))
        offsets.roundTokens = plan.add(rounds * 8)
        tables = try device.allocate(plan.byteCount)
        descriptors = try device.allocate(MemoryLayout<perseus_device_rank>.stride * ranks + 256)
        times = try device.allocateMapped(
            (rounds + 1) * MemoryLayout<perseus_put_signal_times>.stride)
        network = try DeviceNetwork(device, ranks: ranks, threads: setup.transport.proxyThreads)
        let memory = (0..<ranks).map { [layout] rank in
            RankMemory(
                data: UnsafeMutableRawPointer(
                    bitPattern: UInt(arenas.address) + UInt(rank * arenaBytes)),
                signals: UnsafeMutablePointer<UInt64>(
                    bitPattern: UInt(signals.address) + UInt(rank * signalBytes))!,
                shadow: nil, layout: layout)
        }
        transport = TransportJob(
            plan: network.plan(
                setup.transport, faults: FaultPlan(), posting: profile.posting),
            memory: memory,
            remoteRanks: { _ in ranks - workload.ranksPerNode })
        try fill(arenaBytes: arenaBytes, signalBytes: signalBytes)
    }

    /// Refuses what the device path cannot do.
    public static func requireSupported(
        _ setup: SchemeSetup, _ workload: PutSignalWorkload
    ) throws {
        try DeviceLayer.requireSupported(setup)
        guard setup.scheme.path == .proxy else {
            throw PerseusError(
                .badInput,
                "--device cuda: scheme \(setup.scheme.rawValue): only schemes with a proxy put here"
            )
        }
        if case .perTransfers = setup.program.signaling {
            throw PerseusError(.badInput, "--group-size is not there for put-signal on a device")
        }
        guard workload.senders == .one else {
            throw PerseusError(.badInput, "--senders all: on a device rank 0 alone sends")
        }
        guard workload.ranks <= 512 else {
            throw PerseusError(
                .badInput, "\(workload.ranks) ranks: a device stands for 512 at most")
        }
    }

    public var ordering: String { setup.ordering.rawValue }

    private var errorOffset: Int { MemoryLayout<perseus_device_rank>.stride * workload.ranks }
    /// The deadline in cycles of the fastest clock that a Hopper GPU runs at.
    private var cycleLimit: UInt64 { setup.transport.proxy.deadlineNanoseconds * 2 }

    private func fill(arenaBytes: Int, signalBytes: Int) throws {
        try arenas.fill(0 as UInt8)
        try signals.fill(0 as UInt8)
        try tables.fill(0 as UInt8)
        try descriptors.fill(0 as UInt8)
        let list = TransferList(
            rank: 0, ranks: workload.ranks, ranksPerNode: workload.ranksPerNode,
            count: workload.concurrency,
            isDestinationMajor: hasSignals && setup.program.isDestinationMajor, seed: workload.seed)
        try tables.write(list.destinations.map { UInt32($0) }, at: offsets.destinations)
        try tables.write(list.ordinals.map { UInt32($0) }, at: offsets.ordinals)
        try tables.write(list.counts.map { UInt32($0) }, at: offsets.counts)
        let ranks = (0..<workload.ranks).map { rank in
            var result = perseus_device_rank()
            result.data = arenas.address + UInt64(rank * arenaBytes)
            result.signals = signals.address + UInt64(rank * signalBytes)
            result.round_tokens = tables.address + UInt64(offsets.roundTokens)
            network.describe(
                rank, in: &result, error: descriptors.address + UInt64(errorOffset),
                cycleLimit: cycleLimit)
            return result
        }
        try descriptors.write(ranks)
        try device.synchronize()
    }

    /// Launches the kernel once and drives the sender's proxies and NIC until it ends.
    ///
    /// - Parameter warm: rounds that are not reported.
    public func run(_ kernel: PutSignalDeviceKernel, warm: Int) throws -> DevicePutSignalResult {
        let arguments = self.arguments
        var list = LaunchArguments()
        list.append(arguments)
        try kernel.function.launch(
            grid: 2 + Int(arguments.sender_blocks), block: Int(PERSEUS_DEVICE_THREADS),
            sharedBytes: Int(PERSEUS_DEVICE_COPY_SHARED_BYTES), cooperative: true, stream: stream,
            arguments: list)
        // Receivers have nothing to do: their end, behind the last round's times, is there from the start.
        let ends = times.pointer.assumingMemoryBound(to: perseus_put_signal_times.self)
        ends[rounds].completed = 1
        let kernels = (0..<workload.ranks).map { [rounds] rank in
            DeviceRank(rank: rank, end: Self.end(ends + (rank == 0 ? rounds - 1 : rounds)))
        }
        var result = DevicePutSignalResult()
        let outcome = ThreadRunner(
            transport: transport, kernels: kernels, threadCount: 1,
            deadline: setup.transport.proxy.deadlineNanoseconds, isExact: true, activeRanks: [0]
        ).run()
        result.counters = outcome.counters
        result.failure = outcome.failure
        if outcome.failure != nil { try giveUp() }
        network.stop(0..<1)
        try stream.synchronize()
        let record = try descriptors.read(
            perseus_error_record.self, count: 1, at: errorOffset)[0]
        RunFailure.add(record, to: &result.failure, cause: "the transfers did not finish")
        result.missingPayloadCount = Int(
            try tables.read(
                UInt32.self, count: 1,
                at: offsets.progress + 3 * Int(PERSEUS_SHARED_WORD_STRIDE))[0])
        if result.failure == nil { readTimes(into: &result, warm: warm) }
        return result
    }

    private static func end(
        _ times: UnsafeMutablePointer<perseus_put_signal_times>
    ) -> UnsafeMutablePointer<UInt64> {
        let offset = MemoryLayout<perseus_put_signal_times>.offset(of: \.completed)!
        return (UnsafeMutableRawPointer(times) + offset).assumingMemoryBound(to: UInt64.self)
    }

    private var arguments: perseus_put_signal_args {
        var layer = perseus_device_layer()
        layer.ranks = descriptors.address
        layer.error = descriptors.address + UInt64(errorOffset)
        layer.layout = layout
        layer.rank_count = UInt32(workload.ranks)
        layer.copy_blocks_per_rank = 1
        layer.keeps_copies_behind_words = setup.isProven ? 0 : 1
        layer.round_count = UInt32(rounds)
        layer.coalesces_group = setup.program.coalescesGroup ? 1 : 0
        layer.cycle_limit = cycleLimit
        var arguments = perseus_put_signal_args()
        arguments.layer = layer
        arguments.destinations = tables.address + UInt64(offsets.destinations)
        arguments.ordinals = tables.address + UInt64(offsets.ordinals)
        arguments.counts = tables.address + UInt64(offsets.counts)
        arguments.arrivals = tables.address + UInt64(offsets.arrivals)
        arguments.progress = tables.address + UInt64(offsets.progress)
        arguments.times = times.address
        arguments.transfer_count = UInt32(workload.concurrency)
        arguments.sender_blocks = UInt32(
            min(
                workload.concurrency, Self.mostSenders,
                device.multiprocessorCount - 2))
        arguments.byte_count = UInt32(workload.byteCount)
        let mode =
            !hasSignals
            ? PERSEUS_PUT_SIGNAL_NONE
            : setup.program.signaling == .coupled
                ? PERSEUS_PUT_SIGNAL_COUPLED : PERSEUS_PUT_SIGNAL_PER_DESTINATION
        arguments.mode = UInt32(mode.rawValue)
        return arguments
    }

    /// Ends every wait of the kernel.
    private func giveUp() throws {
        let state = [UInt32(PERSEUS_ERROR_RECORDED.rawValue)]
        try state.withUnsafeBytes {
            try descriptors.write(from: $0, at: errorOffset, on: abortStream)
        }
        try abortStream.synchronize()
    }

    private func readTimes(into result: inout DevicePutSignalResult, warm: Int) {
        let list = times.pointer.assumingMemoryBound(to: perseus_put_signal_times.self)
        for round in warm..<rounds {
            let one = list[round]
            let completion = Double(one.completed &- one.first_push)
            result.completionNanoseconds.append(completion)
            result.nanoseconds.append(
                hasSignals ? Double(one.last_seen &- one.first_push) : completion)
        }
    }
}
