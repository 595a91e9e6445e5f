// Signal words that changed and were not looked at yet, rank by rank, in flat memory.

import PerseusPrimitives

/// For each rank a list of ranges, in the order in which they changed.
struct ChangedWords: ~Copyable {
    private struct Node: BitwiseCopyable {
        var first: Int32
        var count: Int32
        var next: Int32
    }

    private var nodes: UnsafeMutablePointer<Node>
    private var capacity: Int
    private var free: Int32 = -1
    private var used = 0
    /// [rank]
    private let heads: UnsafeMutablePointer<Int32>
    private let tails: UnsafeMutablePointer<Int32>

    init(ranks: Int) {
        capacity = 1024
        nodes = .allocate(capacity: capacity)
        heads = .allocateDense(capacity: ranks)
        heads.initialize(repeating: -1, count: ranks)
        tails = .allocateDense(capacity: ranks)
        tails.initialize(repeating: -1, count: ranks)
    }

    deinit {
        nodes.deallocate()
        heads.deallocateDense()
        tails.deallocateDense()
    }

    func isEmpty(_ rank: Int) -> Bool { heads[rank] < 0 }

    mutating func append(_ rank: Int, first: Int, count: Int) {
        let index = takeNode()
        nodes[Int(index)] = Node(first: Int32(first), count: Int32(count), next: -1)
        if heads[rank] < 0 {
            heads[rank] = index
        } else {
            nodes[Int(tails[rank])].next = index
        }
        tails[rank] = index
    }

    /// Takes the oldest range of `rank`; nil when there is none.
    mutating func removeFirst(_ rank: Int) -> Range<Int>? {
        let index = heads[rank]
        guard index >= 0 else { return nil }
        let node = nodes[Int(index)]
        heads[rank] = node.next
        nodes[Int(index)].next = free
        free = index
        return Int(node.first)..<Int(node.first + node.count)
    }

    mutating func removeAll(_ rank: Int) {
        while removeFirst(rank) != nil {}
    }

    private mutating func takeNode() -> Int32 {
        if free >= 0 {
            let index = free
            free = nodes[Int(index)].next
            return index
        }
        if used == capacity {
            let larger = UnsafeMutablePointer<Node>.allocate(capacity: capacity * 2)
            larger.update(from: nodes, count: used)
            nodes.deallocate()
            nodes = larger
            capacity *= 2
        }
        used += 1
        return Int32(used - 1)
    }
}
