// The two ends of a lifeline, rank 0's and a member's, as the group's thread steps them.

import CPerseusShims
import PerseusPrimitives
import PerseusTransport

func monotonicNow() -> UInt64 { perseus_monotonic_nanoseconds() }

/// How the parts of a step are put together.
enum StepMode: UInt8 {
    /// Nothing; everybody is told when all have come.
    case barrier = 1
    /// Everybody gets everything.
    case exchange
    /// Rank 0 gets everything.
    case gather
}

/// What one rank brings to one step.
struct Contribution {
    /// Steps are counted from 1, alike on all ranks.
    var sequence: UInt32
    var mode: StepMode
    var step: String
    var bytes: [UInt8]

    /// Most bytes of one frame's part.
    static let partByteCount = 1 << 20

    /// The frames that carry it: parts of up to a megabyte, the last one marked.
    var frames: [Frame] {
        var frames: [Frame] = []
        var begin = 0
        repeat {
            let end = min(bytes.count, begin + Self.partByteCount)
            var writer = ByteWriter()
            writer.append(sequence)
            writer.append(mode.rawValue)
            writer.append(UInt8(end == bytes.count ? 1 : 0))
            writer.append(step)
            writer.append(Array(bytes[begin..<end]))
            frames.append(Frame(kind: .contribution, payload: writer.bytes))
            begin = end
        } while begin < bytes.count
        return frames
    }

    /// A part, as `frames` made it.
    struct Part {
        var sequence: UInt32
        var mode: StepMode
        var isLast: Bool
        var step: String
        var bytes: [UInt8]

        init?(_ payload: [UInt8]) {
            var reader = ByteReader(payload)
            guard let sequence = reader.integer(UInt32.self),
                let mode = reader.integer(UInt8.self).flatMap(StepMode.init(rawValue:)),
                let last = reader.integer(UInt8.self), last <= 1,
                let step = reader.text(), let bytes = reader.block(), reader.isAtEnd
            else { return nil }
            (self.sequence, self.mode, isLast) = (sequence, mode, last == 1)
            (self.step, self.bytes) = (step, bytes)
        }
    }
}

/// What happened on the lifeline, for the group.
enum GroupEvent {
    case result(sequence: UInt32, blobs: [[UInt8]])
    case loss(RankLoss)
}

/// One end of the lifeline.
///
/// - Threading: one owner at a time: who joins, then the group's thread.
protocol GroupEnd: AnyObject {
    /// What to wait for before the next step.
    var descriptors: [(descriptor: Int32, wantsWrite: Bool)] { get }
    /// Takes and sends what there is, without waiting.
    func step(now: UInt64)
    func contribute(_ contribution: Contribution)
    /// Tells the others that this rank is done (nil) or has failed, and why.
    func leave(failure: String?)
    func takeEvents() -> [GroupEvent]
    /// By step: the ranks that have not come to it, as far as this end knows.
    var absent: [UInt32: [Int]] { get }
}

/// The times of a lifeline, nanoseconds.
struct LifelineTimes {
    /// Nothing is heard of a rank for this long: it is taken for stopped.
    var silence: UInt64
    var heartbeat: UInt64 { max(20_000_000, min(500_000_000, silence / 6)) }

    static func silence(_ nanoseconds: UInt64) -> String {
        "\(nanoseconds / 1_000_000_000).\(nanoseconds / 100_000_000 % 10) s"
    }
}

let closedReason = "is gone: its connection closed (it ended or was killed)"
func silentReason(_ nanoseconds: UInt64) -> String {
    "does not answer: nothing heard for \(LifelineTimes.silence(nanoseconds)) (stopped, or its machine hangs)"
}
