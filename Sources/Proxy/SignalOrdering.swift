// Stage 6 of 10 — order: the ways to keep a signal behind its data, and what each needs.
// Upstream:   ProxyLoop.swift
// Downstream: ProxyLoop+Order.swift

import PerseusTransport

/// How a signal stays behind the data of its group.
///
/// The contract of every ordering: **once a signal word is visible at the peer, every put that was pushed to the
/// same destination before that signal is visible there too.** Nothing is promised between destinations.
///
/// | ordering | before the signal | the signal itself | obligation |
/// |---|---|---|---|
/// | `drain-all` | wait for every completion | inline write | completion implies visibility |
/// | `drain-peer` | wait for this destination's completions | inline write | the same |
/// | `fence-flag` | - | inline write, fence flag on the first of a group | the flag covers earlier writes |
/// | `in-order` | - | inline write | writes of one queue pair become visible in order |
/// | `provider-order` | - | inline write | the provider documents write-after-write order |
/// | `counted-immediate` | every put carries an immediate | write with immediate to the shadow; the receiver counts | exactly-once immediates |
/// | `immediate-last` | - | write with immediate to the shadow; the receiver publishes | the receive completion covers earlier writes |
/// | `atomic` | - | fetch-add | atomics run after earlier writes |
/// | `none` | - | inline write | never proven: for tests that must fail |
public enum SignalOrdering: String, CaseIterable, Sendable {
    case inOrder = "in-order"
    case providerOrder = "provider-order"
    case immediateLast = "immediate-last"
    case countedImmediate = "counted-immediate"
    case fenceFlag = "fence-flag"
    case atomic = "atomic"
    case drainPeer = "drain-peer"
    case drainAll = "drain-all"
    case none = "none"

    /// What a transport must promise for this ordering to be correct; nil: nothing could make it so.
    public var obligation: OrderingGuarantee? {
        switch self {
        case .inOrder: .writesInOrder
        case .providerOrder: .providerWriteAfterWrite
        case .immediateLast: .immediateCoversEarlierWrites
        case .countedImmediate: .immediatesExactlyOnce
        case .fenceFlag: .fenceCoversWrites
        case .atomic: .atomicAfterWrites
        case .drainPeer, .drainAll: .completionImpliesVisibility
        case .none: nil
        }
    }

    /// Whether the obligation is met, in one sentence either way.
    public func proof(on guarantees: OrderingGuarantees) -> (isProven: Bool, reason: String) {
        guard let obligation else {
            return (false, "ordering \(rawValue) orders nothing; it exists to show what breaks")
        }
        if let source = guarantees.source(of: obligation) {
            return (true, "\(obligation.clause): \(source)")
        }
        return (
            false,
            "ordering \(rawValue) needs \(obligation.clause), which this fabric does not promise"
        )
    }

    /// The cheapest ordering whose obligation is met.
    ///
    /// Cost order: nothing at all; a receiver's CPU; a pause of the NIC; a round trip; a wait of the proxy.
    /// `allCases` is written in that order.
    public static func cheapest(on guarantees: OrderingGuarantees) -> SignalOrdering? {
        allCases.first { $0.proof(on: guarantees).isProven }
    }

    /// No pause, wait, flag or receiver work: signals may leave one by one.
    public var isFree: Bool { self == .inOrder || self == .providerOrder || self == .none }

    /// The receiver's proxy publishes the signal words.
    public var usesImmediates: Bool { self == .countedImmediate || self == .immediateLast }

    /// The mechanics, as the proxy executes them.
    public var plan: OrderingPlan {
        switch self {
        case .inOrder, .providerOrder, .none: OrderingPlan()
        case .fenceFlag: OrderingPlan(flagsSignal: true)
        case .drainPeer: OrderingPlan(wait: .peer)
        case .drainAll: OrderingPlan(wait: .all)
        case .atomic: OrderingPlan(form: .addition)
        case .immediateLast: OrderingPlan(form: .immediate)
        case .countedImmediate: OrderingPlan(form: .immediate, countsData: true)
        }
    }
}

/// An ordering as the proxy's inner loop sees it: what to wait for, what to flag, how the signal travels.
@frozen
public struct OrderingPlan: BitwiseCopyable, Sendable {
    @frozen
    public enum Wait: UInt8, BitwiseCopyable, Sendable { case none, peer, all }
    @frozen
    public enum Form: UInt8, BitwiseCopyable, Sendable { case write, immediate, addition }

    public var wait: Wait
    /// The first signal of a group carries the NIC's fence flag.
    public var flagsSignal: Bool
    public var form: Form
    /// Every put carries an immediate that the receiver counts.
    public var countsData: Bool

    public init(
        wait: Wait = .none, flagsSignal: Bool = false, form: Form = .write, countsData: Bool = false
    ) {
        self.wait = wait
        self.flagsSignal = flagsSignal
        self.form = form
        self.countsData = countsData
    }

    /// A signal behind unordered data costs an action of its own.
    @inlinable @inline(__always)
    public var ordersBySignal: Bool { wait != .none || flagsSignal }
}
