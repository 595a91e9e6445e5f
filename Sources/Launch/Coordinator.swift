// Rank 0's end of the lifeline: lets members in, collects what they bring, hands results back.

import Glibc
import PerseusPrimitives
import PerseusTransport

/// The middle of the star. Steps never wait; strangers cost a bounded amount of memory and time
/// (`Coordinator+Joining`).
final class Coordinator: GroupEnd {
    /// -1 once everybody is here: nobody can join a running job.
    var listener: Int32
    let size: Int
    let token: JobToken
    let agreement: Agreement
    private let times: LifelineTimes
    var strangers: [Stranger] = []
    /// By rank, without rank 0 and without those that are gone.
    var members: [Int: Connection] = [:]
    private var lost: Set<Int> = []
    private var operations: [UInt32: Operation] = [:]
    private var events: [GroupEvent] = []
    private var lastStep: UInt64
    private var lastHeartbeat: UInt64
    /// Every rank has joined.
    var isAdmitted = false
    /// Why the job cannot be; final.
    var refusal: PerseusError?
    /// Connections closed because they did not prove that they know the token.
    var turnedAwayCount = 0
    /// Ranks that were told why the job cannot be.
    var toldCount = 0

    private struct Operation {
        let mode: StepMode
        let step: String
        let firstRank: Int
        var bytes: [Int: [UInt8]] = [:]
        var complete: Set<Int> = []
    }

