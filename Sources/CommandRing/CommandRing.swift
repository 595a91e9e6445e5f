// The command ring over shared memory: geometry, creation, attachment and its invariants.
import CPerseusABI
import CPerseusShims
import PerseusPrimitives

/// A handle on a command ring: any number of producers, one consumer, no address inside the ring
/// itself.
///
/// Invariants
/// - `retired <= claimed <= retired + capacity`; both only grow.
/// - A slot is owned by the producer that claimed its position until its first word is published,
/// then by the
///   consumer until `retired` passes it. Nobody else touches it.
/// - A slot holds position `p` exactly when both of its parity bits equal `parity(of: p)`.
///
/// Copying the handle copies no memory. The memory must outlive every copy.
@frozen
public struct CommandRing: @unchecked Sendable {
    @usableFromInline let slots: UnsafeMutablePointer<UInt64>
    @usableFromInline let claimedWord: UnsafeMutablePointer<UInt64>
    @usableFromInline let retiredWord: UnsafeMutablePointer<UInt64>
    /// Slots; a power of two.
    public let capacity: Int
    /// 63 - log2(capacity): moves the lap's lowest bit to bit 63.
    @usableFromInline let parityShift: UInt64

    private init(base: UnsafeMutableRawPointer, capacity: Int) {
        let header = base.assumingMemoryBound(to: UInt64.self)
        claimedWord = header + CommandRing.claimedByteOffset / 8
        retiredWord = header + CommandRing.retiredByteOffset / 8
        slots = header + CommandRing.headerByteCount / 8
        self.capacity = capacity
        parityShift = UInt64(63 - capacity.trailingZeroBitCount)
    }

    /// Bytes that a ring of `capacity` slots occupies.
    public static func byteCount(capacity: Int) -> Int {
        headerByteCount + capacity * PERSEUS_SLOT_BYTE_COUNT
    }

    /// Makes an empty ring of `capacity` slots at `base` and returns a handle on it.
    ///
    /// - Parameters:
    ///   - base: at least `byteCount(capacity:)` bytes, aligned to 128; everything in them is
    ///   overwritten.
    ///   - capacity: a power of two, at most 2^20.
    /// - Threading: before anybody else knows `base`.
    public static func initialize(at base: UnsafeMutableRawPointer, capacity: Int) -> CommandRing {
        precondition(isLegal(capacity), "CommandRing: capacity must be a power of two up to 2^20")
        precondition(UInt(bitPattern: base) % 128 == 0, "CommandRing: memory not aligned to 128")
        base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount(capacity: capacity))
        base.storeBytes(of: UInt32(PERSEUS_RING_VERSION), toByteOffset: 8, as: UInt32.self)
        base.storeBytes(of: UInt32(capacity), toByteOffset: 12, as: UInt32.self)
        // Last and released: an attacher that sees the magic number sees everything above.
        perseus_store_release(base.assumingMemoryBound(to: UInt64.self), PERSEUS_RING_MAGIC)
        return CommandRing(base: base, capacity: capacity)
    }

    /// A handle on a ring that somebody else initialised.
    ///
    /// - Parameters:
    ///   - base: start of the ring, aligned to 128.
    ///   - byteCount: bytes that may be read from `base` on.
    /// - Throws: `PerseusError.badInput` when the bytes are not a ring of this version that fits.
    public static func attach(
        at base: UnsafeMutableRawPointer, byteCount available: Int
    ) throws(PerseusError) -> CommandRing {
        guard UInt(bitPattern: base) % 128 == 0 else {
            throw PerseusError(.badInput, "command ring: memory not aligned to 128 bytes")
        }
        guard available >= headerByteCount else {
            throw PerseusError(
                .badInput, "command ring: \(available) bytes are less than its header")
        }
        let magic = perseus_load_acquire(base.assumingMemoryBound(to: UInt64.self))
        guard magic == PERSEUS_RING_MAGIC else {
            throw PerseusError(
                .badInput, "command ring: magic number 0x\(String(magic, radix: 16)) is not a ring")
        }
        let version = base.load(fromByteOffset: 8, as: UInt32.self)
        guard version == UInt32(PERSEUS_RING_VERSION) else {
            throw PerseusError(
                .badInput,
                "command ring: layout version \(version), expected \(PERSEUS_RING_VERSION)")
        }
        let capacity = Int(base.load(fromByteOffset: 12, as: UInt32.self))
        guard isLegal(capacity), available >= CommandRing.byteCount(capacity: capacity) else {
            throw PerseusError(
                .badInput, "command ring: capacity \(capacity) is illegal or exceeds its memory")
        }
        return CommandRing(base: base, capacity: capacity)
    }

    /// The ring, of `ringCount`, that carries every command to `destination`.
    ///
    /// One ring has one proxy thread, so a group's puts and its signal cannot pass each other.
    @inlinable @inline(__always)
    public static func ringIndex(destination: Int, ringCount: Int) -> Int {
        Int(perseus_ring_index(UInt32(destination), UInt32(ringCount)))
    }

    private static func isLegal(_ capacity: Int) -> Bool {
        capacity > 0 && capacity & (capacity - 1) == 0
            && capacity <= PERSEUS_RING_MAX_CAPACITY
    }

    private static var headerByteCount: Int { MemoryLayout<perseus_ring_header>.size }
    private static var claimedByteOffset: Int { 128 }
    private static var retiredByteOffset: Int { 256 }
}

// MARK: - Reading positions

extension CommandRing {
    /// Positions handed to producers so far, unit: slots.
    @inlinable @inline(__always)
    public var claimedPosition: UInt64 {
        @_noLocks get { perseus_load_relaxed(claimedWord) }
    }

    /// Positions that the consumer has copied out, unit: slots. Acquires the consumer's reads of
    /// those slots.
    @inlinable @inline(__always)
    public var retiredPosition: UInt64 {
        @_noLocks get { perseus_load_acquire(retiredWord) }
    }

    /// The parity bit, in place, of a slot published at `position`: set on even laps.
    @_noLocks
    @inlinable @inline(__always)
    func parity(of position: UInt64) -> UInt64 {
        (~position &<< parityShift) & (1 &<< 63)
    }

    /// The slot of `position`; its first word, the second one follows.
    @_noLocks
    @inlinable @inline(__always)
    func slot(at position: UInt64) -> UnsafeMutablePointer<UInt64> {
        slots + Int(truncatingIfNeeded: position & UInt64(truncatingIfNeeded: capacity &- 1)) &* 2
    }
}
