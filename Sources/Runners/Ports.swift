// The two ways out of a kernel: rings to proxies, or the NIC itself.

import CPerseusShims
import PerseusCommandRing
import PerseusMegakernel
import PerseusProxy
import PerseusSoftNIC

/// Commands through the rings of a rank; the ring is chosen by destination, so one proxy sees all of a lane.
///
/// - Threading: pushes from any role; quiets from the dispatcher only.
final class RingPort: CommandPort {
    private let rings: [CommandRing]
    private let boards: [CompletionBoard]
    private var askedCount: UInt64 = 0
    private var nextQuietRing = 0

    init(rings: [CommandRing], boards: [CompletionBoard]) {
        self.rings = rings
        self.boards = boards
    }

    private func ring(of command: Command) -> CommandRing {
        rings[command.destination % rings.count]
    }

    func tryPush(_ put: Command, signal: Command, words: UnsafeBufferPointer<UInt64>) -> Bool {
        ring(of: put).tryPush(put, signal, operands: words)
    }

    func tryPush(_ put: Command) -> Bool { ring(of: put).tryPush(put) }

    func tryPush(signal: Command, words: UnsafeBufferPointer<UInt64>) -> Bool {
        ring(of: signal).tryPush(header: signal, operands: words)
    }

    func tryPushQuiet() -> Bool {
        while nextQuietRing < rings.count {
            guard rings[nextQuietRing].tryPush(.quiet(boardIndex: 0)) else { return false }
            nextQuietRing += 1
        }
        nextQuietRing = 0
        askedCount += 1
        return true
    }

    var isQuiet: Bool { boards.allSatisfy { $0.published(0) == askedCount } }
}

/// Work requests written by the kernel's roles: the lane code of the proxy, run by whoever has something to send.
///
/// - Threading: roles and the completion poller take turns by a try-lock; a role that does not get it tries again.
final class DirectPort: CommandPort {
    private let proxy: UnsafeMutablePointer<ProxyLoop<SoftNICEndpoint>>
    private let clock: UnsafeMutablePointer<StepClock>
    private let board: CompletionBoard
    private let lock: UnsafeMutablePointer<UInt64>
    private var askedCount: UInt64 = 0

    init(
        proxy: UnsafeMutablePointer<ProxyLoop<SoftNICEndpoint>>,
        clock: UnsafeMutablePointer<StepClock>, board: CompletionBoard
    ) {
        self.proxy = proxy
        self.clock = clock
        self.board = board
        lock = .allocate(capacity: 1)
        lock.initialize(to: 0)
    }

    deinit { lock.deallocate() }

    /// Runs `body` unless another role is posting; nil then.
    func exclusively<Result>(_ body: () -> Result) -> Result? {
        guard perseus_compare_exchange_acquire_release(lock, 0, 1) else { return nil }
        defer { perseus_store_release(lock, 0) }
        return body()
    }

    private nonisolated(unsafe) static let noWords = UnsafeBufferPointer<UInt64>(
        start: nil, count: 0)

    func tryPush(_ put: Command, signal: Command, words: UnsafeBufferPointer<UInt64>) -> Bool {
        exclusively {
            // A backlog with room for the larger of the two has room for both (see `submit`).
            guard proxy.pointee.submit(put, words: Self.noWords, now: clock.pointee.now) else {
                return false
            }
            let isSignaled = proxy.pointee.submit(signal, words: words, now: clock.pointee.now)
            precondition(isSignaled, "DirectPort: no room for a signal behind its put")
            proxy.pointee.finishSubmission()
            return true
        } ?? false
    }

    func tryPush(_ put: Command) -> Bool { submit(put, words: Self.noWords) }

    func tryPush(signal: Command, words: UnsafeBufferPointer<UInt64>) -> Bool {
        submit(signal, words: words)
    }

    private func submit(_ command: Command, words: UnsafeBufferPointer<UInt64>) -> Bool {
        exclusively {
            let isTaken = proxy.pointee.submit(command, words: words, now: clock.pointee.now)
            proxy.pointee.finishSubmission()
            return isTaken
        } ?? false
    }

    func tryPushQuiet() -> Bool {
        guard submit(.quiet(boardIndex: 0), words: Self.noWords) else { return false }
        askedCount += 1
        return true
    }

    var isQuiet: Bool { board.published(0) == askedCount }
}
