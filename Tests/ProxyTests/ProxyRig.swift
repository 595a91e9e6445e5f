// A proxy over a scripted NIC, fed through a real command ring.

import PerseusCommandRing
import PerseusProxy
import PerseusTransport
import Testing

/// One `ProxyLoop` with its ring, board and NIC, and short ways to push commands.
///
/// Payloads and signal words are chosen by the test; sources lie where nobody looks.
final class ProxyRig {
    let nic: NICScript
    let ring: CommandRing
    let board: CompletionBoard
    var loop: ProxyLoop<ScriptedNIC>
    /// The clock of `step`, nanoseconds.
    var now: UInt64 = 0
    private let memory: UnsafeMutableRawPointer

    /// - Parameter configure: changes the defaults, which coalesce nothing and ask for every completion.
    init(
        _ ordering: SignalOrdering, nic: NICScript = NICScript(), ranks: Int = 4,
        ringCapacity: Int = 256, receiver: consuming ImmediateReceiver = ImmediateReceiver(),
        configure: (inout ProxyConfiguration) -> Void = { _ in }
    ) {
        self.nic = nic
        memory = .allocate(
            byteCount: CommandRing.byteCount(capacity: ringCapacity), alignment: 128)
        ring = CommandRing.initialize(at: memory, capacity: ringCapacity)
        board = CompletionBoard(wordCount: 2)
        var configuration = ProxyConfiguration()
        configuration.signalInterval = 1
        configure(&configuration)
        loop = ProxyLoop(
            transport: ScriptedNIC(script: nic), rings: [ring], rankCount: ranks,
            ordering: ordering, receiver: receiver, board: board, configuration: configuration)
    }

    deinit {
        memory.deallocate()
        board.deallocate()
    }

    var counters: ProxyCounters { loop.counters }
    var failure: StuckOperation? { loop.failure }

    // MARK: Commands

    @discardableResult
    func put(
        _ destination: Int, at offset: Int = 0, bytes: Int = 32, flags: CommandFlags = []
    ) -> Bool {
        ring.tryPush(
            .put(
                destination: destination, source: HeapLocation(.data, byteOffset: offset),
                target: HeapLocation(.data, byteOffset: offset), byteCount: bytes, flags: flags))
    }

    @discardableResult
    func signal(
        _ destination: Int, at word: Int = 0, _ words: [UInt64] = [1], flags: CommandFlags = []
    ) -> Bool {
        let header = Command.signalBlock(
            destination: destination, target: HeapLocation(.signal, byteOffset: word * 8),
            wordCount: words.count, flags: flags)
        return words.withUnsafeBufferPointer { ring.tryPush(header: header, operands: $0) }
    }

    @discardableResult
    func quiet(_ destination: Int = Command.everyDestination, board index: Int = 0) -> Bool {
        ring.tryPush(.quiet(destination: destination, boardIndex: index))
    }

    // MARK: Time

    @discardableResult
    func step(_ count: Int = 1) -> ProxyStep {
        var last = ProxyStep()
        for _ in 0..<count { last = loop.step(now: now) }
        return last
    }

    /// Completes everything that asked for it and steps, until nothing changes any more.
    func finish() {
        for _ in 0..<100 {
            nic.completeAll()
            if step().isIdle { return }
        }
        Issue.record("the proxy does not come to rest")
    }
}
