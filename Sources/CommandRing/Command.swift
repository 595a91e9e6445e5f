// Stage 4 of 10 — push: a command header, the Swift view of perseus_command.h, widths checked.
// Upstream:   Dispatcher+Pack.swift, CommandPort.swift
// Downstream: CommandRing+Push.swift

import CPerseusABI

/// What a command asks the proxy to do.
@frozen
public enum CommandOpcode: UInt8, Sendable {
    case none = 0
    /// Writes bytes to a peer.
    case put = 1
    /// Writes 1 ... 1023 signal words to a peer, behind every earlier put to it.
    case signalBlock = 2
    /// A put whose own signal is the very next command of the ring.
    case putSignal = 3
    /// Adds to a 64-bit word of a peer.
    case atomicAdd = 4
    /// Asks for a completion-board entry once earlier operations completed.
    case quiet = 5
}

/// A part of the symmetric heap with one set of access flags; see perseus_arena.h.
@frozen
public enum HeapRegion: UInt8, Sendable {
    case data = 0
    /// Signal words; strictly ordered.
    case signal = 1
    /// Receiver-side staging of signal words for immediate-based orderings.
    case signalShadow = 2
}

/// A byte offset in a region of the symmetric heap.
@frozen
public struct HeapLocation: BitwiseCopyable, Equatable, Sendable {
    public var region: HeapRegion
    public var byteOffset: Int

    @inlinable @inline(__always)
    public init(_ region: HeapRegion, byteOffset: Int) {
        self.region = region
        self.byteOffset = byteOffset
    }
}

/// Marks that ride along with a command.
@frozen
public struct CommandFlags: OptionSet, BitwiseCopyable, Sendable {
    public let rawValue: UInt16

    @inlinable @inline(__always)
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The destination has nothing more to send in this phase.
    @inlinable @inline(__always)
    public static var lastOfGroup: CommandFlags { CommandFlags(rawValue: 1 << 0) }

    /// Combine traffic; dispatch traffic when absent. Counters only.
    @inlinable @inline(__always)
    public static var combine: CommandFlags { CommandFlags(rawValue: 1 << 1) }
}

/// A command header with both parity bits clear; the ring sets them when it publishes.
///
/// The bit table is in perseus_command.h. A field that does not fit its width traps.
@frozen
public struct Command: BitwiseCopyable, Equatable, Sendable {
    /// Opcode, regions, count and local offset.
    public var first: UInt64
    /// Destination, flags and remote offset.
    public var second: UInt64

    @_noLocks
    @inlinable @inline(__always)
    public init(first: UInt64 = 0, second: UInt64 = 0) {
        self.first = first
        self.second = second
    }

    /// The destination of a quiet that covers all of them.
    @inlinable @inline(__always)
    public static var everyDestination: Int { 0x3FFF }

    /// Writes `byteCount` bytes from `source` here to `target` at `destination`.
    ///
    /// - Parameter byteCount: 16 ... 16 MiB - 16; it and both offsets are multiples of 16.
    @inlinable @inline(__always)
    public static func put(
        destination: Int, source: HeapLocation, target: HeapLocation, byteCount: Int,
        flags: CommandFlags = []
    ) -> Command {
        encodePut(.put, destination, source, target, byteCount, flags)
    }

    /// As `put`, and its own signal follows: push it only together with a `signalBlock`.
    @inlinable @inline(__always)
    public static func putSignal(
        destination: Int, source: HeapLocation, target: HeapLocation, byteCount: Int,
        flags: CommandFlags = []
    ) -> Command {
        encodePut(.putSignal, destination, source, target, byteCount, flags)
    }

    /// The header of `wordCount` consecutive signal words, written to `target` at `destination`.
    ///
    /// - Parameters:
    ///   - target: a multiple of 8 bytes.
    ///   - wordCount: 1 ... 1023; the words themselves are the operands of the push.
    @inlinable @inline(__always)
    public static func signalBlock(
        destination: Int, target: HeapLocation, wordCount: Int, flags: CommandFlags = []
    ) -> Command {
        precondition(wordCount > 0 && wordCount <= 1023, "Command: 1 to 1023 signal words")
        return encodeWordAccess(
            .signalBlock, destination, target, count: wordCount, local: 0, flags)
    }

    /// Adds `addend` to the 64-bit word at `target` of `destination`.
    ///
    /// - Parameters:
    ///   - target: a multiple of 8 bytes.
    ///   - addend: 35 bits, unsigned.
    @inlinable @inline(__always)
    public static func atomicAdd(
        destination: Int, target: HeapLocation, addend: UInt64, flags: CommandFlags = []
    ) -> Command {
        encodeWordAccess(.atomicAdd, destination, target, count: 0, local: addend, flags)
    }

    /// Asks for completion-board entry `boardIndex` once all earlier operations to `destination`,
    /// or to `everyDestination`, have completed.
    @inlinable @inline(__always)
    public static func quiet(destination: Int = everyDestination, boardIndex: Int) -> Command {
        precondition(boardIndex >= 0 && boardIndex >> 35 == 0, "Command: board index over 35 bits")
        precondition(destination >= 0 && destination <= 0x3FFF, "Command: destination over 14 bits")
        return Command(
            first: perseus_command_first(5, 0, 0, 0, UInt64(truncatingIfNeeded: boardIndex)),
            second: perseus_command_second(UInt64(truncatingIfNeeded: destination), 0, 0))
    }
}

