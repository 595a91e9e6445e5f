// Stage 8 of 10 — observe: see signal words change, and open the rows that they announce.
// Upstream:   NICEngine+Wire.swift, ImmediateReceiver.swift
// Downstream: Scheduler.swift

import CPerseusABI
import CPerseusShims
import PerseusMemory
import PerseusMoE
import PerseusPrimitives

/// Watches the signal words of one rank.
///
/// A dispatch word newer than the round means that this round's was empty and has been overwritten: a source whose
/// rows are still here cannot have gone on (see `Dispatcher`).
///
/// - Threading: the rank's own thread; words are read with acquire.
public struct Subscriber: ~Copyable {
    let state: RankState
    /// [dispatch words]: epoch in which the word was last observed.
    private let observedEpoch: UnsafeMutablePointer<UInt32>
    private let isBlockObserved: UnsafeMutablePointer<Bool>
    private let wordsPerSource: Int
    private var epoch: UInt32 = 0
    private var isBlocksBegun = false
    private var nextWord = 0
    private var nextBlock = 0

    /// Words looked at by one step of a scan.
    static let scanLimit = 512

    public init(state: RankState) {
        self.state = state
        wordsPerSource = state.geometry.dispatchWordCount(of: state.rank)
        let count = max(1, wordsPerSource * state.geometry.rankCount)
        observedEpoch = .allocateDense(capacity: count)
        observedEpoch.initialize(repeating: 0, count: count)
        isBlockObserved = .allocateDense(capacity: state.returnWordCount)
        isBlockObserved.initialize(repeating: false, count: state.returnWordCount)
    }

    deinit {
        observedEpoch.deallocateDense()
        isBlockObserved.deallocateDense()
    }

    /// Follows the rank into a new round; true when it did.
    mutating func follow() -> Bool {
        var hasWorked = false
        if epoch != state.epoch {
            epoch = state.epoch
            state.observedDispatchWords = 0
            isBlocksBegun = false
            hasWorked = true
        }
        if state.isPlanned && !isBlocksBegun {
            isBlocksBegun = true
            isBlockObserved.update(repeating: false, count: state.returnBlockCount)
            hasWorked = true
        }
        return hasWorked
    }

    /// True while words of this round are missing.
    var isWaiting: Bool {
        epoch != 0
            && (state.observedDispatchWords < state.dispatchWordCount
                || !isBlocksBegun || state.observedReturnBlocks < state.returnBlockCount)
    }

    /// Scans that look at everything once.
    var scanCount: Int {
        max(wordsPerSource * state.geometry.rankCount, state.returnBlockCount) / Self.scanLimit + 1
    }

    /// Looks at the next words of a round-robin scan over everything that is missing.
    mutating func scan(into scheduler: inout Scheduler, observer: SignalObserver?) -> Bool {
        var hasWorked = false
        let dispatchWords = wordsPerSource * state.geometry.rankCount
        if state.observedDispatchWords < dispatchWords {
            for _ in 0..<min(Self.scanLimit, dispatchWords) {
                let slot = nextWord
                nextWord = slot + 1 < dispatchWords ? slot + 1 : 0
                if observeDispatch(slot: slot, into: &scheduler, observer: observer) {
                    hasWorked = true
                }
            }
        }
        if isBlocksBegun && state.observedReturnBlocks < state.returnBlockCount {
            for _ in 0..<min(Self.scanLimit, state.returnBlockCount) {
                let block = nextBlock
                nextBlock = block + 1 < state.returnBlockCount ? block + 1 : 0
                if observeReturn(block: block, observer: observer) { hasWorked = true }
            }
        }
        return hasWorked
    }

