// Stage 9 of 10 — multiply: expert rows through the kernels, results on their way back.
// Upstream:   Scheduler.swift
// Downstream: PackedExperts.swift, CommandPort.swift (back over 4 to 7), Processor+Combine.swift

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusExpertKernels
import PerseusMemory
import PerseusMoE

/// One worker of a rank: claims a task in one step and executes it in the next, so that a modelled clock can let the
/// task's time pass in between.
///
/// - Threading: any thread; one owner.
public struct Processor: ~Copyable {
    enum Phase { case idle, execute, send }

    var task = perseus_task()
    let state: RankState
    let queue: TaskQueue
    let port: any CommandPort
    var phase = Phase.idle
    var nextSegment: UInt32 = 0
    private var words: (UInt64, UInt64) = (0, 0)
    /// nil in a run with modelled compute.
    let buffers: UnsafeMutablePointer<MultiplyBuffers>?

    init(state: RankState, port: any CommandPort, queue: TaskQueue) {
        self.state = state
        self.port = port
        self.queue = queue
        buffers = state.compute.map { compute in
            let buffers = UnsafeMutablePointer<MultiplyBuffers>.allocate(capacity: 1)
            buffers.initialize(to: MultiplyBuffers(compute))
            return buffers
        }
    }

    deinit {
        buffers?.pointee.deallocate()
        buffers?.deallocate()
    }

    /// One bounded piece of work: claim, or execute, or send what found no room before.
    public mutating func step() -> RoleStep {
        var outcome = RoleStep()
        switch phase {
        case .idle: claim(&outcome)
        case .execute: execute(&outcome)
        case .send: sendResults(&outcome)
        }
        return outcome
    }

    public var isIdle: Bool { phase == .idle }

    private mutating func claim(_ outcome: inout RoleStep) {
        guard queue.take(&task) else { return }
        phase = .execute
        outcome.hasWorked = true
        let first = Int(task.segments.0.rows)
        switch task.type {
        case PERSEUS_TASK_EXPERT.rawValue:
            let second = task.segment_count > 1 ? Int(task.segments.1.rows) : 0
            outcome.work = .expert(
                firstRows: first, secondRows: second, streamsWeights: task.starts_expert != 0)
        case PERSEUS_TASK_SHARED.rawValue: outcome.work = .shared(rows: first)
        default: outcome.work = .combine(tokens: first)
        }
    }

    private mutating func execute(_ outcome: inout RoleStep) {
        outcome.hasWorked = true
        switch task.type {
        case PERSEUS_TASK_EXPERT.rawValue:
            multiplyExpert()
            nextSegment = 0
            phase = .send
            sendResults(&outcome)
        case PERSEUS_TASK_SHARED.rawValue:
            multiplyShared()
            state.finish(RankState.sharedCounter)
            phase = .idle
        default:
            combine()
            state.finish(RankState.combineCounter)
            phase = .idle
        }
    }

    func segment(_ index: UInt32) -> perseus_task_segment {
        index == 0 ? task.segments.0 : task.segments.1
    }

    /// result[row] = expert(dispatchData[source][row]) for the rows of both segments, in one pass over the weights.
    private func multiplyExpert() {
        guard let compute = state.compute, let buffers = buffers?.pointee else { return }
        var count = 0
        let stride = Int(state.layout.row_stride) / 2
        for index in 0..<task.segment_count {
            let segment = segment(index)
            let source = Int(segment.source)
            let first = Int(segment.first_row)
            let input = state.row(
                of: state.rank, at: state.layout.dispatchOffset(source: source, row: first))!
            let output = resultRow(source: source, row: first)
            for row in 0..<Int(segment.rows) {
                buffers.inputs[count] = UnsafePointer(input + row * stride)
                buffers.outputs[count] = output + row * stride
                count += 1
            }
        }
        compute.experts.multiply(
            expert: state.experts.lowerBound + Int(task.expert), rowPointers: buffers.inputs,
            rows: count, outputPointers: buffers.outputs, scratch: buffers.scratch)
    }

    /// Results for a rank of this node go straight into its memory.
    private func resultRow(source: Int, row: Int) -> UnsafeMutablePointer<UInt16> {
        state.isLocal(source)
            ? state.row(of: source, at: state.layout.returnOffset(row: row))!
            : state.row(of: state.rank, at: state.layout.resultOffset(source: source, row: row))!
    }

