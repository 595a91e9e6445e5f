// Stage 7 of 10 — post: placement by somebody else, where the CPU cannot reach the memory: a copy block on a GPU.
// Upstream:   NICEngine+Wire.swift
// Downstream: Subscriber.swift (the words that copies.cuh stores)

import CPerseusABI
import CPerseusShims

/// Commands to the copy block of one rank's emulated NIC. They are executed in order.
///
/// - Threading: the engine's thread alone.
@frozen
public struct CopyQueue: BitwiseCopyable {
    /// `perseus_device_copy[PERSEUS_DEVICE_COPY_CAPACITY]`, in memory that the device reads.
    @usableFromInline let commands: UnsafeMutablePointer<perseus_device_copy>
    /// Written by the device: commands that are done.
    @usableFromInline let done: UnsafeMutablePointer<UInt64>
    /// Commands given so far.
    @usableFromInline var given: UInt64 = 0

    /// Both zeroed, and alive as long as the engine.
    public init(
        commands: UnsafeMutablePointer<perseus_device_copy>, done: UnsafeMutablePointer<UInt64>
    ) {
        self.commands = commands
        self.done = done
    }

    /// Room for `count` commands.
    @inlinable @inline(__always)
    func hasRoom(for count: Int) -> Bool {
        given &- perseus_load_acquire(done) &+ UInt64(count)
            <= UInt64(PERSEUS_DEVICE_COPY_CAPACITY)
    }

    @inlinable @inline(__always)
    func isDone(_ sequence: UInt64) -> Bool { perseus_load_acquire(done) >= sequence }

    /// Copies bytes between device addresses; all multiples of 16.
    @inlinable @inline(__always)
    mutating func copy(from source: UInt64, to target: UInt64, byteCount: Int) {
        give(
            value: source, target: target, kind: UInt64(PERSEUS_DEVICE_COPY_BYTES.rawValue),
            count: UInt64(byteCount))
    }

    /// Stores a word behind everything that was given before.
    @inlinable @inline(__always)
    mutating func store(_ word: UInt64, to target: UInt64) {
        give(
            value: word, target: target, kind: UInt64(PERSEUS_DEVICE_COPY_WORD.rawValue), count: 8)
    }

    /// The copy block ends. Where there is no room it has ended already.
    public mutating func stop() {
        guard hasRoom(for: 1) else { return }
        give(value: 0, target: 0, kind: UInt64(PERSEUS_DEVICE_COPY_STOP.rawValue), count: 0)
    }

    /// Both halves carry the lap, so a half that is read too early shows itself. The caller has seen room.
    @inlinable @inline(__always)
    mutating func give(value: UInt64, target: UInt64, kind: UInt64, count: UInt64) {
        let capacity = UInt64(PERSEUS_DEVICE_COPY_CAPACITY)
        let tag = ((given / capacity &+ 1) & 0xFFFF) &<< 48
        let words = UnsafeMutableRawPointer(commands + Int(given % capacity))
            .assumingMemoryBound(to: UInt64.self)
        perseus_store_relaxed(words, value)
        perseus_store_release(words + 1, target | tag)
        perseus_store_release(words + 2, count | kind &<< 40 | tag)
        given &+= 1
    }
}
