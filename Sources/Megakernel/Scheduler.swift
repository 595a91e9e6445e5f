// Stage 8 of 10 — schedule: tasks out of arrived rows, two segments of one expert where they are.
// Upstream:   Subscriber.swift
// Downstream: Processor.swift

import CPerseusABI
import CPerseusShims
import PerseusMemory
import PerseusMoE
import PerseusPrimitives

/// A short queue of ready tasks: one writer, many takers. A handle; copying it copies no task.
///
/// - Threading: the scheduler pushes; processors on any thread take (compare-and-swap on the head).
struct TaskQueue: BitwiseCopyable, @unchecked Sendable {
    /// Words 0 and 1: tasks pushed, tasks taken. They share a line: a task takes microseconds. Word 2: capacity - 1.
    private let cursors: UnsafeMutablePointer<UInt64>

    /// Places for `capacity` tasks, a power of two.
    static func byteCount(capacity: Int) -> Int { lineByteCount * (capacity + 1) }

    /// An empty queue in `memory`, which holds `byteCount(capacity:)` bytes aligned to a line and belongs to the
    /// caller.
    init(at memory: UnsafeMutableRawPointer, capacity: Int) {
        precondition(capacity & (capacity - 1) == 0, "TaskQueue: capacity must be a power of two")
        cursors = memory.bindMemory(to: UInt64.self, capacity: 3)
        cursors.initialize(repeating: 0, count: 2)
        (cursors + 2).initialize(to: UInt64(capacity - 1))
    }

    private static var lineByteCount: Int { 64 }
    private var mask: UInt64 { cursors[2] }

    private func place(_ position: UInt64) -> UnsafeMutablePointer<perseus_task> {
        (UnsafeMutableRawPointer(cursors) + Self.lineByteCount * Int(1 + position & mask))
            .assumingMemoryBound(to: perseus_task.self)
    }

    var count: Int {
        Int(perseus_load_acquire(cursors) &- perseus_load_acquire(cursors + 1))
    }

    func push(_ task: perseus_task) {
        let tail = perseus_load_relaxed(cursors)
        precondition(tail &- perseus_load_acquire(cursors + 1) <= mask, "TaskQueue: overrun")
        place(tail).initialize(to: task)
        perseus_store_release(cursors, tail &+ 1)
    }

    /// Copies the oldest task out; the copy counts only if nobody took it meanwhile.
    func take(_ task: inout perseus_task) -> Bool {
        while true {
            let head = perseus_load_acquire(cursors + 1)
            if head == perseus_load_acquire(cursors) { return false }
            task = place(head).pointee
            if perseus_compare_exchange_acquire_release(cursors + 1, head, head &+ 1) {
                return true
            }
        }
    }
}

/// Rows that one source sent to one local expert and that no task covers yet.
struct OpenRows {
    var nextRow: Int32 = 0
    var endRow: Int32 = 0
    /// The next source's rows for the same expert; -1 at the end.
    var next: Int32 = -1
}

/// Makes tasks from arrived rows, shared-expert rows and complete token blocks, and no more than are soon needed:
/// the later a task is made, the more segments there are to pair.
///
/// - Threading: the rank's own thread.
public struct Scheduler: ~Copyable {
    let state: RankState
    let queue: TaskQueue
    /// [local expert][source]
    private let open: UnsafeMutablePointer<OpenRows>
    /// [local expert]: the first and the last source with open rows, as indices of `open`; -1 when there is none.
    private let lists: UnsafeMutablePointer<(head: Int32, tail: Int32)>
    /// Ready tasks kept ahead of the processors.
    private let depth: Int32
    private let rankCount: Int32
    private var current: Int32 = 0
    private var lastExpert: Int32 = -1
    private var epoch: UInt32 = 0
    private var nextSharedBlock: Int32 = 0
    private var nextCombineBlock: Int32 = 0

    /// - Parameter depth: at most the queue's capacity.
    init(state: RankState, queue: TaskQueue, depth: Int) {
        self.state = state
        self.queue = queue
        self.depth = Int32(depth)
        rankCount = Int32(state.geometry.rankCount)
        let experts = max(1, state.experts.count)
        open = .allocateDense(capacity: experts * state.geometry.rankCount)
        lists = .allocateDense(capacity: experts)
        lists.initialize(repeating: (-1, -1), count: experts)
    }

    deinit {
        open.deallocateDense()
        lists.deallocateDense()
    }

