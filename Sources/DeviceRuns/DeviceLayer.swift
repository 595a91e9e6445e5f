// A layer of several ranks on one GPU: its memory, its rings and NICs, and its launches.

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusDevice
import PerseusMegakernel
import PerseusMemory
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC
import PerseusTransport

/// What a layer on a device gets, equal for all schemes.
public struct DeviceWorkload {
    public var weights: DeviceWeights
    public var geometry: LayerGeometry
    /// [all tokens, hidden] bf16; alive as long as the workload.
    public var hidden: UnsafePointer<UInt16>
    /// [all tokens, topK]
    public var ids: [Int32]
    public var scores: [Float]
    /// How often the layer is run back to back in one launch.
    public var layerCount = 1

    public init(
        weights: DeviceWeights, geometry: LayerGeometry, hidden: UnsafePointer<UInt16>,
        ids: [Int32], scores: [Float]
    ) {
        self.weights = weights
        self.geometry = geometry
        self.hidden = hidden
        self.ids = ids
        self.scores = scores
    }
}

/// Blocks of a launch.
public struct DeviceGrid: Sendable, Equatable {
    public var blocksPerRank: Int
    /// Whether a block of each rank moves bytes for its emulated NIC: 0 or 1.
    public var copyBlocksPerRank: Int

    /// All multiprocessors, one block on each.
    public init(device: CUDADevice, geometry: LayerGeometry) throws(PerseusError) {
        let ranks = geometry.rankCount
        let hasRemotes = (0..<ranks).contains { geometry.remoteRanks(of: $0) > 0 }
        copyBlocksPerRank = hasRemotes ? 1 : 0
        blocksPerRank = device.multiprocessorCount / ranks - copyBlocksPerRank
        guard blocksPerRank >= 2, ranks <= Int(PERSEUS_DEVICE_MAX_RANKS) else {
            throw PerseusError(
                .badInput,
                "--ranks \(ranks): \(device.name) has \(device.multiprocessorCount) multiprocessors,"
                    + " and a rank needs at least \(2 + copyBlocksPerRank) of them; \(PERSEUS_DEVICE_MAX_RANKS) ranks at most"
            )
        }
    }

    func blockCount(_ ranks: Int) -> Int { ranks * (blocksPerRank + copyBlocksPerRank) }
}

/// The megakernel, compiled for one model and loaded.
public final class LayerKernel {
    let function: DeviceFunction
    let sharedBytes: Int

    public init(_ model: MoEModel, device: CUDADevice) throws {
        let shape = LayerKernelShape(model)
        function = try device.load(shape.program(for: model)).function("perseus_megakernel")
        sharedBytes = shape.sharedBytes(model)
        try function.setMaxDynamicSharedBytes(sharedBytes)
        guard
            try function.maxActiveBlocksPerMultiprocessor(
                threads: Int(PERSEUS_DEVICE_THREADS), sharedBytes: sharedBytes) > 0
        else {
            throw PerseusError(
                .environment,
                "megakernel: a block with \(sharedBytes) bytes of shared memory does not fit a"
                    + " multiprocessor of \(device.name)")
        }
    }
}

/// What one launch did.
public struct DeviceLayerResult {
    public var counters = ProxyCounters()
    /// [layer] nanoseconds from the first rank's begin to the last rank's end, by the GPU's clock.
    public var layerNanoseconds: [UInt64] = []
    /// [layer] nanoseconds until the plans were made, and until the last expert task was done, both of the last rank.
    public var planNanoseconds: [UInt64] = []
    public var multiplyNanoseconds: [UInt64] = []
    /// Why it did not end, if it did not.
    public var failure: RunFailure?
}

/// A layer's memory on a device under one scheme. One launch; the output stays until the object goes.
public final class DeviceLayer {
    private let device: CUDADevice
    private let workload: DeviceWorkload
    private let setup: SchemeSetup
    private let grid: DeviceGrid
    private let geometry: LayerGeometry
    private let ranks: Int
    private let rounds: Int