    /// Takes the listening descriptor over.
    init(
        listener: Int32, size: Int, token: JobToken, agreement: Agreement, times: LifelineTimes,
        now: UInt64
    ) {
        self.listener = listener
        self.size = size
        self.token = token
        self.agreement = agreement
        self.times = times
        lastStep = now
        lastHeartbeat = now
        _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK)
        _ = fcntl(listener, F_SETFD, FD_CLOEXEC)
        if size == 1 { admitAll() }
    }

    deinit { if listener >= 0 { close(listener) } }

    var descriptors: [(descriptor: Int32, wantsWrite: Bool)] {
        (listener >= 0 ? [(listener, false)] : [])
            + strangers.map { ($0.connection.descriptor, $0.connection.hasOutgoing) }
            + members.values.map { ($0.descriptor, $0.hasOutgoing) }
    }

    var absent: [UInt32: [Int]] {
        operations.mapValues { operation in
            (0..<size).filter { !operation.complete.contains($0) }
        }
    }

    func takeEvents() -> [GroupEvent] {
        defer { events = [] }
        return events
    }

    func step(now: UInt64) {
        // Whoever was stopped itself has heard nothing, and must not blame others for it.
        if now &- lastStep > 3 * times.heartbeat { forgiveSilence(now) }
        lastStep = now
        if listener >= 0 {
            accept(now: now)
            serveStrangers(now: now)
        }
        for rank in members.keys.sorted() { serve(rank, now: now) }
        if isAdmitted { keepAlive(now: now) }
    }

    private func forgiveSilence(_ now: UInt64) {
        for connection in members.values { connection.lastHeard = now }
    }

    // MARK: Members

    private func serve(_ rank: Int, now: UInt64) {
        guard let connection = members[rank] else { return }
        connection.receive(now: now)
        connection.flush()
        do throws(MalformedFrame) {
            while let frame = try connection.reader.next() {
                try hear(frame, from: rank)
                guard members[rank] != nil else { return }
            }
        } catch {
            return lose(rank, "sent what is no part of the rendezvous: \(error.reason)")
        }
        if connection.isClosed { lose(rank, closedReason) }
    }

    private func hear(_ frame: Frame, from rank: Int) throws(MalformedFrame) {
        switch frame.kind {
        case .heartbeat: break
        case .contribution:
            guard let part = Contribution.Part(frame.payload) else {
                throw MalformedFrame(reason: "a broken contribution")
            }
            take(part, from: rank)
        case .failure:
            var reader = ByteReader(frame.payload)
            lose(rank, "failed: \(reader.text() ?? "without a reason")")
        case .farewell:
            members[rank] = nil
            if operations.values.contains(where: { !$0.complete.contains(rank) }) {
                lose(rank, "has left the job")
            }
        default: throw MalformedFrame(reason: "an unexpected \(frame.kind)")
        }
    }

    func contribute(_ contribution: Contribution) {
        for frame in contribution.frames {
            if let part = Contribution.Part(frame.payload) { take(part, from: 0) }
        }
    }

    private func take(_ part: Contribution.Part, from rank: Int) {
        var operation =
            operations[part.sequence]
            ?? Operation(mode: part.mode, step: part.step, firstRank: rank)
        guard operation.mode == part.mode, operation.step == part.step else {
            return lose(
                rank,
                "is at step \"\(part.step)\", rank \(operation.firstRank) at \"\(operation.step)\"")
        }
        operation.bytes[rank, default: []] += part.bytes
        if part.mode != .gather, operation.bytes[rank, default: []].count > exchangeByteLimit {
            return lose(rank, "brings more to \"\(part.step)\" than an exchange takes")
        }
        if part.isLast { operation.complete.insert(rank) }
        guard operation.complete.count == size else {
            operations[part.sequence] = operation
            return
        }
        operations[part.sequence] = nil
        finish(operation, part.sequence)
    }

    private func finish(_ operation: Operation, _ sequence: UInt32) {
        let blobs = (0..<size).map { operation.bytes[$0] ?? [] }
        let shared = operation.mode == .exchange ? blobs : []
        // In portions, so that no frame exceeds what a member takes.
        var first = 0
        repeat {
            var writer = ByteWriter()
            var end = first
            while end < shared.count,
                writer.bytes.count + shared[end].count < Self.memberFrameLimit / 2
            {
                writer.append(shared[end])
                end += 1
            }
            var head = ByteWriter()
            head.append(sequence)
            head.append(UInt8(end == shared.count ? 1 : 0))
            head.append(UInt32(end - first))
            let frame = Frame(kind: .result, payload: head.bytes + writer.bytes)
            for connection in members.values { connection.send(frame) }
            first = end
        } while first < shared.count
        events.append(
            .result(sequence: sequence, blobs: operation.mode == .barrier ? [] : blobs))
    }

    private func lose(_ rank: Int, _ reason: String) {
        members[rank] = nil
        guard lost.insert(rank).inserted else { return }
        guard isAdmitted else {
            return end("during the rendezvous rank \(rank) \(reason)", .deadline)
        }
        var writer = ByteWriter()
        writer.append(UInt32(rank))
        writer.append(reason)
        let frame = Frame(kind: .loss, payload: writer.bytes)
        for connection in members.values { connection.send(frame) }
        events.append(.loss(RankLoss(rank: rank, reason: reason)))
    }

    private func keepAlive(now: UInt64) {
        for (rank, connection) in members.sorted(by: { $0.key < $1.key })
        where now &- connection.lastHeard > times.silence && now > connection.lastHeard {
            lose(rank, silentReason(now &- connection.lastHeard))
        }
        guard now &- lastHeartbeat >= times.heartbeat else { return }
        lastHeartbeat = now
        for connection in members.values { connection.send(Frame(kind: .heartbeat)) }
    }

    func leave(failure: String?) {
        let frame = failure.map(failureFrame) ?? Frame(kind: .farewell)
        for connection in members.values { connection.send(frame) }
        for connection in members.values { connection.finish(within: 200_000_000) }
        members = [:]
    }
}

/// `rank 3`, `ranks 1, 2, 5`.
func rankList(_ ranks: [Int]) -> String {
    let list = ranks.prefix(8).map(String.init).joined(separator: ", ")
    return "rank\(ranks.count == 1 ? "" : "s") \(list)\(ranks.count > 8 ? ", …" : "")"
}

/// Most bytes of one rank's blob in an exchange.
let exchangeByteLimit = 64 << 10

/// Version of the rendezvous protocol.
let protocolVersion: UInt16 = 1

func failureFrame(_ reason: String) -> Frame {
    var writer = ByteWriter()
    writer.append(String(reason.prefix(1000)))
    return Frame(kind: .failure, payload: writer.bytes)
}
