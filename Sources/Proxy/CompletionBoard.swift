// Where a producer learns that everything it pushed before a `quiet` has completed.

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusPrimitives

/// Words that count the quiets published so far, and the quiets that are still waited for.
///
/// A producer remembers `published` of its word, pushes a quiet that names the word, and waits until the count has
/// grown. One producer per word.
///
/// - Threading: the proxy writes (release); producers read (acquire).
@frozen
public struct CompletionBoard: BitwiseCopyable {
    @usableFromInline let words: UnsafeMutablePointer<UInt64>
    @usableFromInline let wordCount: Int
    private let ownsWords: Bool
    /// [wordCount]: destination waited for, `everyDestination`, or `notWaiting`.
    @usableFromInline let waits: UnsafeMutablePointer<Int32>
    @usableFromInline var waitingCount: Int = 0

    @inlinable @inline(__always)
    static var everyDestination: Int32 { -1 }
    @inlinable @inline(__always)
    static var notWaiting: Int32 { -2 }

    /// A board of `wordCount` words, none of them published; end it with `deallocate`.
    public init(wordCount: Int) {
        self.init(wordCount: wordCount, words: nil)
    }

    /// - Parameter words: where producers look, if they cannot look everywhere; stays the caller's.
    public init(wordCount: Int, words external: UnsafeMutablePointer<UInt64>?) {
        self.wordCount = wordCount
        ownsWords = external == nil
        words = external ?? .allocateDense(capacity: max(1, wordCount))
        words.initialize(repeating: 0, count: max(1, wordCount))
        waits = .allocateDense(capacity: max(1, wordCount))
        waits.initialize(repeating: Self.notWaiting, count: max(1, wordCount))
    }

    /// Frees the memory; the owner calls it when neither proxy nor producers run any more.
    public func deallocate() {
        if ownsWords { words.deallocateDense() }
        waits.deallocateDense()
    }

    /// Quiets published on word `index` so far.
    public func published(_ index: Int) -> UInt64 {
        perseus_load_acquire(words + index)
    }

    @inlinable @inline(__always)
    var isWaiting: Bool { waitingCount > 0 }

    /// Notes a drained quiet command.
    @inlinable
    mutating func expect(_ command: Command, destination: Int) {
        let index = command.boardIndex
        precondition(index < wordCount, "CompletionBoard: no such word")
        precondition(waits[index] == Self.notWaiting, "CompletionBoard: word is waited for already")
        waits[index] =
            destination == Command.everyDestination
            ? Self.everyDestination : Int32(truncatingIfNeeded: destination)
        waitingCount &+= 1
    }

    /// Publishes the waits for which `isQuiet(destination)` holds (-1 asks for every destination); returns how many.
    @inlinable
    mutating func publish(where isQuiet: (Int) -> Bool) -> UInt32 {
        var count: UInt32 = 0
        for index in 0..<wordCount where waits[index] != Self.notWaiting {
            guard isQuiet(Int(waits[index])) else { continue }
            waits[index] = Self.notWaiting
            waitingCount &-= 1
            perseus_store_release(words + index, perseus_load_relaxed(words + index) &+ 1)
            count &+= 1
        }
        return count
    }
}
