// A fault plan as the NIC's inner loop reads it: numbers and one flat list.

/// The parts of a `FaultPlan` that concern single requests.
@frozen
public struct FaultRates: BitwiseCopyable {
    @usableFromInline let seed: UInt64
    @usableFromInline let delayChance: Double
    @usableFromInline let delayNanoseconds: UInt64
    @usableFromInline let dropChance: Double
    @usableFromInline let reorderChance: Double
    @usableFromInline let reorderNanoseconds: UInt64
    @usableFromInline let jitterNanoseconds: UInt64
    @usableFromInline let clogs: UnsafeMutablePointer<FaultPlan.Clog>
    @usableFromInline let clogCount: Int

    init(_ plan: FaultPlan) {
        seed = plan.seed
        delayChance = plan.delayChance
        delayNanoseconds = plan.delayNanoseconds
        dropChance = plan.dropChance
        reorderChance = plan.reorderChance
        reorderNanoseconds = plan.reorderNanoseconds
        jitterNanoseconds = plan.jitterNanoseconds
        clogCount = plan.clogs.count
        clogs = .allocate(capacity: max(1, clogCount))
        clogs.initialize(from: plan.clogs, count: clogCount)
    }

    /// Frees the list; its one owner calls it once.
    func deallocate() { clogs.deallocate() }

    /// When the clog of `rank` that holds at `time` is over; nil: none holds.
    @inlinable @inline(__always)
    func endOfClog(at time: UInt64, rank: Int) -> UInt64? {
        var index = 0
        while index < clogCount {
            let clog = clogs[index]
            if clog.rank == rank && time >= clog.from && time < clog.to { return clog.to }
            index &+= 1
        }
        return nil
    }
}