    /// Notes rows that have arrived.
    mutating func open(source: Int, localExpert: Int, firstRow: Int, rows: Int) {
        let index = Int32(localExpert) * rankCount + Int32(source)
        (open + Int(index)).initialize(
            to: OpenRows(nextRow: Int32(firstRow), endRow: Int32(firstRow + rows)))
        if lists[localExpert].head < 0 {
            lists[localExpert].head = index
        } else {
            open[Int(lists[localExpert].tail)].next = index
        }
        lists[localExpert].tail = index
    }

    /// Fills the queue of ready tasks; true when any was added.
    mutating func step() -> Bool {
        if epoch != state.epoch {
            epoch = state.epoch
            nextSharedBlock = 0
            nextCombineBlock = 0
        }
        var hasWorked = false
        while queue.count < depth, let task = nextTask() {
            queue.push(task)
            hasWorked = true
        }
        return hasWorked
    }

    private mutating func nextTask() -> perseus_task? {
        if let task = nextExpertTask() { return task }
        if let task = nextSharedTask() { return task }
        return nextCombineTask()
    }

    /// Up to two segments of one expert; stays with an expert while it has rows, so that its weights stay cached.
    private mutating func nextExpertTask() -> perseus_task? {
        // Most steps find no open rows, and need not look for them.
        guard state.openDispatchRows > 0 else { return nil }
        if state.program.isStaged && state.observedDispatchWords < state.dispatchWordCount {
            return nil
        }
        let experts = Int32(state.experts.count)
        while lists[Int(current)].head < 0 { current = current + 1 < experts ? current + 1 : 0 }
        var task = perseus_task()
        task.type = PERSEUS_TASK_EXPERT.rawValue
        task.expert = UInt32(current)
        task.epoch = epoch
        task.segments.0 = takeSegment()
        task.segment_count = 1
        if lists[Int(current)].head >= 0,
            state.program.pairsSources || hasMoreRows(of: task.segments.0)
        {
            task.segments.1 = takeSegment()
            task.segment_count = 2
        }
        task.starts_expert = current == lastExpert ? 0 : 1
        lastExpert = current
        state.producedExpertTasks += 1
        return task
    }

    /// The segment's source has more rows for the same expert.
    private func hasMoreRows(of segment: perseus_task_segment) -> Bool {
        lists[Int(current)].head == current * rankCount + Int32(segment.source)
    }

    /// The next block of up to 64 rows of the current expert, which has some.
    private mutating func takeSegment() -> perseus_task_segment {
        let index = Int(lists[Int(current)].head)
        let first = open[index].nextRow
        let rows = min(Int32(LayerGeometry.blockRows), open[index].endRow - first)
        open[index].nextRow += rows
        if open[index].nextRow == open[index].endRow {
            lists[Int(current)].head = open[index].next
        }
        state.openDispatchRows -= Int(rows)
        return perseus_task_segment(
            source: UInt32(Int32(index) - current * rankCount), first_row: UInt32(first),
            rows: UInt32(rows),
            reserved: 0)
    }

    private mutating func nextSharedTask() -> perseus_task? {
        guard state.isPlanned, nextSharedBlock < state.tokenBlockCount, state.hasShared else {
            return nil
        }
        nextSharedBlock += 1
        return tokenTask(PERSEUS_TASK_SHARED.rawValue, block: Int(nextSharedBlock) - 1)
    }

    /// Tokens are combined when every result is back (and the shared expert is done).
    private mutating func nextCombineTask() -> perseus_task? {
        guard nextCombineBlock < state.tokenBlockCount, state.hasAllReturns else { return nil }
        if state.hasShared
            && state.finishedCount(RankState.sharedCounter) < UInt64(state.tokenBlockCount)
        {
            return nil
        }
        nextCombineBlock += 1
        return tokenTask(PERSEUS_TASK_COMBINE.rawValue, block: Int(nextCombineBlock) - 1)
    }

    /// A task over up to 64 tokens of this round.
    private func tokenTask(_ type: UInt32, block: Int) -> perseus_task {
        let tokens = state.roundTokenRange.count
        let first = block * LayerGeometry.blockRows
        var task = perseus_task()
        task.type = type
        task.epoch = epoch
        task.segment_count = 1
        task.segments.0 = perseus_task_segment(
            source: UInt32(state.rank), first_row: UInt32(first),
            rows: UInt32(min(LayerGeometry.blockRows, tokens - first)), reserved: 0)
        return task
    }
}
