// Stage 3 of 10 — pack: rows into arenas, puts and signals into rings.
// Upstream:   DispatchPlan.swift
// Downstream: CommandPort.swift, Command.swift

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusMemory
import PerseusMoE

extension Dispatcher {
    /// Packs and sends the next transfer: the rows of one expert (staged: of one peer).
    mutating func packNext(_ outcome: inout RoleStep) {
        if nextTransfer == state.geometry.model.expertCount {
            finishPacking(&outcome)
            return
        }
        let expert = Int(order[nextTransfer])
        let owner = state.geometry.placement.owner(of: expert)
        if state.isLocal(owner) {
            storeAtLocalPeer(expert, owner: owner, &outcome)
        } else if !sendToPeer(expert, owner: owner, &outcome) {
            return
        }
        nextTransfer += 1
        isPacked = false
    }

    /// After the last transfer: what is left to signal, then wait for the round (or the barrier).
    private mutating func finishPacking(_ outcome: inout RoleStep) {
        outcome.hasWorked = true
        if state.program.isStaged {
            outcome.work = .stage
            askQuiet(then: .signalGroup)
            closeStagedGroup()
            return
        }
        if case .perTransfers = state.program.signaling, groupCount > 0 {
            phase = .signalGroup
            return
        }
        if state.geometry.roundCount > 1, closePresence() {
            phase = .signalGroup
            return
        }
        phase = .waitRound
    }

    /// Ranks without experts get one word a round, so that no rank runs more than one round ahead of another.
    private mutating func closePresence() -> Bool {
        let geometry = state.geometry
        for rank in 0..<geometry.rankCount
        where geometry.placement.range(of: rank).isEmpty && remaining[rank] > 0 {
            remaining[rank] = 0
            group[groupCount] = Int32(-1 - rank)
            groupCount += 1
        }
        return groupCount > 0
    }

    private mutating func closeStagedGroup() {
        for index in 0..<state.geometry.model.expertCount {
            let owner = state.geometry.placement.owner(of: Int(order[index]))
            guard !state.isLocal(owner) else { continue }
            group[groupCount] = order[index]
            groupCount += 1
        }
        _ = closePresence()
    }

    /// A peer of the same node: rows and word are stored into its memory, no proxy is involved.
    private mutating func storeAtLocalPeer(_ expert: Int, owner: Int, _ outcome: inout RoleStep) {
        let plan = state.plan
        let first = Int(plan.pointee.firstRow[expert])
        let rows = Int(plan.pointee.rows[expert])
        if rows > 0 {
            packRows(
                first..<first + rows, into: owner,
                at: state.layout.dispatchOffset(source: state.rank, row: first))
        }
        let index = wordIndex(ofExpert: expert, owner: owner)
        perseus_store_release(state.shared.signalWords[owner] + index, word(ofExpert: expert))
        outcome.noteLocalSignal(rank: owner, first: index, count: 1)
        outcome.hasWorked = true
        outcome.work = .pack(byteCount: rows * Int(state.layout.row_stride), toPeer: true)
    }

    /// A peer of another node: pack, put, and signal as the scheme says; false: no room in the ring.
    private mutating func sendToPeer(_ expert: Int, owner: Int, _ outcome: inout RoleStep) -> Bool {
        let first = Int(state.plan.pointee.firstRow[expert])
        let rows = Int(state.plan.pointee.rows[expert])
        if !isPacked {
            packRows(
                first..<first + rows, into: state.rank, at: state.layout.sendOffset(row: first))
            isPacked = true
            outcome.work = .pack(byteCount: rows * Int(state.layout.row_stride), toPeer: false)
            outcome.hasWorked = true
        }
        if state.program.isStaged {
            return pushStaged(expert, owner: owner, &outcome)
        }
        if state.program.signaling == .coupled {
            return pushCoupled(expert, owner: owner, first: first, rows: rows, &outcome)
        }
        if rows > 0 {
            guard pushPut(to: owner, firstRow: first, rows: rows) else {
                outcome.isBlocked = true
                return false
            }
            outcome.hasPushed = true
        }
        countTransfer(expert, owner: owner)
        return true
    }

