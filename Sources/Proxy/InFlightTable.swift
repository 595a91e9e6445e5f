// What a proxy has posted and not yet seen complete: one pool of entries, a FIFO per lane.

import PerseusPrimitives
import PerseusTransport

/// One posted work request.
@frozen
public struct InFlightEntry: BitwiseCopyable {
    @usableFromInline var position: UInt64
    @usableFromInline var postedAt: UInt64
    @usableFromInline var byteCount: UInt32
    @usableFromInline var operation: WorkRequest.Operation
    /// Completed out of order; retired when it becomes the oldest.
    @usableFromInline var isDone: Bool

    @inlinable
    init(position: UInt64, postedAt: UInt64, byteCount: UInt32, operation: WorkRequest.Operation) {
        self.position = position
        self.postedAt = postedAt
        self.byteCount = byteCount
        self.operation = operation
        self.isDone = false
    }
}

/// A pool of fixed-size nodes linked by 32-bit indices. It has memory for as many nodes as were in use at once, up to
/// twice as many: a proxy of a simulation finds its own in a few cache lines, and the first proxies of a run take it.
@frozen
public struct IndexPool<Node: BitwiseCopyable>: ~Copyable {
    @usableFromInline var nodes: UnsafeMutablePointer<Node>
    @usableFromInline var links: UnsafeMutablePointer<Int32>
    /// First of the nodes that were given back; -1 when there is none.
    @usableFromInline var free: Int32
    /// The lowest node that was never taken.
    @usableFromInline var fresh: Int32
    /// Nodes that there is memory for.
    @usableFromInline var room: Int32
    @usableFromInline var freeCount: Int

    /// - Parameters:
    ///   - capacity: most nodes in use at once.
    ///   - room: nodes that there is memory for from the start on; with `capacity` nothing is allocated later.
    public init(capacity: Int, room: Int) {
        precondition(capacity > 0 && capacity < Int(Int32.max), "IndexPool: bad capacity")
        self.room = Int32(min(capacity, room))
        nodes = .allocateDense(capacity: Int(self.room))
        links = .allocateDense(capacity: Int(self.room))
        free = -1
        fresh = 0
        freeCount = capacity
    }

    deinit {
        nodes.deallocateDense()
        links.deallocateDense()
    }

    /// Takes a node; the caller has checked `freeCount`.
    @inlinable @inline(__always)
    mutating func take(_ node: Node) -> Int32 {
        precondition(freeCount > 0, "IndexPool: exhausted")
        var index = free
        if index >= 0 {
            free = links[Int(index)]
        } else {
            if fresh == room { grow() }
            index = fresh
            fresh &+= 1
        }
        links[Int(index)] = -1
        freeCount &-= 1
        nodes[Int(index)] = node
        return index
    }

    @inlinable @inline(__always)
    mutating func give(_ index: Int32) {
        links[Int(index)] = free
        free = index
        freeCount &+= 1
    }

    @usableFromInline
    mutating func grow() {
        nodes.growDense(from: Int(room), to: Int(room) * 2)
        links.growDense(from: Int(room), to: Int(room) * 2)
        room *= 2
    }
}
