// Where the parts of each rank of a layer lie in the buffers of a device.

import CPerseusABI
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives

/// Offsets within a rank's share of each buffer, the same for every rank, and what the tables are sized for.
struct DeviceLayerLayout {
    private(set) var arenaBytes = 0
    private(set) var data = 0
    private(set) var inner = 0
    private(set) var sharedInner = 0
    private(set) var sharedRows = 0
    private(set) var tableBytes = 0
    private(set) var signals = 0
    private(set) var ids = 0
    private(set) var scores = 0
    private(set) var slotOfRow = 0
    private(set) var rowOfSlot = 0
    private(set) var firstRow = 0
    private(set) var order = 0
    private(set) var unpacked = 0
    private(set) var unsent = 0
    private(set) var members = 0
    private(set) var groupArrivals = 0
    private(set) var returnWords = 0
    private(set) var queue = 0
    private(set) var cursors = 0
    private(set) var groups = 0
    private(set) var counters = 0
    private(set) var roundTokens = 0
    private(set) var queueLog2 = 0
    private(set) var groupCapacity = 0
    private(set) var hostBytes = 0
    private(set) var times = 0

    /// - Parameter rounds: of the whole launch.
    init(_ workload: DeviceWorkload, rounds: Int) {
        let geometry = workload.geometry
        let model = geometry.model
        let ranks = geometry.rankCount
        let rows = Int(geometry.layout.rows_per_source)
        let tokens = geometry.roundTokens
        let most = geometry.tokensPerRank.max() ?? 0
        var arena = DeviceMemoryPlan()
        data = arena.add(Int(geometry.layout.data_byte_count))
        inner = arena.add(ranks * rows * model.intermediate * 2)
        sharedInner = arena.add(
            model.sharedIntermediate > 0 ? most * model.sharedIntermediate * 2 : 0)
        sharedRows = arena.add(model.sharedIntermediate > 0 ? most * model.hidden * 2 : 0)
        arenaBytes = arena.byteCount

        func tiles(_ columns: Int, _ width: Int) -> Int { (columns + width - 1) / width }
        let segmentRows = Int(PERSEUS_DEVICE_SEGMENT_ROWS)
        let tileRows = Int(PERSEUS_DEVICE_TILE_ROWS)
        let experts = geometry.placement.maxExpertsPerRank
        let segments = ranks * (rows / segmentRows + experts) + 1
        let sharedGroups = tiles(tokens, tileRows)
        groupCapacity = segments + sharedGroups
        let shape = workload.weights.shape
        let perGroup =
            tiles(2 * model.intermediate, shape.upColumns) + tiles(model.hidden, shape.downColumns)
        let perShared =
            tiles(2 * model.sharedIntermediate, shape.upColumns)
            + tiles(model.hidden, shape.downColumns)
        let tasks =
            rows / segmentRows + model.expertCount + segments * perGroup + sharedGroups * perShared
            + tokens / 16 + 256
        while 1 << queueLog2 < tasks { queueLog2 += 1 }
        var table = DeviceMemoryPlan()
        signals = table.add(Int(geometry.layout.signal_byte_count))
        ids = table.add(most * model.topK * 4)
        scores = table.add(most * model.topK * 4)
        slotOfRow = table.add(rows * 4)
        rowOfSlot = table.add(rows * 4)
        firstRow = table.add((model.expertCount + 1) * 4)
        order = table.add(model.expertCount * 4)
        unpacked = table.add(model.expertCount * 4)
        unsent = table.add(ranks * 4)
        members = table.add(model.expertCount * 4)
        groupArrivals = table.add((model.expertCount + 1) * 4)
        returnWords = table.add((rows / segmentRows + model.expertCount + 1) * 4)
        queue = table.add(MemoryLayout<perseus_device_task>.stride << queueLog2)
        cursors = table.add(2 * Int(PERSEUS_SHARED_WORD_STRIDE))
        groups = table.add(groupCapacity * MemoryLayout<perseus_device_group>.stride)
        counters = table.add(4 * Int(PERSEUS_SHARED_WORD_STRIDE))
        roundTokens = table.add(rounds * 8)
        tableBytes = table.byteCount

        var host = DeviceMemoryPlan()
        times = host.add(rounds * MemoryLayout<perseus_device_round_times>.stride)
        hostBytes = host.byteCount
    }
}
