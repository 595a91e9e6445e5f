// A bounded queue between one producer and one consumer: the send and completion queues of the soft
// NIC.
import CPerseusShims
import PerseusPrimitives

/// A ring of `BitwiseCopyable` elements: one thread pushes, one thread pops.
///
/// Memory, in units of 128 bytes: the consumer's line (head, its copy of tail), the producer's line
/// (tail, its copy of head), then the elements. A side looks at the other's cursor only when its
/// copy says empty or full, so a busy queue moves about one line per batch instead of one per
/// element.
///
/// Where one thread is both sides, all words share a line, the elements have memory of their own that begins small and
/// grows, and an empty ring begins again at its first place: a simulation of many ranks finds it in few lines.
///
/// Copying the handle copies no memory. The memory must outlive every copy.
///
/// - Threading: one producer and one consumer at a time, in any processes that map the memory.
@frozen
public struct SPSCRing<Element: BitwiseCopyable>: @unchecked Sendable {
    @usableFromInline let head: UnsafeMutablePointer<UInt64>
    @usableFromInline let tail: UnsafeMutablePointer<UInt64>
    /// Of two threads; see `place` for one.
    @usableFromInline let elements: UnsafeMutablePointer<Element>
    /// Elements; a power of two.
    public let capacity: Int
    @usableFromInline let hasOneThread: Bool

    /// Bytes that a ring of `capacity` elements occupies.
    public static func byteCount(capacity: Int) -> Int {
        headerByteCount + capacity * MemoryLayout<Element>.stride
    }

    /// Makes an empty ring at `base`, which holds `byteCount(capacity:)` bytes aligned to 128.
    ///
    /// - Threading: before anybody else knows `base`.
    public static func initialize(at base: UnsafeMutableRawPointer, capacity: Int) -> SPSCRing {
        // Elements are written before they are read: what no element ever needs stays untouched.
        base.initializeMemory(as: UInt8.self, repeating: 0, count: headerByteCount)
        return attach(at: base, capacity: capacity)
    }

    /// A handle on a ring of `capacity` elements that somebody else initialised at `base`.
    public static func attach(at base: UnsafeMutableRawPointer, capacity: Int) -> SPSCRing {
        SPSCRing(base: base, capacity: capacity)
    }

    /// An empty ring in memory of its own; end it with `deallocate`.
    ///
    /// - Parameter hasOneThread: one thread is both sides.
    public static func allocate(capacity: Int, hasOneThread: Bool = false) -> SPSCRing {
        guard hasOneThread else {
            return initialize(
                at: .allocate(byteCount: byteCount(capacity: capacity), alignment: 128),
                capacity: capacity)
        }
        let words = UnsafeMutablePointer<UInt64>.allocateDense(
            capacity: OneThread.wordCount, alignment: 64)
        words.initialize(repeating: 0, count: OneThread.wordCount)
        let room = min(capacity, OneThread.firstRoom)
        let elements = UnsafeMutablePointer<Element>.allocateDense(capacity: room)
        words[OneThread.elements] = UInt64(UInt(bitPattern: elements))
        words[OneThread.room] = UInt64(room)
        return SPSCRing(oneThread: words, elements: elements, capacity: capacity)
    }

    /// Frees a ring that `allocate` made. No handle may be used afterwards.
    public func deallocate() {
        if hasOneThread {
            slot(at: 0).deallocateDense()
            head.deallocateDense()
        } else {
            UnsafeMutableRawPointer(head).deallocate()
        }
    }

    private init(base: UnsafeMutableRawPointer, capacity: Int) {
        precondition(
            capacity > 0 && capacity & (capacity - 1) == 0,
            "SPSCRing: capacity must be a power of two")
        precondition(UInt(bitPattern: base) % 128 == 0, "SPSCRing: memory not aligned to 128")
        precondition(MemoryLayout<Element>.alignment <= 128, "SPSCRing: element aligned over 128")
        head = base.assumingMemoryBound(to: UInt64.self)
        tail = head + 16
        elements = (base + SPSCRing.headerByteCount).assumingMemoryBound(to: Element.self)
        self.capacity = capacity
        hasOneThread = false
    }

    private init(
        oneThread words: UnsafeMutablePointer<UInt64>, elements: UnsafeMutablePointer<Element>,
        capacity: Int
    ) {
        precondition(
            capacity > 0 && capacity & (capacity - 1) == 0,
            "SPSCRing: capacity must be a power of two")
        head = words
        tail = words + OneThread.tail
        self.elements = elements
        self.capacity = capacity
        hasOneThread = true
    }

    private static var headerByteCount: Int { 256 }
}

// MARK: - Producer