// MARK: - Encoding

extension Command {
    @inlinable @inline(__always)
    static func encodePut(
        _ opcode: CommandOpcode, _ destination: Int, _ source: HeapLocation,
        _ target: HeapLocation, _ byteCount: Int, _ flags: CommandFlags
    ) -> Command {
        // One test for all three: their union has a low bit where any of them has one.
        let units = byteCount | source.byteOffset | target.byteOffset
        precondition(units & 15 == 0, "Command: put sizes and offsets are multiples of 16 bytes")
        precondition(byteCount > 0 && byteCount >> 24 == 0, "Command: put over 16 MiB - 16 bytes")
        let offsets = UInt64(bitPattern: Int64(source.byteOffset | target.byteOffset))
        precondition(offsets >> 39 == 0, "Command: offset over 512 GiB")
        checkDestination(destination, flags)
        return Command(
            first: perseus_command_first(
                UInt64(opcode.rawValue), UInt64(source.region.rawValue),
                UInt64(target.region.rawValue), UInt64(truncatingIfNeeded: byteCount >> 4),
                UInt64(truncatingIfNeeded: source.byteOffset >> 4)),
            second: perseus_command_second(
                UInt64(truncatingIfNeeded: destination), UInt64(flags.rawValue),
                UInt64(truncatingIfNeeded: target.byteOffset >> 4)))
    }

    @inlinable @inline(__always)
    static func encodeWordAccess(
        _ opcode: CommandOpcode, _ destination: Int, _ target: HeapLocation, count: Int,
        local: UInt64, _ flags: CommandFlags
    ) -> Command {
        let offset = UInt64(bitPattern: Int64(target.byteOffset))
        precondition(offset & 7 == 0, "Command: signal offsets are multiples of 8 bytes")
        precondition(offset >> 38 == 0, "Command: signal offset over 256 GiB")
        precondition(local >> 35 == 0, "Command: addend over 35 bits")
        checkDestination(destination, flags)
        return Command(
            first: perseus_command_first(
                UInt64(opcode.rawValue), 0, UInt64(target.region.rawValue),
                UInt64(truncatingIfNeeded: count), local),
            second: perseus_command_second(
                UInt64(truncatingIfNeeded: destination), UInt64(flags.rawValue), offset >> 3))
    }

    /// 0x3FFF means every destination, which only a quiet may name.
    @inlinable @inline(__always)
    static func checkDestination(_ destination: Int, _ flags: CommandFlags) {
        precondition(destination >= 0 && destination < 0x3FFF, "Command: destination over 14 bits")
        precondition(flags.rawValue >> 2 == 0, "Command: reserved flag set")
    }
}

// MARK: - Decoding

extension Command {
    /// Traps on a value that no version of this layout defines.
    @inlinable @inline(__always)
    public var opcode: CommandOpcode {
        guard let opcode = CommandOpcode(rawValue: UInt8(perseus_command_opcode(first))) else {
            preconditionFailure("Command: undefined opcode")
        }
        return opcode
    }

    @inlinable @inline(__always)
    public var destination: Int { Int(perseus_command_destination(second)) }

    @inlinable @inline(__always)
    public var flags: CommandFlags {
        CommandFlags(rawValue: UInt16(perseus_command_flags(second)))
    }

    /// Bytes that a put moves, or that a signalBlock's words occupy at the peer.
    @inlinable @inline(__always)
    public var byteCount: Int {
        Int(perseus_command_count(first)) &<< (perseus_command_opcode(first) == 2 ? 3 : 4)
    }

    /// Signal words of a signalBlock.
    @inlinable @inline(__always)
    public var wordCount: Int {
        @_noLocks get { Int(perseus_command_count(first)) }
    }

    /// Where a put reads, on this rank.
    @inlinable @inline(__always)
    public var source: HeapLocation {
        HeapLocation(
            HeapRegion(validated: perseus_command_local_region(first)),
            byteOffset: Int(perseus_command_local_offset(first) << 4))
    }

    /// Where a put, signalBlock or atomicAdd writes, at the destination.
    @inlinable @inline(__always)
    public var target: HeapLocation {
        let opcode = perseus_command_opcode(first)
        let isPut = opcode == 1 || opcode == 3
        return HeapLocation(
            HeapRegion(validated: perseus_command_remote_region(first)),
            byteOffset: Int(perseus_command_remote_offset(second) << (isPut ? 4 : 3)))
    }

    /// What an atomicAdd adds.
    @inlinable @inline(__always)
    public var addend: UInt64 { perseus_command_local_offset(first) }

    /// The completion-board entry that a quiet publishes.
    @inlinable @inline(__always)
    public var boardIndex: Int { Int(perseus_command_local_offset(first)) }

    /// Slots of operands behind this header.
    @inlinable @inline(__always)
    public var operandSlotCount: Int {
        @_noLocks get { Int(perseus_command_operand_slots(first)) }
    }

    /// Slots in all: the header and its operands.
    @inlinable @inline(__always)
    public var slotCount: Int {
        @_noLocks get { 1 &+ operandSlotCount }
    }
}

extension HeapRegion {
    @inlinable @inline(__always)
    init(validated rawValue: UInt32) {
        guard let region = HeapRegion(rawValue: UInt8(rawValue)) else {
            preconditionFailure("Command: undefined region")
        }
        self = region
    }
}
