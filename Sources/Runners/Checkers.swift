// Properties that must hold at the moment a signal is believed, checked against the sender's memory.

import CPerseusABI
import Glibc
import PerseusMegakernel
import PerseusMoE
import PerseusMemory

/// A signal that was seen before its data.
public struct OrderViolation: Sendable, CustomStringConvertible {
    public var rank: Int
    public var peer: Int
    public var isReturn: Bool
    public var firstRow: Int
    public var rows: Int

    public var description: String {
        "rank \(rank) saw the \(isReturn ? "return" : "dispatch") signal of peer \(peer), rows \(firstRow) to"
            + " \(firstRow + rows - 1), before their data"
    }
}

/// Compares the rows that a signal announces with the rows at their sender, at the moment the signal is observed.
///
/// Exact: the sender keeps its rows until the results are back, so any difference is a signal that overtook data.
/// - Threading: called by the ranks' threads; the counts are taken under a lock, which a checker may have.
public final class OrderChecker: SignalObserver, @unchecked Sendable {
    private let geometry: LayerGeometry
    private let heaps: [SymmetricHeap]
    private var mutex = pthread_mutex_t()
    private var storedViolations: [OrderViolation] = []
    private var storedCheckCount = 0

    /// Violations kept; more are counted only.
    static let violationLimit = 16
    public private(set) var violationCount = 0

    public init(job: LayerJob) {
        geometry = job.geometry
        heaps = job.heaps
        pthread_mutex_init(&mutex, nil)
    }

    deinit { pthread_mutex_destroy(&mutex) }

    public var violations: [OrderViolation] { storedViolations }
    public var checkCount: Int { storedCheckCount }

    public func dispatchArrived(at rank: Int, from source: Int, firstRow: Int, rows: Int) {
        check(
            rank: rank, peer: source, isReturn: false, firstRow: firstRow, rows: rows,
            received: geometry.layout.dispatchOffset(source: source, row: firstRow),
            sent: geometry.layout.sendOffset(row: firstRow))
    }

    public func returnArrived(at rank: Int, expert: Int, firstRow: Int, rows: Int) {
        let owner = geometry.placement.owner(of: expert)
        check(
            rank: rank, peer: owner, isReturn: true, firstRow: firstRow, rows: rows,
            received: geometry.layout.returnOffset(row: firstRow),
            sent: geometry.layout.resultOffset(source: rank, row: firstRow))
    }

    private func check(
        rank: Int, peer: Int, isReturn: Bool, firstRow: Int, rows: Int, received: UInt64,
        sent: UInt64
    ) {
        // Local peers store into each other's memory: there is no second copy to compare with.
        guard !geometry.isLocal(rank, peer), let here = heaps[rank].data,
            let there = heaps[peer].data
        else { return }
        let isEqual =
            memcmp(here + Int(received), there + Int(sent), rows * Int(geometry.layout.row_stride))
            == 0
        pthread_mutex_lock(&mutex)
        storedCheckCount += 1
        if !isEqual {
            violationCount += 1
            if storedViolations.count < Self.violationLimit {
                storedViolations.append(
                    OrderViolation(
                        rank: rank, peer: peer, isReturn: isReturn, firstRow: firstRow, rows: rows))
            }
        }
        pthread_mutex_unlock(&mutex)
    }
}