    /// The group counter: the transfer that completes its group makes this the leader, which signals next.
    private mutating func countTransfer(_ expert: Int, owner: Int) {
        switch state.program.signaling {
        case .coupled: break
        case .perDestination:
            remaining[owner] -= 1
            guard remaining[owner] == 0 else { return }
            for member in state.geometry.placement.range(of: owner) {
                group[groupCount] = Int32(member)
                groupCount += 1
            }
            phase = .signalGroup
        case .perTransfers(let size):
            group[groupCount] = Int32(expert)
            groupCount += 1
            if groupCount == size { phase = .signalGroup }
        }
    }

    private mutating func pushCoupled(
        _ expert: Int, owner: Int, first: Int, rows: Int, _ outcome: inout RoleStep
    ) -> Bool {
        let index = wordIndex(ofExpert: expert, owner: owner)
        remaining[owner] -= 1
        let signal = signalCommand(to: owner, index: index, count: 1, isLast: remaining[owner] == 0)
        words[0] = payload(ofExpert: expert)
        let operands = UnsafeBufferPointer(start: words, count: 1)
        let isPushed =
            rows > 0
            ? pushPut(to: owner, firstRow: first, rows: rows, signal: signal, operands: operands)
            : port.tryPush(signal: signal, words: operands)
        guard isPushed else {
            remaining[owner] += 1
            outcome.isBlocked = true
            return false
        }
        noteSent(expert: expert)
        outcome.hasPushed = true
        return true
    }

    /// Staged: rows of one peer are consecutive in the packed order, so its last expert sends them all at once.
    private mutating func pushStaged(_ expert: Int, owner: Int, _ outcome: inout RoleStep) -> Bool {
        guard remaining[owner] == 1 else {
            remaining[owner] -= 1
            return true
        }
        let rows = state.plan.pointee.rowRange(ofExperts: state.geometry.placement.range(of: owner))
        if !rows.isEmpty, !pushPut(to: owner, firstRow: rows.lowerBound, rows: rows.count) {
            outcome.isBlocked = true
            return false
        }
        remaining[owner] = 0
        outcome.hasPushed = true
        return true
    }

    /// Pushes the signals of the closed group, as one block per destination or one by one.
    mutating func signalGroup(_ outcome: inout RoleStep) {
        outcome.work = .signal
        while groupNext < groupCount {
            let member = Int(group[groupNext])
            let owner = member < 0 ? -1 - member : state.geometry.placement.owner(of: member)
            if state.isLocal(owner) {
                storePresence(at: owner, &outcome)
                groupNext += 1
                return
            }
            let count = state.program.coalescesGroup ? runLength(from: groupNext, owner: owner) : 1
            guard pushSignals(count, owner: owner) else {
                outcome.isBlocked = true
                return
            }
            groupNext += count
            outcome.hasPushed = true
            outcome.hasWorked = true
        }
        groupCount = 0
        groupNext = 0
        outcome.hasWorked = true
        if nextTransfer < state.geometry.model.expertCount {
            phase = .pack
        } else if state.program.isStaged {
            phase = .returnRows
        } else {
            phase = .pack  // `finishPacking` decides what follows
        }
    }

    /// Only a rank without experts gets a presence word from its own node.
    private mutating func storePresence(at owner: Int, _ outcome: inout RoleStep) {
        let index = state.layout.dispatchWord(source: state.rank, localExpert: 0)
        perseus_store_release(
            state.shared.signalWords[owner] + index, perseus_signal_make(UInt64(state.epoch), 0, 0))
        outcome.noteLocalSignal(rank: owner, first: index, count: 1)
        outcome.hasWorked = true
    }

    /// Members from `start` on that go to consecutive words of one owner.
    private func runLength(from start: Int, owner: Int) -> Int {
        var count = 1
        while start + count < groupCount,
            group[start + count] == group[start] + Int32(count), group[start] >= 0,
            state.geometry.placement.owner(of: Int(group[start + count])) == owner
        {
            count += 1
        }
        return count
    }

