// The second half of the staged scheme: when every expert is done, results go back in bulk.

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusMemory

/// Where the bulk return stands: rows first, to all peers; then, behind a wait for completion, their signals.
struct StagedReturn {
    var hasSentRows = false
    var source = 0
    var localExpert = 0
    var row = -1
}

extension Dispatcher {
    /// Sends results peer by peer, waits until they have completed, then signals block by block.
    mutating func returnRows(_ outcome: inout RoleStep) {
        guard state.isExpertSideDone else { return }
        if !staged.hasSentRows {
            sendResultRows(&outcome)
        } else {
            sendResultSignals(&outcome)
        }
    }

    private mutating func sendResultRows(_ outcome: inout RoleStep) {
        while staged.source < state.geometry.rankCount {
            let source = staged.source
            if let rows = receivedRows(from: source), !state.isLocal(source) {
                guard
                    port.pushRows(
                        to: source,
                        source: Int(
                            state.layout.resultOffset(source: source, row: rows.lowerBound)),
                        target: Int(state.layout.returnOffset(row: rows.lowerBound)),
                        byteCount: rows.count * Int(state.layout.row_stride), flags: .combine,
                        signal: nil, operands: nil)
                else {
                    outcome.isBlocked = true
                    return
                }
                outcome.hasPushed = true
            }
            staged.source += 1
        }
        staged = StagedReturn(hasSentRows: true)
        outcome.hasWorked = true
        outcome.work = .stage
        askQuiet(then: .returnRows)
    }

    /// Rows that `source` sent here in this round; they are consecutive in its packed order.
    private func receivedRows(from source: Int) -> Range<Int>? {
        var rows: Range<Int>?
        for local in 0..<state.experts.count {
            guard let word = currentWord(source, local) else { continue }
            let first = Int(perseus_signal_first_row(word))
            let end = first + Int(perseus_signal_rows(word))
            rows = min(first, rows?.lowerBound ?? first)..<max(end, rows?.upperBound ?? end)
        }
        return rows
    }

    /// The dispatch word of this epoch, if it announced rows.
    private func currentWord(_ source: Int, _ local: Int) -> UInt64? {
        let index = state.layout.dispatchWord(source: source, localExpert: local)
        let word = perseus_load_acquire(state.signalWords + index)
        guard perseus_signal_epoch(word) == state.epoch, perseus_signal_rows(word) > 0 else {
            return nil
        }
        return word
    }

    private mutating func sendResultSignals(_ outcome: inout RoleStep) {
        while staged.source < state.geometry.rankCount {
            if !state.isLocal(staged.source) {
                while staged.localExpert < state.experts.count {
                    guard pushBlockSignals() else {
                        outcome.isBlocked = true
                        return
                    }
                    outcome.hasPushed = true
                }
            }
            staged.source += 1
            staged.localExpert = 0
            staged.row = -1
        }
        staged = StagedReturn()
        outcome.hasWorked = true
        phase = .waitRound
    }

    /// Pushes the words of the next consecutive blocks of one expert; false: no room.
    private mutating func pushBlockSignals() -> Bool {
        guard let word = currentWord(staged.source, staged.localExpert) else {
            staged.localExpert += 1
            return true
        }
        let first = Int(perseus_signal_first_row(word))
        let end = first + Int(perseus_signal_rows(word))
        if staged.row < 0 { staged.row = first }
        let expert = state.experts.lowerBound + staged.localExpert
        var count = 0
        var row = staged.row
        while row < end && count < Self.blockSignalLimit {
            let rows = min(LayerGeometry.blockRows, end - row)
            words[count] = perseus_signal_make(UInt64(state.epoch), UInt64(row), UInt64(rows))
            count += 1
            row += rows
        }
        let index = state.layout.returnWord(row: staged.row, expert: expert)
        let signal = Command.signalBlock(
            destination: staged.source, target: HeapLocation(.signal, byteOffset: index * 8),
            wordCount: count, flags: [.combine, .lastOfGroup])
        guard port.tryPush(signal: signal, words: UnsafeBufferPointer(start: words, count: count))
        else { return false }
        if row >= end {
            staged.localExpert += 1
            staged.row = -1
        } else {
            staged.row = row
        }
        return true
    }

    /// Words of one bulk signal: no more than every proxy has room for.
    static var blockSignalLimit: Int { 32 }
}
