// What a proxy has posted and not yet seen complete: one pool of entries, a FIFO per lane.

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

/// A pool of fixed-size nodes linked by 32-bit indices: no allocation after `init`, and no memory touched beyond the most
/// nodes that were in use at once.
@frozen
public struct IndexPool<Node: BitwiseCopyable>: ~Copyable {
    @usableFromInline let nodes: UnsafeMutablePointer<Node>
    @usableFromInline let links: UnsafeMutablePointer<Int32>
    /// First of the nodes that were given back; -1 when there is none.
    @usableFromInline var free: Int32
    /// The lowest node that was never taken.
    @usableFromInline var fresh: Int32
    @usableFromInline var freeCount: Int

    /// - Parameter capacity: most nodes in use at once.
    @inlinable
    public init(capacity: Int) {
        precondition(capacity > 0 && capacity < Int(Int32.max), "IndexPool: bad capacity")
        nodes = .allocate(capacity: capacity)
        links = .allocate(capacity: capacity)
        free = -1
        fresh = 0
        freeCount = capacity
    }

    deinit {
        nodes.deallocate()
        links.deallocate()
    }

    /// Takes a node; the caller has checked `freeCount`.
    @inlinable @inline(__always)
    mutating func take(_ node: Node) -> Int32 {
        precondition(freeCount > 0, "IndexPool: exhausted")
        var index = free
        if index >= 0 {
            free = links[Int(index)]
        } else {
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
}
