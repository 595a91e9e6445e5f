// Stage 4 of 10 — push: claim positions, write second words, publish first words.
// Upstream:   Command.swift
// Downstream: CommandRing+Drain.swift

import CPerseusABI
import CPerseusShims

extension CommandRing {
    /// Pushes a command without operands.
    ///
    /// - Returns: false, and nothing has changed, when the ring has no free slot.
    /// - Threading: any number of producers.
    @_noLocks
    @inlinable @inline(__always)
    public func tryPush(_ command: Command) -> Bool {
        precondition(command.operandSlotCount == 0, "CommandRing: this command has operands")
        guard let position = tryClaim(slotCount: 1) else { return false }
        publish(first: command.first, second: command.second, at: position)
        return true
    }

    /// Pushes a signalBlock and its words in one claim.
    ///
    /// - Parameter operands: as many words as `header.wordCount`, bit 63 of each clear.
    /// - Returns: false, and nothing has changed, when the ring has no room for all slots.
    /// - Precondition: the command fits the ring's capacity.
    /// - Threading: any number of producers.
    @_noLocks
    @inlinable @inline(__always)
    public func tryPush(header: Command, operands: UnsafeBufferPointer<UInt64>) -> Bool {
        checkOperands(header, operands)
        guard let position = tryClaim(slotCount: header.slotCount) else { return false }
        publish(header: header, operands: operands, at: position)
        return true
    }

    /// Pushes `command`, which has no operands, and the signalBlock behind it in one claim, so that
    /// no other producer's command comes between.
    ///
    /// - Returns: false, and nothing has changed, when the ring has no room for all slots.
    /// - Precondition: both together fit the ring's capacity.
    /// - Threading: any number of producers.
    @_noLocks
    @inlinable @inline(__always)
    public func tryPush(
        _ command: Command, _ header: Command, operands: UnsafeBufferPointer<UInt64>
    ) -> Bool {
        precondition(command.operandSlotCount == 0, "CommandRing: this command has operands")
        checkOperands(header, operands)
        guard let position = tryClaim(slotCount: 1 &+ header.slotCount) else { return false }
        publish(first: command.first, second: command.second, at: position)
        publish(header: header, operands: operands, at: position &+ 1)
        return true
    }

    @inlinable @inline(__always)
    func checkOperands(_ header: Command, _ operands: UnsafeBufferPointer<UInt64>) {
        precondition(
            header.operandSlotCount == (operands.count &+ 1) &>> 1 && operands.count > 0
                && header.wordCount == operands.count,
            "CommandRing: operands and signal word count differ")
    }
}

// MARK: - Claim

extension CommandRing {
    /// Reserves `slotCount` consecutive positions; nil, without side effects, when they are not
    /// free.
    @inlinable @inline(__always)
    func tryClaim(slotCount: Int) -> UInt64? {
        precondition(slotCount <= capacity, "CommandRing: command longer than the ring")
        while true {
            // The credit is read before the cursor: a stale credit can only refuse, never overrun.
            let retired = retiredPosition
            let claimed = claimedPosition
            guard hasRoom(slotCount, claimed: claimed, retired: retired) else { return nil }
            if claim(slotCount, at: claimed) { return claimed }
        }
    }

    /// Whether `slotCount` slots behind `claimed` are free when the consumer has retired `retired`.
    @inlinable @inline(__always)
    func hasRoom(_ slotCount: Int, claimed: UInt64, retired: UInt64) -> Bool {
        // Free-running cursors: the difference is right across the wrap of 64 bits.
        claimed &- retired &+ UInt64(truncatingIfNeeded: slotCount)
            <= UInt64(truncatingIfNeeded: capacity)
    }

    /// Moves the claim cursor on from `position`; false when another producer moved it first.
    ///
    /// Relaxed: who may write a slot follows from the acquired credit, not from this word.
    @inlinable @inline(__always)
    func claim(_ slotCount: Int, at position: UInt64) -> Bool {
        perseus_compare_exchange_relaxed(
            claimedWord, position, position &+ UInt64(truncatingIfNeeded: slotCount))
    }
}

// MARK: - Publish

extension CommandRing {
    /// Publishes a header and its operand slots behind it.
    @inlinable @inline(__always)
    func publish(
        header: Command, operands: UnsafeBufferPointer<UInt64>, at position: UInt64
    ) {
        publish(first: header.first, second: header.second, at: position)
        var next = position &+ 1
        var index = 0
        let count = operands.count
        let words = operands.baseAddress.unsafelyUnwrapped
        while index < count {
            // An odd count leaves the last half slot 0: parity only.
            let second = index &+ 1 < count ? words[index &+ 1] : 0
            precondition((words[index] | second) >> 63 == 0, "CommandRing: operand uses bit 63")
            publish(first: words[index], second: second, at: next)
            next &+= 1
            index &+= 2
        }
    }

    /// Publishes one claimed slot. `observe(at:)` is the other half of this pair.
    @inlinable @inline(__always)
    func publish(first: UInt64, second: UInt64, at position: UInt64) {
        writeSecondWord(second, at: position)
        publishFirstWord(first, at: position)
    }

    /// Relaxed: the release of the first word makes it visible in time.
    @inlinable @inline(__always)
    func writeSecondWord(_ word: UInt64, at position: UInt64) {
        perseus_store_relaxed(slot(at: position) + 1, word | parity(of: position))
    }

    /// Releases the second word and every payload byte this thread wrote before.
    @inlinable @inline(__always)
    func publishFirstWord(_ word: UInt64, at position: UInt64) {
        perseus_store_release(slot(at: position), word | parity(of: position))
    }
}