    /// Looks at words that are known to have changed.
    mutating func observe(
        words: Range<Int>, into scheduler: inout Scheduler, observer: SignalObserver?
    ) -> Bool {
        var hasWorked = false
        let stride = Int(state.layout.max_experts_per_rank)
        for index in words {
            if index < state.layout.firstReturnWord {
                let (source, local) = (index / stride, index % stride)
                guard local < wordsPerSource else { continue }
                let slot = source * wordsPerSource + local
                if observeDispatch(slot: slot, into: &scheduler, observer: observer) {
                    hasWorked = true
                }
            } else if isBlocksBegun, index - state.layout.firstReturnWord < state.returnWordCount {
                let block = Int(state.blockOfWord[index - state.layout.firstReturnWord])
                if block >= 0, observeReturn(block: block, observer: observer) { hasWorked = true }
            }
        }
        return hasWorked
    }

    private mutating func observeDispatch(
        slot: Int, into scheduler: inout Scheduler, observer: SignalObserver?
    ) -> Bool {
        guard epoch != 0, observedEpoch[slot] != epoch else { return false }
        let (source, local) = (slot / wordsPerSource, slot % wordsPerSource)
        let index = state.layout.dispatchWord(source: source, localExpert: local)
        let word = perseus_load_acquire(state.signalWords + index)
        guard perseus_signal_reached(word, epoch) != 0 else { return false }
        observedEpoch[slot] = epoch
        let rows = Int(perseus_signal_rows(word))
        if perseus_signal_epoch(word) == epoch && rows > 0 {
            let first = Int(perseus_signal_first_row(word))
            observer?.dispatchArrived(at: state.rank, from: source, firstRow: first, rows: rows)
            state.openDispatchRows += rows
            scheduler.open(source: source, localExpert: local, firstRow: first, rows: rows)
        }
        state.observedDispatchWords += 1
        return true
    }

    private mutating func observeReturn(block: Int, observer: SignalObserver?) -> Bool {
        guard !isBlockObserved[block] else { return false }
        let expected = state.returnBlocks[block]
        let word = perseus_load_acquire(state.signalWords + Int(expected.wordIndex))
        guard word != 0, perseus_signal_epoch(word) == epoch else { return false }
        precondition(
            perseus_signal_first_row(word) == UInt32(expected.firstRow)
                && perseus_signal_rows(word) == UInt32(expected.rows),
            "Subscriber: a return word names other rows than were sent")
        isBlockObserved[block] = true
        state.observedReturnBlocks += 1
        observer?.returnArrived(
            at: state.rank, expert: Int(expected.expert), firstRow: Int(expected.firstRow),
            rows: Int(expected.rows))
        return true
    }

    /// The first word that is missing, of `peers` if any is, in words for a person; nil when none is.
    func describeMissing(from peers: Set<Int>) -> String? {
        (peers.isEmpty ? nil : describeMissing { peers.contains($0) })
            ?? describeMissing { _ in true }
    }

    private func describeMissing(where isMeant: (Int) -> Bool) -> String? {
        for slot in 0..<wordsPerSource * state.geometry.rankCount
        where observedEpoch[slot] != epoch && isMeant(slot / wordsPerSource) {
            let expert = state.experts.lowerBound + slot % wordsPerSource
            return "dispatch signal of expert \(expert) from peer \(slot / wordsPerSource)"
        }
        guard isBlocksBegun else { return nil }
        for block in 0..<state.returnBlockCount where !isBlockObserved[block] {
            let expert = Int(state.returnBlocks[block].expert)
            let owner = state.geometry.placement.owner(of: expert)
            guard isMeant(owner) else { continue }
            return
                "return signal of expert \(expert), rows \(state.returnBlocks[block].firstRow) to"
                + " \(state.returnBlocks[block].firstRow + state.returnBlocks[block].rows - 1),"
                + " from peer \(owner)"
        }
        return nil
    }
}

/// Sees every signal at the moment at which a role believes it: where order is checked.
public protocol SignalObserver: AnyObject {
    func dispatchArrived(at rank: Int, from source: Int, firstRow: Int, rows: Int)
    func returnArrived(at rank: Int, expert: Int, firstRow: Int, rows: Int)
}
