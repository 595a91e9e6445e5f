// Stage 2 of 10 — plan: expert ids become packed rows by a stable counting sort.
// Upstream:   Router.swift, Dispatcher.swift
// Downstream: Dispatcher+Pack.swift

import PerseusPrimitives

/// Where each (token, slot) of one source stands in its packed order.
///
/// Packed order: experts ascending; inside an expert, (token, slot) ascending. The order depends on
/// the ids only, so it is the same for any number of ranks, threads and runs. All storage is
/// allocated once; `rebuild` allocates nothing.
///
/// Invariants after `rebuild`: `firstRow` ascends from 0 to `rowCount`; `rowOf` is a bijection from
/// `0 ..< tokens·topK` to `0 ..< rowCount`, and (`tokenOf`, `slotOf`) is its inverse.
///
/// Threading: one owner; readers may share it between rebuilds.
@frozen
public struct DispatchPlan: ~Copyable {
    public let expertCount: Int
    public let topK: Int
    /// The largest number of tokens a rebuild accepts.
    public let tokenCapacity: Int
    /// Tokens of the last rebuild.
    public private(set) var tokenCount = 0

    /// `[experts]`: rows that go to the expert.
    public let rows: UnsafePointer<Int32>
    /// `[experts + 1]`: the expert's first row in packed order; the last element is `rowCount`.
    public let firstRow: UnsafePointer<Int32>
    /// Rows are placed: without, only `rows` and `firstRow` are filled, and the tables below are empty.
    public let placesRows: Bool
    /// `[tokens · topK]`: the row of (token, slot), at `token · topK + slot`.
    public let rowOf: UnsafePointer<Int32>
    /// `[rowCount]`: the token of a row.
    public let tokenOf: UnsafePointer<Int32>
    /// `[rowCount]`: the slot of a row.
    public let slotOf: UnsafePointer<Int32>

    /// One allocation that holds the five arrays and the sort's cursors.
    @usableFromInline let storage: UnsafeMutablePointer<Int32>

    /// - Parameter placesRows: false where nobody asks which row is where, because no row moves.
    public init(expertCount: Int, topK: Int, tokenCapacity: Int, placesRows: Bool = true) {
        precondition(expertCount > 0, "DispatchPlan: no experts")
        precondition(topK > 0 && topK <= expertCount, "DispatchPlan: topK is out of range")
        let rowCapacity = tokenCapacity * topK
        precondition(
            tokenCapacity >= 0 && rowCapacity <= Int(Int32.max),
            "DispatchPlan: capacity is out of range")
        self.expertCount = expertCount
        self.topK = topK
        self.tokenCapacity = tokenCapacity
        self.placesRows = placesRows
        let tableCount = placesRows ? rowCapacity : 0
        let count = 3 * expertCount + 1 + 3 * tableCount
        storage = .allocateDense(capacity: count)
        storage.initialize(repeating: 0, count: count)
        rows = UnsafePointer(storage + expertCount)
        firstRow = rows + expertCount
        rowOf = firstRow + expertCount + 1
        tokenOf = rowOf + tableCount
        slotOf = tokenOf + tableCount
    }

    deinit { storage.deallocateDense() }

    /// Rows of the last rebuild.
    public var rowCount: Int { tokenCount * topK }

    /// The packed rows of consecutive experts, for example those of one destination.
    public func rowRange(ofExperts experts: Range<Int>) -> Range<Int> {
        precondition(
            experts.lowerBound >= 0 && experts.upperBound <= expertCount,
            "DispatchPlan: no such experts")
        return Int(firstRow[experts.lowerBound])..<Int(firstRow[experts.upperBound])
    }

    /// Replaces the plan by that of `ids` `[tokens, topK]`.
    ///
    /// - Precondition: every id names an expert; `tokens` fits the capacity. Zero tokens are
    ///   allowed.
    /// - Complexity: O(tokens · topK + experts), no allocation.
    public mutating func rebuild(ids: UnsafePointer<Int32>, tokens: Int) {
        beginCount()
        count(ids: ids, tokens: tokens)
        finishCount()
        if placesRows { rebuildPlace(ids) }
    }

    /// Begins a plan whose ids come piece by piece and are not kept: for plans that place no rows.
    public mutating func beginCount() {
        tokenCount = 0
        UnsafeMutablePointer(mutating: rows).update(repeating: 0, count: expertCount)
    }

    /// Counts the rows of each expert in the next `ids`, `[tokens, topK]`.
    public mutating func count(ids: UnsafePointer<Int32>, tokens: Int) {
        precondition(
            tokens >= 0 && tokenCount + tokens <= tokenCapacity, "DispatchPlan: too many tokens")
        tokenCount += tokens
        let counts = UnsafeMutablePointer(mutating: rows)
        for index in 0..<tokens * topK {
            let expert = Int(ids[index])
            precondition(expert >= 0 && expert < expertCount, "DispatchPlan: id names no expert")
            counts[expert] &+= 1
        }
    }

    /// Everything is counted: prepares each expert's cursor at its first row.
    public mutating func finishCount() {
        let cursors = storage
        let counts = rows
        let starts = UnsafeMutablePointer(mutating: firstRow)
        var next: Int32 = 0
        for expert in 0..<expertCount {
            starts[expert] = next
            cursors[expert] = next
            next &+= counts[expert]
        }
        starts[expertCount] = next
    }

    /// Gives rows out in (token, slot) order, which makes the sort stable.
    private func rebuildPlace(_ ids: UnsafePointer<Int32>) {
        let cursors = storage
        let rowOf = UnsafeMutablePointer(mutating: rowOf)
        let tokenOf = UnsafeMutablePointer(mutating: tokenOf)
        let slotOf = UnsafeMutablePointer(mutating: slotOf)
        for token in 0..<tokenCount {
            for slot in 0..<topK {
                let index = token &* topK &+ slot
                let row = cursors[Int(ids[index])]
                cursors[Int(ids[index])] = row &+ 1
                rowOf[index] = row
                tokenOf[Int(row)] = Int32(truncatingIfNeeded: token)
                slotOf[Int(row)] = Int32(truncatingIfNeeded: slot)
            }
        }
    }
}
