// The two proxies of `bench proxy`, each with a ring, a NIC and counters of its own.

import CBenchmarkBaselines
import PerseusCommandRing
import PerseusProxy

/// A proxy that can be handed a full ring and timed while it empties it.
protocol TimedProxy: AnyObject {
    var ring: CommandRing { get }
    /// Steps until a step finds nothing to do.
    func runUntilIdle()
    var counters: ProxyCounters { get }
    var checksum: UInt64 { get }
}

/// Slots of each ring.
private let ringCapacity = 4096

/// The proxy of Perseus on a `NullTransport`.
final class SwiftProxy: TimedProxy {
    let ring: CommandRing
    private let memory: UnsafeMutableRawPointer
    private let board: CompletionBoard
    private let proxy: UnsafeMutablePointer<ProxyLoop<NullTransport>>
    private var now: UInt64 = 0

    init(rankCount: Int, ordering: SignalOrdering) {
        memory = .allocate(
            byteCount: CommandRing.byteCount(capacity: ringCapacity), alignment: 128)
        ring = CommandRing.initialize(at: memory, capacity: ringCapacity)
        board = CompletionBoard(wordCount: 1)
        proxy = .allocate(capacity: 1)
        proxy.initialize(
            to: ProxyLoop(
                transport: NullTransport(queueCount: rankCount), rings: [ring],
                rankCount: rankCount, ordering: ordering, receiver: ImmediateReceiver(),
                board: board, configuration: ProxyConfiguration()))
    }

    deinit {
        proxy.deinitialize(count: 1)
        proxy.deallocate()
        board.deallocate()
        memory.deallocate()
    }

    func runUntilIdle() { now = stepUntilIdle(proxy, from: now) }

    var counters: ProxyCounters { proxy.pointee.counters }
    var checksum: UInt64 { proxy.pointee.transport.checksum }
}

/// Steps until a step finds nothing to do; returns the time, which grows by one each step.
@inline(never)
private func stepUntilIdle(
    _ proxy: UnsafeMutablePointer<ProxyLoop<NullTransport>>, from start: UInt64
) -> UInt64 {
    var now = start
    repeat { now &+= 1 } while !proxy.pointee.step(now: now).isIdle
    return now
}

/// The same loop in C, on a ring that Swift fills.
final class BaselineProxy: TimedProxy {
    let ring: CommandRing
    private let memory: UnsafeMutableRawPointer
    private let proxy: OpaquePointer
    private var now: UInt64 = 0

    init(rankCount: Int, ordering: SignalOrdering) {
        memory = .allocate(
            byteCount: CommandRing.byteCount(capacity: ringCapacity), alignment: 128)
        ring = CommandRing.initialize(at: memory, capacity: ringCapacity)
        let plan = ordering.plan
        proxy = perseus_baseline_proxy_create(
            memory, UInt32(rankCount), UInt32(rankCount),
            perseus_baseline_plan(
                wait: plan.wait.rawValue, flags_signal: plan.flagsSignal,
                is_immediate: plan.form == .immediate, counts_data: plan.countsData))
    }

    deinit {
        perseus_baseline_proxy_destroy(proxy)
        memory.deallocate()
    }

    func runUntilIdle() { _ = perseus_baseline_proxy_run(proxy, &now) }

    var counters: ProxyCounters {
        let own = perseus_baseline_proxy_counters(proxy)
        var counters = ProxyCounters()
        counters.commands = own.commands
        counters.dispatchPuts = own.dispatch_puts
        counters.combinePuts = own.combine_puts
        counters.signals = own.signals
        counters.signalWords = own.signal_words
        counters.dispatchFences = own.dispatch_fences
        counters.combineFences = own.combine_fences
        counters.drains = own.drains
        counters.drainNanoseconds = own.drain_nanoseconds
        counters.doorbells = own.doorbells
        counters.completions = own.completions
        counters.bytesSent = own.bytes_sent
        counters.parkedCommands = own.parked_commands
        return counters
    }

    var checksum: UInt64 { perseus_baseline_proxy_checksum(proxy) }
}