    /// Signals local owners, or pushes blocks with their signals; goes on later where a ring was full.
    private mutating func sendResults(_ outcome: inout RoleStep) {
        while nextSegment < task.segment_count {
            let segment = segment(nextSegment)
            let count = isOneBlock && nextSegment == 0 ? 2 : 1
            let isLocal = state.isLocal(Int(segment.source))
            fillWords(from: nextSegment, count: count)
            if isLocal {
                signalLocalOwner(segment, count: count, &outcome)
            } else if !state.program.isStaged {
                guard pushBlock(segment, count: count) else {
                    outcome.isBlocked = true
                    return
                }
                outcome.hasPushed = true
            }
            outcome.hasWorked = true
            nextSegment += UInt32(count)
        }
        state.finish(RankState.expertCounter)
        phase = .idle
    }

    /// Both segments are consecutive rows of one source: they go back as one put with two consecutive words.
    private var isOneBlock: Bool {
        !state.program.putsEveryWord && task.segment_count == 2
            && task.segments.0.source == task.segments.1.source
            && task.segments.0.first_row + task.segments.0.rows == task.segments.1.first_row
    }

    /// The return words of `count` segments, and where the first of them goes.
    private mutating func fillWords(from first: UInt32, count: Int) {
        words.0 = word(of: segment(first))
        if count > 1 { words.1 = word(of: segment(first + 1)) }
    }

    private func word(of segment: perseus_task_segment) -> UInt64 {
        perseus_signal_make(
            UInt64(task.epoch), UInt64(segment.first_row), UInt64(segment.rows))
    }

    private func returnWordIndex(_ segment: perseus_task_segment) -> Int {
        state.layout.returnWord(
            row: Int(segment.first_row), expert: state.experts.lowerBound + Int(task.expert))
    }

    private func signalLocalOwner(
        _ segment: perseus_task_segment, count: Int, _ outcome: inout RoleStep
    ) {
        let index = returnWordIndex(segment)
        let target = state.shared.signalWords[Int(segment.source)] + index
        perseus_store_release(target, words.0)
        if count > 1 { perseus_store_release(target + 1, words.1) }
        outcome.noteLocalSignal(rank: Int(segment.source), first: index, count: count)
    }

    private func pushBlock(_ segment: perseus_task_segment, count: Int) -> Bool {
        let source = Int(segment.source)
        let first = Int(segment.first_row)
        let rows = Int(segment.rows) + (count == 2 ? Int(task.segments.1.rows) : 0)
        let signal = Command.signalBlock(
            destination: source,
            target: HeapLocation(.signal, byteOffset: returnWordIndex(segment) * 8),
            wordCount: count, flags: .combine)
        return withUnsafeBytes(of: words) { words in
            port.pushRows(
                to: source, source: Int(state.layout.resultOffset(source: source, row: first)),
                target: Int(state.layout.returnOffset(row: first)),
                byteCount: rows * Int(state.layout.row_stride), flags: .combine, signal: signal,
                operands: UnsafeBufferPointer(
                    start: words.baseAddress!.assumingMemoryBound(to: UInt64.self), count: count))
        }
    }
}

/// What a processor needs to multiply: scratch memory, and where the rows of a task lie.
struct MultiplyBuffers: BitwiseCopyable {
    let scratch: UnsafeMutableRawPointer
    let inputs: UnsafeMutablePointer<UnsafePointer<UInt16>>
    let outputs: UnsafeMutablePointer<UnsafeMutablePointer<UInt16>>

    init(_ compute: LayerCompute) {
        let bytes = max(
            compute.experts.scratchByteCount, compute.shared?.scratchByteCount ?? 0)
        scratch = .allocate(byteCount: max(64, bytes), alignment: 64)
        inputs = .allocate(capacity: 2 * LayerGeometry.blockRows)
        outputs = .allocate(capacity: 2 * LayerGeometry.blockRows)
    }

    /// Frees the memory; the owner calls it once.
    func deallocate() {
        scratch.deallocate()
        inputs.deallocate()
        outputs.deallocate()
    }
}
