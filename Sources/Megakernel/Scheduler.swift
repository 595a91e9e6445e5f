// Stage 8 of 10 — schedule: tasks out of arrived rows, two segments of one expert where they are.
// Upstream:   Subscriber.swift
// Downstream: Processor.swift

import CPerseusABI
import CPerseusShims
import PerseusMemory
import PerseusMoE

/// A short queue of ready tasks: one writer, many takers.
///
/// - Threading: the scheduler pushes; processors on any thread take (compare-and-swap on the head).
struct TaskQueue: ~Copyable, @unchecked Sendable {
    static let capacity: UInt64 = 64
    private let tasks: UnsafeMutablePointer<perseus_task>
    /// Words 0 and 16: tasks pushed, tasks taken; on lines of their own.
    private let cursors: UnsafeMutablePointer<UInt64>

    init() {
        tasks = .allocate(capacity: Int(Self.capacity))
        cursors = .allocate(capacity: 32)
        cursors.initialize(repeating: 0, count: 32)
    }

    deinit {
        tasks.deallocate()
        cursors.deallocate()
    }

    var count: Int {
        Int(perseus_load_acquire(cursors) &- perseus_load_acquire(cursors + 16))
    }

    func push(_ task: perseus_task) {
        let tail = perseus_load_relaxed(cursors)
        precondition(
            tail &- perseus_load_acquire(cursors + 16) < Self.capacity, "TaskQueue: overrun")
        tasks[Int(tail & (Self.capacity - 1))] = task
        perseus_store_release(cursors, tail &+ 1)
    }

    /// Copies the oldest task out; the copy counts only if nobody took it meanwhile.
    func take(_ task: inout perseus_task) -> Bool {
        while true {
            let head = perseus_load_acquire(cursors + 16)
            if head == perseus_load_acquire(cursors) { return false }
            task = tasks[Int(head & (Self.capacity - 1))]
            if perseus_compare_exchange_acquire_release(cursors + 16, head, head &+ 1) {
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
    let queue: UnsafeMutablePointer<TaskQueue>
    /// Ready tasks kept ahead of the processors.
    let depth: Int
    /// [local expert][source]
    private let open: UnsafeMutablePointer<OpenRows>
    private let head: UnsafeMutablePointer<Int32>
    private let tail: UnsafeMutablePointer<Int32>
    private let rankCount: Int
    private var current = 0
    private var lastExpert = -1
    private var epoch: UInt32 = 0
    private var nextSharedBlock = 0
    private var nextCombineBlock = 0

    init(state: RankState, queue: UnsafeMutablePointer<TaskQueue>, depth: Int) {
        self.state = state
        self.queue = queue
        self.depth = min(depth, Int(TaskQueue.capacity))
        rankCount = state.geometry.rankCount
        let experts = max(1, state.experts.count)
        open = .allocate(capacity: experts * rankCount)
        open.initialize(repeating: OpenRows(), count: experts * rankCount)
        head = .allocate(capacity: experts)
        head.initialize(repeating: -1, count: experts)
        tail = .allocate(capacity: experts)
        tail.initialize(repeating: -1, count: experts)
    }

    deinit {
        open.deallocate()
        head.deallocate()
        tail.deallocate()
    }

    /// Notes rows that have arrived.
    mutating func open(source: Int, localExpert: Int, firstRow: Int, rows: Int) {
        let index = Int32(localExpert * rankCount + source)
        open[Int(index)] = OpenRows(nextRow: Int32(firstRow), endRow: Int32(firstRow + rows))
        if head[localExpert] < 0 {
            head[localExpert] = index
        } else {
            open[Int(tail[localExpert])].next = index
        }
        tail[localExpert] = index
    }

    /// Fills the queue of ready tasks; true when any was added.
    mutating func step() -> Bool {
        if epoch != state.epoch {
            epoch = state.epoch
            nextSharedBlock = 0
            nextCombineBlock = 0
        }
        var hasWorked = false
        while queue.pointee.count < depth, let task = nextTask() {
            queue.pointee.push(task)
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
        if state.program.isStaged && state.observedDispatchWords < state.dispatchWordCount {
            return nil
        }
        let experts = state.experts.count
        for _ in 0..<experts {
            if head[current] >= 0 { break }
            current = current + 1 < experts ? current + 1 : 0
        }
        guard experts > 0, head[current] >= 0 else { return nil }
        var task = perseus_task()
        task.type = PERSEUS_TASK_EXPERT.rawValue
        task.expert = UInt32(current)
        task.epoch = epoch
        task.segments.0 = takeSegment(current)
        task.segment_count = 1
        if head[current] >= 0, state.program.pairsSources || hasMoreRows(of: task.segments.0) {
            task.segments.1 = takeSegment(current)
            task.segment_count = 2
        }
        task.starts_expert = current == lastExpert ? 0 : 1
        lastExpert = current
        state.producedExpertTasks += 1
        return task
    }

    /// The segment's source has more rows for the same expert.
    private func hasMoreRows(of segment: perseus_task_segment) -> Bool {
        Int(head[current]) % rankCount == Int(segment.source)
    }

    /// The next block of up to 64 rows of an expert that has some.
    private mutating func takeSegment(_ localExpert: Int) -> perseus_task_segment {
        let index = Int(head[localExpert])
        let first = open[index].nextRow
        let rows = min(Int32(LayerGeometry.blockRows), open[index].endRow - first)
        open[index].nextRow += rows
        if open[index].nextRow == open[index].endRow { head[localExpert] = open[index].next }
        state.openDispatchRows -= Int(rows)
        return perseus_task_segment(
            source: UInt32(index % rankCount), first_row: UInt32(first), rows: UInt32(rows),
            reserved: 0)
    }

    private mutating func nextSharedTask() -> perseus_task? {
        guard state.hasShared, state.isPlanned, nextSharedBlock < state.tokenBlockCount else {
            return nil
        }
        nextSharedBlock += 1
        return tokenTask(PERSEUS_TASK_SHARED.rawValue, block: nextSharedBlock - 1)
    }

    /// Tokens are combined when every result is back (and the shared expert is done).
    private mutating func nextCombineTask() -> perseus_task? {
        guard state.hasAllReturns, nextCombineBlock < state.tokenBlockCount else { return nil }
        if state.hasShared
            && state.finishedCount(RankState.sharedCounter) < UInt64(state.tokenBlockCount)
        {
            return nil
        }
        nextCombineBlock += 1
        return tokenTask(PERSEUS_TASK_COMBINE.rawValue, block: nextCombineBlock - 1)
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
