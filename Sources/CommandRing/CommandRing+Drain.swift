// Stage 5 of 10 — drain: observe, copy out, retire in batches.
// Upstream:   CommandRing+Push.swift
// Downstream: ProxyLoop.swift

import CPerseusABI
import CPerseusShims

/// The single consumer of a command ring; owns the read position.
///
/// - Threading: one thread at a time, and at most one consumer for a ring.
@frozen
public struct CommandRingConsumer: ~Copyable, @unchecked Sendable {
    @usableFromInline let ring: CommandRing
    @usableFromInline var readPosition: UInt64
    /// What `retire` last stored.
    @usableFromInline var retiredPosition: UInt64

    /// Continues where the ring's last consumer retired.
    public init(_ ring: CommandRing) {
        self.ring = ring
        readPosition = ring.retiredPosition
        retiredPosition = readPosition
    }

    /// Position of the next command to read, unit: slots.
    @inlinable @inline(__always)
    public var position: UInt64 { readPosition }

    /// Whether a header is waiting; its operands may still be on their way. One relaxed load.
    @inlinable @inline(__always)
    public var hasWork: Bool {
        @_noLocks get {
            let first = perseus_load_relaxed(ring.slot(at: readPosition))
            return ring.isPublished(first, at: readPosition)
        }
    }

    /// Copies the next command out, once it and all of its operands are published.
    ///
    /// - Parameters:
    ///   - command: the header, parity clear; unchanged when the result is false.
    ///   - operands: room for 1024 words; receives `command.wordCount` words, rounded up to even,
    ///   of a signalBlock.
    /// - Returns: false when no complete command is waiting.
    /// - Complexity: O(slots of the command); a producer that stops between two slots is never
    ///   waited for.
    @_noLocks
    @inlinable @inline(__always)
    public mutating func next(
        _ command: inout Command, operands: UnsafeMutablePointer<UInt64>
    ) -> Bool {
        guard let header = ring.observe(at: readPosition) else { return false }
        let operandSlotCount = header.operandSlotCount
        if operandSlotCount > 0 {
            guard copyOperands(slotCount: operandSlotCount, into: operands) else { return false }
        }
        command = header
        readPosition &+= UInt64(truncatingIfNeeded: 1 &+ operandSlotCount)
        return true
    }

    /// Gives every slot that `next` copied out back to the producers. Call once per batch.
    @_noLocks
    @inlinable @inline(__always)
    public mutating func retire() {
        guard retiredPosition != readPosition else { return }
        retiredPosition = readPosition
        ring.retire(upTo: readPosition)
    }

    /// Copies the operand slots behind the header at `position`; false while one is unpublished.
    @_noLocks
    @inlinable
    func copyOperands(slotCount: Int, into operands: UnsafeMutablePointer<UInt64>) -> Bool {
        precondition(slotCount < ring.capacity, "CommandRing: header claims more than the ring")
        var index = 0
        while index < slotCount {
            let next = readPosition &+ 1 &+ UInt64(truncatingIfNeeded: index)
            guard let pair = ring.observe(at: next) else { return false }
            operands[index &* 2] = pair.first
            operands[index &* 2 &+ 1] = pair.second
            index &+= 1
        }
        return true
    }
}

extension CommandRing {
    /// The two words of the slot at `position`, parity clear; nil while either half is unpublished.
    @inlinable @inline(__always)
    func observe(at position: UInt64) -> Command? {
        let first = observeFirstWord(at: position)
        guard isPublished(first, at: position) else { return nil }
        // Always passes where the first word was released behind the second; a torn store is seen
        // here.
        let second = observeSecondWord(at: position)
        guard isPublished(second, at: position) else { return nil }
        return Command(first: first & ~(1 &<< 63), second: second & ~(1 &<< 63))
    }

    /// Acquires what `publishFirstWord` released.
    @inlinable @inline(__always)
    func observeFirstWord(at position: UInt64) -> UInt64 {
        perseus_load_acquire(slot(at: position))
    }

    /// Acquires as well: where producers publish by one unordered 16-byte store, the halves may
    /// arrive in any order, and each has to carry the payload's visibility.
    @inlinable @inline(__always)
    func observeSecondWord(at position: UInt64) -> UInt64 {
        perseus_load_acquire(slot(at: position) + 1)
    }

    /// Whether one half of the slot at `position` belongs to this lap.
    @inlinable @inline(__always)
    func isPublished(_ word: UInt64, at position: UInt64) -> Bool {
        (word ^ parity(of: position)) >> 63 == 0
    }

    /// Releases the consumer's reads of every slot below `position`.
    @inlinable @inline(__always)
    func retire(upTo position: UInt64) {
        perseus_store_release(retiredWord, position)
    }
}