    private mutating func pushSignals(_ count: Int, owner: Int) -> Bool {
        let member = Int(group[groupNext])
        let index =
            member < 0
            ? state.layout.dispatchWord(source: state.rank, localExpert: 0)
            : wordIndex(ofExpert: member, owner: owner)
        for offset in 0..<count {
            words[offset] = member < 0 ? presencePayload(owner) : payload(ofExpert: member + offset)
        }
        let isLast = groupNext + count == groupCount
        let signal = signalCommand(to: owner, index: index, count: count, isLast: isLast)
        guard port.tryPush(signal: signal, words: UnsafeBufferPointer(start: words, count: count))
        else { return false }
        for offset in 0..<count {
            if member < 0 { noteSentPresence(owner) } else { noteSent(expert: member + offset) }
        }
        return true
    }

    // MARK: Rows

    /// Copies token rows in packed order; scaled by the router's weight where the model scales its input.
    private func packRows(_ rows: Range<Int>, into rank: Int, at offset: UInt64) {
        guard let hidden = state.hidden, let target = state.row(of: rank, at: offset) else {
            return
        }
        let width = state.geometry.model.hidden
        let stride = Int(state.layout.row_stride) / 2
        let firstToken = state.roundTokenRange.lowerBound
        for (position, row) in rows.enumerated() {
            let token = firstToken + Int(state.plan.pointee.tokenOf[row])
            let source = hidden + token * width
            let packed = target + position * stride
            if state.geometry.model.scalesInput {
                let slot = token * state.geometry.model.topK + Int(state.plan.pointee.slotOf[row])
                scaleRow(source, by: state.weights![slot], into: packed, count: width)
            } else {
                packed.update(from: source, count: width)
            }
        }
    }

    // MARK: Commands

    func wordIndex(ofExpert expert: Int, owner: Int) -> Int {
        let local = expert - state.geometry.placement.range(of: owner).lowerBound
        return state.layout.dispatchWord(source: state.rank, localExpert: local)
    }

    private func word(ofExpert expert: Int) -> UInt64 {
        perseus_signal_make(
            UInt64(state.epoch), UInt64(state.plan.pointee.firstRow[expert]),
            UInt64(state.plan.pointee.rows[expert]))
    }

    /// What travels for a word: the word, or what must be added to the last one to get it.
    private func payload(ofExpert expert: Int) -> UInt64 {
        let word = word(ofExpert: expert)
        return state.program.addsSignals ? (word &- lastWords[expert]) & ~(1 << 63) : word
    }

    private func presencePayload(_ owner: Int) -> UInt64 {
        let word = perseus_signal_make(UInt64(state.epoch), 0, 0)
        guard state.program.addsSignals else { return word }
        return (word &- lastWords[state.geometry.model.expertCount + owner]) & ~(1 << 63)
    }

    private func noteSent(expert: Int) {
        guard state.program.addsSignals else { return }
        lastWords[expert] = word(ofExpert: expert)
    }

    private func noteSentPresence(_ owner: Int) {
        guard state.program.addsSignals else { return }
        lastWords[state.geometry.model.expertCount + owner] = perseus_signal_make(
            UInt64(state.epoch), 0, 0)
    }

    private func signalCommand(to owner: Int, index: Int, count: Int, isLast: Bool) -> Command {
        .signalBlock(
            destination: owner, target: HeapLocation(.signal, byteOffset: index * 8),
            wordCount: count, flags: isLast ? .lastOfGroup : [])
    }

    /// Puts rows that are consecutive in sendData; long ones in several commands, the signal with the last.
    private func pushPut(
        to owner: Int, firstRow: Int, rows: Int, signal: Command? = nil,
        operands: UnsafeBufferPointer<UInt64>? = nil
    ) -> Bool {
        let source = state.layout.sendOffset(row: firstRow)
        let target = state.layout.dispatchOffset(source: state.rank, row: firstRow)
        return port.pushRows(
            to: owner, source: Int(source), target: Int(target),
            byteCount: rows * Int(state.layout.row_stride), flags: [], signal: signal,
            operands: operands)
    }
}