    /// All ranks' arenas and activations; signal words and tables; hidden states; outputs.
    private let arenas: DeviceBuffer
    private let tables: DeviceBuffer
    private let states: DeviceBuffer
    private let outputs: DeviceBuffer
    private let descriptors: DeviceBuffer
    private let host: MappedBuffer
    private let layout: DeviceLayerLayout
    private let network: DeviceNetwork
    private let transport: TransportJob
    private let kernelRanks: [DeviceRank]

    private let stream: CUDAStream
    /// Made beforehand: nothing is created while the kernel runs.
    private let abortStream: CUDAStream

    /// Allocates and fills everything; all bytes that a run must write are NaN before.
    ///
    /// - Throws: `badInput` for what the device path cannot do, `environment` when memory does not suffice.
    public init(
        _ workload: DeviceWorkload, setup: SchemeSetup, grid: DeviceGrid, faults: FaultPlan,
        device: CUDADevice
    ) throws {
        self.device = device
        self.workload = workload
        self.setup = setup
        self.grid = grid
        geometry = workload.geometry
        ranks = geometry.rankCount
        rounds = geometry.roundCount * workload.layerCount
        try Self.requireSupported(setup)
        // Nothing would keep such a rank from running ahead of the others.
        let placement = workload.geometry.placement
        let hasIdleRank = (0..<placement.rankCount).contains { placement.range(of: $0).isEmpty }
        guard rounds == 1 || !hasIdleRank else {
            throw PerseusError(
                .badInput,
                "--device cuda: \(rounds) rounds need an expert on every rank, and"
                    + " \(geometry.rankCount) ranks share \(geometry.model.expertCount)")
        }
        stream = try device.makeStream()
        abortStream = try device.makeStream()
        layout = DeviceLayerLayout(workload, rounds: rounds)
        arenas = try device.allocate(layout.arenaBytes * ranks)
        tables = try device.allocate(layout.tableBytes * ranks)
        let tokens = max(1, geometry.tokensPerRank.reduce(0, +))
        states = try device.allocate(tokens * geometry.model.hidden * 2)
        outputs = try device.allocate(tokens * geometry.model.hidden * 4)
        descriptors = try device.allocate(MemoryLayout<perseus_device_rank>.stride * ranks + 256)
        host = try device.allocateMapped(layout.hostBytes * ranks)
        network = try DeviceNetwork(
            device, ranks: ranks, threads: setup.transport.proxyThreads,
            sendQueueLog2: setup.scheme.path == .gpuDirect
                ? DeviceNetwork.sendQueueLog2(setup.transport) : nil)
        let (hostBase, layout) = (host.pointer, layout)
        let memory = (0..<ranks).map { [arenas, tables] rank in
            RankMemory(
                data: UnsafeMutableRawPointer(
                    bitPattern: UInt(arenas.address) + UInt(rank * layout.arenaBytes + layout.data)),
                signals: UnsafeMutablePointer<UInt64>(
                    bitPattern: UInt(tables.address)
                        + UInt(rank * layout.tableBytes + layout.signals))!,
                shadow: nil, layout: workload.geometry.layout)
        }
        transport = TransportJob(
            plan: network.plan(setup.transport, faults: faults), memory: memory,
            remoteRanks: workload.geometry.remoteRanks(of:))
        kernelRanks = (0..<ranks).map { [rounds] rank in
            let times = hostBase + rank * layout.hostBytes + layout.times
            let last = times + (rounds - 1) * MemoryLayout<perseus_device_round_times>.stride
            return DeviceRank(
                rank: rank,
                end: (last + MemoryLayout<perseus_device_round_times>.offset(of: \.end)!)
                    .assumingMemoryBound(to: UInt64.self))
        }
        try fill()
    }

    /// Refuses what the megakernel does not do: signals that a receiver's CPU publishes or that are added, and waits between
    /// requests that the kernel posts itself.
    public static func requireSupported(_ setup: SchemeSetup) throws(PerseusError) {
        func refuse(_ what: String) -> PerseusError {
            PerseusError(
                .badInput, "--device cuda: scheme \(setup.scheme.rawValue): \(what)")
        }
        if setup.ordering.usesImmediates || setup.ordering == .atomic {
            throw refuse("ordering \(setup.ordering.rawValue) is not there on a device yet")
        }
        if setup.scheme.path == .gpuDirect && setup.ordering.plan.wait != .none {
            throw refuse(
                "ordering \(setup.ordering.rawValue) is not there on a device, where a kernel that posts"
                    + " itself waits for no completion between requests")
        }
        let (threads, most) = (setup.transport.proxyThreads, Int(PERSEUS_DEVICE_MAX_RINGS))
        if threads > most {
            throw refuse("--proxy-threads \(threads): a kernel knows at most \(most) rings")
        }
    }

