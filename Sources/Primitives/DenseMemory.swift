// Tables of a job in dense memory: see perseus_dense_memory.h.

import CPerseusShims

extension UnsafeMutablePointer where Pointee: ~Copyable {
    /// Uninitialised memory for `capacity` elements beside what this thread asked for before; end it with
    /// `deallocateDense`.
    ///
    /// - Parameter alignment: of the first element, where it is to begin with a cache line.
    public static func allocateDense(
        capacity: Int, alignment: Int = MemoryLayout<Pointee>.alignment
    ) -> UnsafeMutablePointer {
        UnsafeMutableRawPointer.allocateDense(
            byteCount: capacity * MemoryLayout<Pointee>.stride, alignment: alignment
        ).bindMemory(to: Pointee.self, capacity: capacity)
    }

    public func deallocateDense() { perseus_dense_free(self) }

    /// Moves `count` elements to memory for `capacity` of them.
    public mutating func growDense(
        from count: Int, to capacity: Int, alignment: Int = MemoryLayout<Pointee>.alignment
    ) {
        let larger = Self.allocateDense(capacity: capacity, alignment: alignment)
        larger.moveInitialize(from: self, count: count)
        deallocateDense()
        self = larger
    }
}

extension UnsafeMutableRawPointer {
    /// Uninitialised memory beside what this thread asked for before; end it with `deallocateDense`.
    public static func allocateDense(byteCount: Int, alignment: Int) -> UnsafeMutableRawPointer {
        perseus_dense_allocate(byteCount, alignment)
    }

    public func deallocateDense() { perseus_dense_free(self) }
}
