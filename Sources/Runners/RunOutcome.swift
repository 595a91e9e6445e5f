// What a runner says after a layer: when it ended, what it did, and why it stopped if it did.

import PerseusProxy

/// The end of one run of a layer.
public struct RunOutcome: Sendable {
    /// From the first step to the last rank's last combined token; modelled or measured, by the runner.
    public var layerNanoseconds: UInt64 = 0
    /// By rank: when the kernel said that what is to be measured begins.
    public var measuredFrom: [Int: UInt64] = [:]
    /// Multiplying and combining of the busiest rank, divided by its processors.
    public var computeNanoseconds: UInt64 = 0
    public var counters = ProxyCounters()
    /// Events or steps handled.
    public var stepCount = 0
    public var failure: RunFailure?

    public init() {}

    /// Time of the layer that the busiest rank's arithmetic does not explain.
    public var exposedCommunicationNanoseconds: UInt64 {
        layerNanoseconds > computeNanoseconds ? layerNanoseconds - computeNanoseconds : 0
    }
}

/// Why a layer did not end: what is stuck, and who waits for what.
public struct RunFailure: Sendable, CustomStringConvertible {
    /// The run's clock when it was given up, nanoseconds.
    public var at: UInt64
    public var cause: String
    /// One line per stuck or failed operation and per waiting rank.
    public var lines: [String]

    public init(at: UInt64, cause: String, lines: [String]) {
        self.at = at
        self.cause = cause
        self.lines = lines
    }

    public var description: String {
        ([cause] + lines.map { "  " + $0 }).joined(separator: "\n")
    }
}