    // MARK: Filling

    private func arena(_ rank: Int, _ offset: Int) -> UInt64 {
        arenas.address + UInt64(rank * layout.arenaBytes + offset)
    }
    private func table(_ rank: Int, _ offset: Int) -> UInt64 {
        tables.address + UInt64(rank * layout.tableBytes + offset)
    }
    private func mapped(_ rank: Int, _ offset: Int) -> UInt64 {
        host.address + UInt64(rank * layout.hostBytes + offset)
    }

    private func fill() throws {
        try arenas.fill(0xFF as UInt8)
        try outputs.fill(0xFF as UInt8)
        try tables.fill(0 as UInt8)
        let model = geometry.model
        let tokens = geometry.tokensPerRank.reduce(0, +)
        if tokens > 0 {
            try states.write(
                from: UnsafeRawBufferPointer(
                    start: workload.hidden, count: tokens * model.hidden * 2))
        }
        var firstToken = 0
        var list: [perseus_device_rank] = []
        for rank in 0..<ranks {
            let count = geometry.tokensPerRank[rank]
            let slots = firstToken * model.topK..<(firstToken + count) * model.topK
            let base = rank * layout.tableBytes
            if count > 0 {
                try tables.write(Array(workload.ids[slots]), at: base + layout.ids)
                try tables.write(Array(workload.scores[slots]), at: base + layout.scores)
            }
            try tables.write(
                setup.program.sendingOrder(of: rank, geometry), at: base + layout.order)
            let spans = (0..<rounds).flatMap { round -> [UInt32] in
                let tokens = geometry.tokens(of: rank, round: round % geometry.roundCount)
                return [UInt32(tokens.lowerBound), UInt32(tokens.count)]
            }
            try tables.write(spans, at: base + layout.roundTokens)
            list.append(try describe(rank, firstToken: firstToken))
            firstToken += count
        }
        try descriptors.fill(0 as UInt8)
        try descriptors.write(list)
        try device.synchronize()
    }

    /// `perseus_error_record` and the count of blocks lie behind the ranks' descriptors.
    private var errorOffset: Int { MemoryLayout<perseus_device_rank>.stride * ranks }

