// What a proxy did, in plain sums: one writer, readable by others after the run or approximately during it.

/// Sums over the life of one proxy. Names are those of the run report.
@frozen
public struct ProxyCounters: BitwiseCopyable, Sendable {
    /// Commands drained from the rings.
    public var commands: UInt64 = 0
    public var dispatchPuts: UInt64 = 0
    public var combinePuts: UInt64 = 0
    /// Work requests that carry signal words; one coalesced write counts once.
    public var signals: UInt64 = 0
    /// Signal words carried by them.
    public var signalWords: UInt64 = 0
    /// Ordering actions that a signal demanded: waited for or flagged.
    public var dispatchFences: UInt64 = 0
    public var combineFences: UInt64 = 0
    /// Fences for which the proxy waited.
    public var drains: UInt64 = 0
    /// Time between the start and the end of those waits; waits of different lanes may overlap.
    public var drainNanoseconds: UInt64 = 0
    public var doorbells: UInt64 = 0
    public var completions: UInt64 = 0
    public var receiveCompletions: UInt64 = 0
    public var bytesSent: UInt64 = 0
    /// Commands that found their lane parked and waited in the backlog.
    public var parkedCommands: UInt64 = 0
    /// Commands dropped because their peer is dead.
    public var droppedCommands: UInt64 = 0

    @inlinable
    public init() {}

    public static func += (sum: inout ProxyCounters, other: ProxyCounters) {
        sum.commands += other.commands
        sum.dispatchPuts += other.dispatchPuts
        sum.combinePuts += other.combinePuts
        sum.signals += other.signals
        sum.signalWords += other.signalWords
        sum.dispatchFences += other.dispatchFences
        sum.combineFences += other.combineFences
        sum.drains += other.drains
        sum.drainNanoseconds += other.drainNanoseconds
        sum.doorbells += other.doorbells
        sum.completions += other.completions
        sum.receiveCompletions += other.receiveCompletions
        sum.bytesSent += other.bytesSent
        sum.parkedCommands += other.parkedCommands
        sum.droppedCommands += other.droppedCommands
    }
}
