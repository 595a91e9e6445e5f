// A kernel that only sends: a number of concurrent transfers from every rank, put alone or put with signal.

import CPerseusABI
import PerseusCommandRing
import PerseusMegakernel
import PerseusMemory
import PerseusPrimitives

/// The transfers of one rank: destinations in the order in which they are pushed.
package struct TransferList: Sendable {
    /// [transfer]
    package let destinations: [Int]
    /// [transfer]: the transfer's number among those of the same destination.
    package let ordinals: [Int]
    /// [rank]: transfers to it.
    package let counts: [Int]

    /// Spreads `count` transfers of `rank` evenly over the destinations of other nodes, in a random order, which
    /// stands for the arrival order of a kernel's CTAs.
    package init(
        rank: Int, ranks: Int, ranksPerNode: Int, count: Int, isDestinationMajor: Bool, seed: UInt64
    ) {
        let remote = (0..<ranks).filter { $0 / ranksPerNode != rank / ranksPerNode }
        var list = (0..<count).map { remote[($0 + rank) % remote.count] }
        if isDestinationMajor {
            list.sort { ($0 + ranks - rank) % ranks < ($1 + ranks - rank) % ranks }
        } else {
            var random = SeededRandom(seed: seed, stream: 0x9A7 &+ UInt64(rank))
            for last in stride(from: count - 1, to: 0, by: -1) {
                list.swapAt(last, random.next(below: last + 1))
            }
        }
        var counts = Array(repeating: 0, count: ranks)
        ordinals = list.map { destination in
            counts[destination] += 1
            return counts[destination] - 1
        }
        destinations = list
        self.counts = counts
    }
}

/// Pushes one transfer after the other, signals them as the scheme's program says, and asks for a quiet at the end.
final class PutSignalKernel: DispatchOnlyKernel {
    private enum Phase { case push, signalGroup, askQuiet, waitQuiet, done }

    private let rank: Int
    private let layout: perseus_arena_layout
    private let transfers: TransferList
    private let byteCount: Int
    /// nil: puts only.
    private let program: LayerProgram?
    private let port: any CommandPort
    /// Times that the transfers are sent, each after the one before has completed; the last is measured.
    private let roundCount: Int
    private var round = 0
    private let words: UnsafeMutablePointer<UInt64>
    private var phase: Phase
    private var next = 0
    /// [rank]: transfers to it that were not pushed yet: the group counter.
    private var remaining: [Int]
    /// Transfers of the closed group that are still to be signalled.
    private var group: [Int] = []

    init(
        rank: Int, layout: perseus_arena_layout, transfers: TransferList, byteCount: Int,
        program: LayerProgram?, port: any CommandPort, roundCount: Int
    ) {
        self.roundCount = roundCount
        self.rank = rank
        self.layout = layout
        self.transfers = transfers
        self.byteCount = byteCount
        self.program = program
        self.port = port
        remaining = transfers.counts
        phase = transfers.destinations.isEmpty ? .done : .push
        words = .allocate(capacity: Int(PERSEUS_MAX_SIGNAL_WORDS))
    }

    deinit { words.deallocate() }

    var isDone: Bool { phase == .done }
    var missing: String? { phase == .waitQuiet ? "completion of its own puts" : nil }

    func dispatch() -> RoleStep {
        var outcome = RoleStep()
        switch phase {
        case .push: pushNext(&outcome)
        case .signalGroup: signalGroup(&outcome)
        case .askQuiet:
            settle(port.tryPushQuiet(), &outcome) { phase = .waitQuiet }
        case .waitQuiet:
            if port.isQuiet {
                nextRound()
                outcome.hasWorked = true
            }
        case .done: break
        }
        return outcome
    }

    /// One push: where it was taken, `then`; where there was no room, the step is blocked.
    private func settle(_ isPushed: Bool, _ outcome: inout RoleStep, then: () -> Void) {
        guard isPushed else {
            outcome.isBlocked = true
            return
        }
        outcome.hasPushed = true
        outcome.hasWorked = true
        outcome.work = .signal
        then()
    }

    private func nextRound() {
        round += 1
        guard round < roundCount else { return phase = .done }
        next = 0
        remaining = transfers.counts
        phase = .push
    }

    private func pushNext(_ outcome: inout RoleStep) {
        outcome.beginsMeasurement = round == roundCount - 1 && next == 0
        let destination = transfers.destinations[next]
        let source = HeapLocation(.data, byteOffset: Int(layout.sendOffset(row: next)))
        let target = HeapLocation(
            .data, byteOffset: Int(layout.dispatchOffset(source: rank, row: next)))
        if program?.signaling == .coupled {
            words[0] = word(of: next)
            let isPushed = port.tryPush(
                .putSignal(
                    destination: destination, source: source, target: target, byteCount: byteCount),
                signal: signal(next, wordCount: 1, isLast: remaining[destination] == 1),
                words: UnsafeBufferPointer(start: words, count: 1))
            return settle(isPushed, &outcome) { advance() }
        }
        let isPushed = port.tryPush(
            .put(destination: destination, source: source, target: target, byteCount: byteCount))
        settle(isPushed, &outcome) { advance() }
    }

    /// The transfer that completes its group makes this the leader, which signals next.
    private func advance() {
        let transfer = next
        let destination = transfers.destinations[transfer]
        remaining[destination] -= 1
        next += 1
        phase = next == transfers.destinations.count ? .askQuiet : .push
        guard let program else { return }
        switch program.signaling {
        case .coupled: return
        case .perDestination:
            guard remaining[destination] == 0 else { return }
            group = (0..<next).filter { transfers.destinations[$0] == destination }
        case .perTransfers(let size):
            guard next % size == 0 || next == transfers.destinations.count else { return }
            group = Array((next - 1) / size * size..<next)
        }
        group.sort {
            (transfers.destinations[$0], $0) < (transfers.destinations[$1], $1)
        }
        phase = .signalGroup
    }

    /// Signals the closed group, destination by destination where words are coalesced, else one by one.
    private func signalGroup(_ outcome: inout RoleStep) {
        let destination = transfers.destinations[group[0]]
        var count = 1
        if program?.coalescesGroup == true {
            while count < group.count, count < 32,
                transfers.destinations[group[count]] == destination,
                transfers.ordinals[group[count]] == transfers.ordinals[group[0]] + count
            {
                count += 1
            }
        }
        for index in 0..<count { words[index] = word(of: group[index]) }
        let isPushed = port.tryPush(
            signal: signal(
                group[0], wordCount: count,
                isLast: count == group.count
                    || transfers.destinations[group[count]] != destination),
            words: UnsafeBufferPointer(start: words, count: count))
        settle(isPushed, &outcome) {
            group.removeFirst(count)
            guard group.isEmpty else { return }
            phase = next == transfers.destinations.count ? .askQuiet : .push
        }
    }

    private func word(of transfer: Int) -> UInt64 {
        perseus_signal_make(UInt64(round + 1), UInt64(transfer), 1)
    }

    private func signal(_ transfer: Int, wordCount: Int, isLast: Bool) -> Command {
        let index = layout.dispatchWord(
            source: rank, localExpert: transfers.ordinals[transfer])
        return .signalBlock(
            destination: transfers.destinations[transfer],
            target: HeapLocation(.signal, byteOffset: index * 8), wordCount: wordCount,
            flags: isLast ? .lastOfGroup : [])
    }
}