    private func describe(_ rank: Int, firstToken: Int) throws -> perseus_device_rank {
        let model = geometry.model
        let arenaLayout = geometry.layout
        let rows = Int(arenaLayout.rows_per_source) * ranks
        let count = max(1, geometry.tokensPerRank[rank])
        var result = perseus_device_rank()
        func maps(_ address: UInt64, _ rows: Int, _ columns: Int) throws -> [TensorMap] {
            try [PERSEUS_DEVICE_SEGMENT_ROWS, PERSEUS_DEVICE_SLOT_ROWS].map { height in
                try device.tensorMap2D(
                    address: address, rows: rows, columns: columns, rowStrideBytes: columns * 2,
                    boxRows: Int(height), boxColumns: 64)
            }
        }
        let hidden = states.address + UInt64(firstToken * model.hidden * 2)
        let all = [
            try maps(arena(rank, layout.data) + arenaLayout.dispatch_data, rows, model.hidden),
            try maps(arena(rank, layout.inner), rows, model.intermediate),
            try maps(hidden, count, model.hidden),
            model.sharedIntermediate > 0
                ? try maps(arena(rank, layout.sharedInner), count, model.sharedIntermediate)
                : try maps(hidden, count, model.hidden),
        ].flatMap { $0 }
        withUnsafeMutableBytes(of: &result) { bytes in
            all.withUnsafeBytes { bytes.copyMemory(from: $0) }
        }
        result.data = arena(rank, layout.data)
        result.signals = table(rank, layout.signals)
        result.hidden = hidden
        result.output = outputs.address + UInt64(firstToken * model.hidden * 4)
        result.ids = table(rank, layout.ids)
        result.weights = table(rank, layout.scores)
        result.slot_of_row = table(rank, layout.slotOfRow)
        result.row_of_slot = table(rank, layout.rowOfSlot)
        result.first_row = table(rank, layout.firstRow)
        result.order = table(rank, layout.order)
        result.unpacked = table(rank, layout.unpacked)
        result.unsent = table(rank, layout.unsent)
        result.members = table(rank, layout.members)
        result.group_arrivals = table(rank, layout.groupArrivals)
        result.return_words = table(rank, layout.returnWords)
        result.inner = arena(rank, layout.inner)
        result.shared_inner = arena(rank, layout.sharedInner)
        result.shared_rows = arena(rank, layout.sharedRows)
        result.queue = table(rank, layout.queue)
        result.queue_cursors = table(rank, layout.cursors)
        result.groups = table(rank, layout.groups)
        result.counters = table(rank, layout.counters)
        result.times = mapped(rank, layout.times)
        result.round_tokens = table(rank, layout.roundTokens)
        let experts = geometry.placement.range(of: rank)
        result.first_expert = UInt32(experts.lowerBound)
        result.expert_count = UInt32(experts.count)
        let locals = geometry.localRanks(of: rank)
        result.first_local = UInt32(locals.lowerBound)
        result.local_count = UInt32(locals.count)
        result.queue_log2 = UInt32(layout.queueLog2)
        result.group_capacity = UInt32(layout.groupCapacity)
        network.describe(
            rank, in: &result, error: descriptors.address + UInt64(errorOffset),
            cycleLimit: cycleLimit)
        return result
    }

    /// The deadline in cycles of the fastest clock that a Hopper GPU runs at.
    private var cycleLimit: UInt64 { setup.transport.proxy.deadlineNanoseconds * 2 }