extension SPSCRing {
    /// Appends `element`; false, and nothing has changed, when the ring is full.
    @inlinable @inline(__always)
    public func tryPush(_ element: Element) -> Bool {
        if hasOneThread { makeRoom() }
        let position = tail[0]
        if position &- tail[1] == UInt64(truncatingIfNeeded: capacity) {
            tail[1] = perseus_load_acquire(head)
            if position &- tail[1] == UInt64(truncatingIfNeeded: capacity) { return false }
        }
        slot(at: position).initialize(to: element)
        // Pairs with the acquire of `tail` in `peek`.
        perseus_store_release(tail, position &+ 1)
        return true
    }

    /// Whether the next `tryPush` will find room. For the producer.
    @inlinable @inline(__always)
    public var hasRoom: Bool {
        let full = UInt64(truncatingIfNeeded: capacity)
        if tail[0] &- tail[1] < full { return true }
        tail[1] = perseus_load_acquire(head)
        return tail[0] &- tail[1] < full
    }

    /// Free places; a lower bound while the consumer runs. For the producer.
    @inlinable @inline(__always)
    public var freeCount: Int {
        capacity &- Int(truncatingIfNeeded: tail[0] &- perseus_load_acquire(head))
    }
}

// MARK: - Consumer

extension SPSCRing {
    /// The oldest element in place, or nil when the ring is empty; valid until the next pop.
    @inlinable @inline(__always)
    public func peek() -> UnsafeMutablePointer<Element>? {
        let position = head[0]
        if position == head[1] {
            head[1] = perseus_load_acquire(tail)
            if position == head[1] { return nil }
        }
        return slot(at: position)
    }

    /// Moves the oldest element into `element`; false, and `element` is unchanged, when the ring is
    /// empty.
    @inlinable @inline(__always)
    public func tryPop(into element: inout Element) -> Bool {
        guard let oldest = peek() else { return false }
        element = oldest.pointee
        dropFirst()
        return true
    }

    /// Frees the place that `peek` returned, after its last use.
    @inlinable @inline(__always)
    public func dropFirst() {
        // Pairs with the acquire of `head` in `tryPush`.
        perseus_store_release(head, head[0] &+ 1)
    }
}

extension SPSCRing {
    /// Elements in the ring: exact for a ring at rest, a lower bound for the consumer, an upper
    /// bound for the producer.
    @inlinable @inline(__always)
    public var count: Int {
        // Head first: it never passes a tail that is read later, so the difference is never
        // negative.
        let head = perseus_load_acquire(head)
        return Int(truncatingIfNeeded: perseus_load_acquire(tail) &- head)
    }

    @inlinable @inline(__always)
    func slot(at position: UInt64) -> UnsafeMutablePointer<Element> {
        if hasOneThread {
            return place(position)
        }
        return elements
            + Int(truncatingIfNeeded: position & UInt64(truncatingIfNeeded: capacity &- 1))
    }
}

// MARK: - One thread

/// The words of a ring that one thread has for itself: head and its copy of tail, tail and its copy of head, then these.
@usableFromInline
enum OneThread {
    @usableFromInline static var tail: Int { 2 }
    /// Address of the elements.
    @usableFromInline static var elements: Int { 4 }
    /// Elements that there is memory for; a power of two.
    @usableFromInline static var room: Int { 5 }
    @usableFromInline static var wordCount: Int { 8 }
    /// Elements that there is memory for at first.
    static var firstRoom: Int { 16 }
}

extension SPSCRing {
    @inlinable @inline(__always)
    func place(_ position: UInt64) -> UnsafeMutablePointer<Element> {
        let address = UInt(truncatingIfNeeded: head[OneThread.elements])
        return UnsafeMutablePointer<Element>(bitPattern: address).unsafelyUnwrapped
            + Int(truncatingIfNeeded: position & (head[OneThread.room] &- 1))
    }

    /// Before a push: an empty ring begins again at its first place, and a full one grows up to the capacity.
    @inlinable @inline(__always)
    func makeRoom() {
        if tail[0] == head[0] {
            head.update(repeating: 0, count: OneThread.elements)
        } else if tail[0] &- head[0] == head[OneThread.room] {
            grow()
        }
    }

    @usableFromInline
    func grow() {
        let room = Int(head[OneThread.room])
        guard room < capacity else { return }
        let smaller = slot(at: 0)
        let larger = UnsafeMutablePointer<Element>.allocateDense(capacity: 2 * room)
        // The oldest element is the first again.
        for index in 0..<room { larger[index] = slot(at: head[0] &+ UInt64(index)).pointee }
        smaller.deallocateDense()
        head.update(repeating: 0, count: OneThread.elements)
        tail[0] = UInt64(room)
        head[1] = UInt64(room)
        head[OneThread.elements] = UInt64(UInt(bitPattern: larger))
        head[OneThread.room] = UInt64(2 * room)
    }
}
