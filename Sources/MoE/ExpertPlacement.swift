// Which rank owns which expert: consecutive blocks that differ in size by at most one.

/// Rank `r` of `P` owns the experts `r·E/P ..< (r+1)·E/P`; with more ranks than experts some own
/// none.
///
/// Blocks, because the signal words of one destination must be consecutive.
@frozen
public struct ExpertPlacement: Sendable, Equatable {
    public let expertCount: Int
    public let rankCount: Int

    @inlinable
    public init(experts: Int, ranks: Int) {
        precondition(experts > 0, "ExpertPlacement: no experts")
        precondition(ranks > 0, "ExpertPlacement: no ranks")
        expertCount = experts
        rankCount = ranks
    }

    /// The experts of `rank`, possibly none.
    @inlinable
    public func range(of rank: Int) -> Range<Int> {
        precondition(rank >= 0 && rank < rankCount, "ExpertPlacement: no such rank")
        return rank * expertCount / rankCount..<(rank + 1) * expertCount / rankCount
    }

    /// The rank whose range holds `expert`.
    @inlinable
    public func owner(of expert: Int) -> Int {
        precondition(expert >= 0 && expert < expertCount, "ExpertPlacement: no such expert")
        return ((expert + 1) * rankCount - 1) / expertCount
    }

    /// The size of the largest range: what per-expert arrays of a rank must hold.
    @inlinable
    public var maxExpertsPerRank: Int { (expertCount + rankCount - 1) / rankCount }
}