    /// Puts random rows where packed rows arrive, for launches that multiply without packing: what is multiplied
    /// decides how much power it takes, and with it the clock.
    public func fillRows(seed: UInt64) throws {
        let block = 8 << 20
        let random = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: block)
        defer { random.deallocate() }
        fillRandomBFloat16(random.baseAddress!, count: block, seed: seed, scale: 1)
        let arenaLayout = geometry.layout
        let byteCount = Int(arenaLayout.row_stride) * Int(arenaLayout.rows_per_source) * ranks
        for rank in 0..<ranks {
            let first = rank * layout.arenaBytes + layout.data + Int(arenaLayout.dispatch_data)
            var done = min(byteCount, block * 2)
            try arenas.write(
                from: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(random)[..<done]),
                at: first)
            while done < byteCount {
                let count = min(done, byteCount - done)
                try arenas.copy(
                    from: arenas, at: first, to: first + done, byteCount: count, on: stream)
                done += count
            }
        }
        try stream.synchronize()
    }

    // MARK: Running

    /// Launches the kernel once and drives proxies and NICs until it ends.
    ///
    /// - Parameter stages: what a launch executes (`perseus_device_stage`).
    public func run(
        _ kernel: LayerKernel, stages: UInt32 = UInt32(PERSEUS_DEVICE_STAGE_ALL.rawValue)
    ) throws -> DeviceLayerResult {
        var arguments = LaunchArguments()
        arguments.append(layer(stages), alignment: 64)
        try kernel.function.launch(
            grid: grid.blockCount(ranks), block: Int(PERSEUS_DEVICE_THREADS),
            sharedBytes: kernel.sharedBytes, cooperative: true, stream: stream,
            arguments: arguments)
        let deadline = setup.transport.proxy.deadlineNanoseconds
        var result = DeviceLayerResult()
        let outcome = ThreadRunner(
            transport: transport, kernels: kernelRanks, threadCount: ranks, deadline: deadline,
            isExact: true, activeRanks: Array(0..<ranks)
        ).run()
        result.counters = outcome.counters
        result.failure = outcome.failure
        if outcome.failure != nil { try giveUp() }
        if grid.copyBlocksPerRank > 0 {
            network.stop(0..<ranks)
        }
        try stream.synchronize()
        let record = try descriptors.read(
            perseus_error_record.self, count: 1, at: errorOffset)[0]
        RunFailure.add(record, to: &result.failure, cause: "the layer did not finish")
        if result.failure == nil { readTimes(into: &result) }
        return result
    }

    private func layer(_ stages: UInt32) -> perseus_device_layer {
        var layer = perseus_device_layer()
        layer.ranks = descriptors.address
        let maps = workload.weights.maps.address
        layer.up_map = maps
        layer.down_map = maps + 128
        layer.shared_up_map = maps + 256
        layer.shared_down_map = maps + 384
        layer.up_bias = workload.weights.experts.upBias?.address ?? 0
        layer.down_bias = workload.weights.experts.downBias?.address ?? 0
        layer.error = descriptors.address + UInt64(errorOffset)
        layer.arrived = layer.error + 128
        layer.layout = geometry.layout
        layer.rank_count = UInt32(ranks)
        layer.blocks_per_rank = UInt32(grid.blocksPerRank)
        layer.copy_blocks_per_rank = UInt32(grid.copyBlocksPerRank)
        layer.round_count = UInt32(rounds)
        layer.first_round = UInt32(setup.program.firstRound)
        let (signaling, groupSize) = signaling
        layer.signaling = UInt32(signaling.rawValue)
        layer.group_size = UInt32(groupSize)
        layer.coalesces_group = setup.program.coalescesGroup ? 1 : 0
        layer.keeps_copies_behind_words = setup.isProven ? 0 : 1
        layer.stages = stages
        layer.quiets_between_rounds = setup.program.quietsBetweenRounds ? 1 : 0
        let guarantees = setup.transport.nic.guarantees
        layer.is_staged = setup.program.isStaged ? 1 : 0
        layer.is_direct = setup.scheme.path == .gpuDirect ? 1 : 0
        layer.fences_signals = setup.ordering.plan.flagsSignal ? 1 : 0
        layer.completes_in_order = guarantees.completesInOrder ? 1 : 0
        layer.inline_words = UInt32(
            max(1, min(4, setup.transport.nic.inlineCapacityByteCount / 8)))
        layer.cycle_limit = cycleLimit
        return layer
    }

    /// How the kernel signals, and transfers of a group.
    private var signaling: (perseus_device_signaling, Int) {
        switch setup.program.signaling {
        case .coupled: (PERSEUS_DEVICE_COUPLED, 1)
        case .perDestination: (PERSEUS_DEVICE_PER_DESTINATION, 1)
        case .perTransfers(let size):
            (PERSEUS_DEVICE_PER_TRANSFERS, max(1, min(size, geometry.model.expertCount)))
        }
    }

    /// Ends every wait of the kernel.
    private func giveUp() throws {
        let state = [UInt32(PERSEUS_ERROR_RECORDED.rawValue)]
        try state.withUnsafeBytes {
            try descriptors.write(from: $0, at: errorOffset, on: abortStream)
        }
        try abortStream.synchronize()
    }

    private func readTimes(into result: inout DeviceLayerResult) {
        let perLayer = geometry.roundCount
        for index in 0..<workload.layerCount {
            var (begin, end) = (UInt64.max, UInt64(0))
            var (planned, multiplied) = (UInt64(0), UInt64(0))
            for rank in 0..<ranks {
                let times = (host.pointer + rank * layout.hostBytes + layout.times)
                    .assumingMemoryBound(to: perseus_device_round_times.self)
                begin = min(begin, times[index * perLayer].begin)
                end = max(end, times[(index + 1) * perLayer - 1].end)
                planned = max(planned, times[index * perLayer].planned)
                multiplied = max(multiplied, times[(index + 1) * perLayer - 1].multiplied)
            }
            result.layerNanoseconds.append(end &- begin)
            result.planNanoseconds.append(planned &- begin)
            result.multiplyNanoseconds.append(multiplied &- begin)
        }
    }

    /// The layer's output, [all tokens, hidden] F32.
    public func readOutput() throws -> [Float] {
        let count = geometry.tokensPerRank.reduce(0, +) * geometry.model.hidden
        return count > 0 ? try outputs.read(Float.self, count: count) : []
    }
}
