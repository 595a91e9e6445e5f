// How the processes of one job find each other: what a transport may ask of whoever launched it.

import PerseusPrimitives

/// A rank that will take no further part, and why.
public struct RankLoss: Equatable, Sendable, CustomStringConvertible {
    public let rank: Int
    /// A clause that goes behind "rank 3": "closed its connection (it ended or was killed)".
    public let reason: String

    public init(rank: Int, reason: String) {
        self.rank = rank
        self.reason = reason
    }

    public var description: String { "rank \(rank) \(reason)" }
}

/// The processes of one job, one rank each, and the few things that they do together outside the data path.
///
/// Every rank calls the same steps in the same order; `step` names them, and a rank that is at another one is
/// refused by name. Blobs are opaque: what addresses look like is a transport's business.
///
/// - Errors: `deadline` when the step is not over in time or a rank is lost meanwhile, with its name.
/// - Threading: one thread calls the steps; losses may be asked for on any.
public protocol Rendezvous: AnyObject, Sendable {
    var rank: Int { get }
    var rankCount: Int { get }
    /// Names the job in memory that its ranks share.
    var jobFingerprint: UInt64 { get }

    /// Gives `blob` to every rank; returns all of them by rank.
    func exchange(_ blob: [UInt8], step: String) throws(PerseusError) -> [[UInt8]]

    /// Returns when every rank has come here.
    func barrier(step: String) throws(PerseusError)

    /// Gives `bytes` to rank 0, which gets all of them by rank; the others get nothing.
    func gather(_ bytes: [UInt8], step: String) throws(PerseusError) -> [[UInt8]]

    /// A barrier that does not wait: says that this rank has come to `step`. Once for each step.
    func arrive(step: String)

    /// Every rank has come to the step that this rank arrived at last. One load: may be polled.
    var haveAllArrived: Bool { get }

    /// Ranks lost so far. One load: may be polled.
    var lossCount: Int { get }

    /// In the order in which they were noticed: the first is the cause of what follows.
    var losses: [RankLoss] { get }

    /// Somebody asked this process to end. One load: may be polled.
    var isInterrupted: Bool { get }
}
