// A member's end of the lifeline: what comes from rank 0, and what goes to it.

import PerseusPrimitives
import PerseusTransport

/// The end of every rank but 0.
final class Member: GroupEnd {
    private let connection: Connection
    private let times: LifelineTimes
    private var events: [GroupEvent] = []
    private var lastStep: UInt64
    private var lastHeartbeat: UInt64
    private var isOver = false
    private var hasFarewell = false
    /// The last step that this rank brought something to, until its result is here.
    private var awaited: UInt32?
    private var partial: [[UInt8]] = []

    init(admitted connection: Connection, times: LifelineTimes, now: UInt64) {
        self.connection = connection
        self.times = times
        lastStep = now
        lastHeartbeat = now
        connection.lastHeard = now
    }

    var descriptors: [(descriptor: Int32, wantsWrite: Bool)] {
        isOver ? [] : [(connection.descriptor, connection.hasOutgoing)]
    }

    /// Rank 0 knows.
    var absent: [UInt32: [Int]] { [:] }

    func takeEvents() -> [GroupEvent] {
        defer { events = [] }
        return events
    }

    func step(now: UInt64) {
        if now &- lastStep > 3 * times.heartbeat { connection.lastHeard = now }
        lastStep = now
        guard !isOver else { return }
        connection.receive(now: now)
        connection.flush()
        do throws(MalformedFrame) {
            while let frame = try connection.reader.next(), !isOver { try hear(frame) }
        } catch {
            return lose("sent what is no part of the rendezvous: \(error.reason)")
        }
        if connection.isClosed {
            return lose(hasFarewell ? "has left the job" : closedReason)
        }
        if now > connection.lastHeard, now &- connection.lastHeard > times.silence {
            return lose(silentReason(now &- connection.lastHeard))
        }
        if now &- lastHeartbeat >= times.heartbeat {
            lastHeartbeat = now
            connection.send(Frame(kind: .heartbeat))
        }
    }

    /// Rank 0 is lost, and with it the way to all others. One that has said farewell owes nothing but a result.
    private func lose(_ reason: String) {
        guard !isOver else { return }
        isOver = true
        if hasFarewell && awaited == nil { return }
        events.append(.loss(RankLoss(rank: 0, reason: reason)))
    }

    private func hear(_ frame: Frame) throws(MalformedFrame) {
        var reader = ByteReader(frame.payload)
        switch frame.kind {
        case .heartbeat: break
        case .result: try takeResult(&reader)
        case .loss:
            guard let rank = reader.integer(UInt32.self), let reason = reader.text() else {
                throw MalformedFrame(reason: "a broken notice")
            }
            events.append(.loss(RankLoss(rank: Int(rank), reason: reason)))
        case .failure: lose("failed: \(reader.text() ?? "without a reason")")
        case .farewell: hasFarewell = true
        default: throw MalformedFrame(reason: "an unexpected \(frame.kind)")
        }
    }

    private func takeResult(_ reader: inout ByteReader) throws(MalformedFrame) {
        guard let sequence = reader.integer(UInt32.self), let isLast = reader.integer(UInt8.self),
            let count = reader.integer(UInt32.self)
        else { throw MalformedFrame(reason: "a broken result") }
        for _ in 0..<count {
            guard let blob = reader.block() else {
                throw MalformedFrame(reason: "a broken result")
            }
            partial.append(blob)
        }
        guard isLast == 1 else { return }
        if awaited == sequence { awaited = nil }
        events.append(.result(sequence: sequence, blobs: partial))
        partial = []
    }

    func contribute(_ contribution: Contribution) {
        awaited = contribution.sequence
        for frame in contribution.frames { connection.send(frame) }
    }

    func leave(failure: String?) {
        guard !isOver else { return }
        connection.send(failure.map(failureFrame) ?? Frame(kind: .farewell))
        connection.finish(within: 500_000_000)
    }
}
