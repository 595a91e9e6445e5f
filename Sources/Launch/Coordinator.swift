// Rank 0's end of the lifeline: lets members in, collects what they bring, hands results back.

import Glibc
import PerseusPrimitives
import PerseusTransport

/// The middle of the star. Steps never wait; strangers cost a bounded amount of memory and time.
final class Coordinator: GroupEnd {
    /// -1 once everybody is here: nobody can join a running job.
    private var listener: Int32
    private let size: Int
    private let token: JobToken
    private let agreement: Agreement
    private let times: LifelineTimes
    private var strangers: [Stranger] = []
    /// By rank, without rank 0 and without those that are gone.
    private var members: [Int: Connection] = [:]
    private var lost: Set<Int> = []
    private var operations: [UInt32: Operation] = [:]
    private var events: [GroupEvent] = []
    private var lastStep: UInt64
    private var lastHeartbeat: UInt64
    /// Every rank has joined.
    private(set) var isAdmitted = false
    /// Why the job cannot be; final.
    private(set) var refusal: PerseusError?
    /// Connections closed because they did not prove that they know the token.
    private(set) var turnedAwayCount = 0

    /// Connections that have proved nothing yet. A newcomer takes the place of the oldest.
    static let strangerLimit = 64
    static let strangerPatience: UInt64 = 5_000_000_000
    /// Enough for an agreement, little enough for anybody.
    static let strangerFrameLimit = 64 << 10
    static let memberFrameLimit = 2 << 20

    private struct Stranger {
        let connection: Connection
        let arrivedAt: UInt64
        let nonce: [UInt8]
        /// nil: no greeting yet.
        var memberNonce: [UInt8]?
    }

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

    // MARK: Joining

    private func accept(now: UInt64) {
        // A bounded number each time: a flood of connections must not keep members waiting.
        for _ in 0..<Self.strangerLimit {
            let descriptor = Glibc.accept(listener, nil, nil)
            guard descriptor >= 0 else { return }
            if strangers.count == Self.strangerLimit {
                strangers.removeFirst()
                turnedAwayCount += 1
            }
            strangers.append(
                Stranger(
                    connection: Connection(
                        descriptor: descriptor, limit: Self.strangerFrameLimit, now: now),
                    arrivedAt: now, nonce: JobToken.randomBytes(JobToken.nonceByteCount)))
        }
    }

    private func serveStrangers(now: UInt64) {
        var remaining: [Stranger] = []
        for var stranger in strangers {
            stranger.connection.receive(now: now)
            switch hear(&stranger, now: now) {
            case .stays
            where now &- stranger.arrivedAt <= Self.strangerPatience
                && !stranger.connection.isClosed:
                remaining.append(stranger)
            case .stays, .goes: turnedAwayCount += 1
            case .joined: break
            }
        }
        strangers = isAdmitted ? [] : remaining
    }

    private enum Verdict { case stays, goes, joined }

    private func hear(_ stranger: inout Stranger, now: UInt64) -> Verdict {
        while true {
            let next: Frame?
            do throws(MalformedFrame) {
                next = try stranger.connection.reader.next()
            } catch { return .goes }
            guard let frame = next else { return .stays }
            switch (frame.kind, stranger.memberNonce) {
            case (.greeting, nil):
                guard let nonce = greet(frame.payload, stranger) else { return .goes }
                stranger.memberNonce = nonce
            case (.join, let nonce?):
                return admit(frame.payload, stranger.connection, stranger.nonce, nonce)
                    ? .joined : .goes
            default: return .goes
            }
        }
    }

    private func greet(_ payload: [UInt8], _ stranger: Stranger) -> [UInt8]? {
        var reader = ByteReader(payload)
        guard let version = reader.integer(UInt16.self) else { return nil }
        guard version == protocolVersion else {
            refuse(
                stranger.connection,
                PerseusError(
                    .badInput,
                    "rank 0 speaks version \(protocolVersion) of the rendezvous, this rank \(version)"
                ))
            return nil
        }
        guard let nonce = reader.raw(JobToken.nonceByteCount), reader.isAtEnd else { return nil }
        let proof = token.coordinatorProof(memberNonce: nonce, coordinatorNonce: stranger.nonce)
        stranger.connection.send(Frame(kind: .challenge, payload: stranger.nonce + proof))
        return nonce
    }

    /// Nothing of the claims is read before the proof holds. True: the connection is a member's now.
    private func admit(
        _ payload: [UInt8], _ connection: Connection, _ nonce: [UInt8], _ memberNonce: [UInt8]
    ) -> Bool {
        guard payload.count >= JobToken.proofByteCount else { return false }
        let claims = Array(payload.dropLast(JobToken.proofByteCount))
        let expected = token.memberProof(
            memberNonce: memberNonce, coordinatorNonce: nonce, claims: claims)
        guard JobToken.areEqual(expected, Array(payload.suffix(JobToken.proofByteCount))) else {
            return false
        }
        var reader = ByteReader(claims)
        guard let rank = reader.integer(UInt32.self).map(Int.init),
            let theirSize = reader.integer(UInt32.self).map(Int.init),
            let theirs = Agreement(from: &reader), reader.isAtEnd
        else { return false }
        if let refusal {
            refuse(connection, refusal)
            toldCount += 1
            return false
        }
        if theirSize != size {
            end("rank \(rank) was started as one of \(theirSize) ranks, rank 0 as one of \(size)")
        } else if rank < 1 || rank >= size {
            refuse(connection, PerseusError(.badInput, "there is no rank \(rank) among \(size)"))
        } else if members[rank] != nil {
            refuse(
                connection,
                PerseusError(.badInput, "rank \(rank) has joined already: two have this number"))
        } else if let difference = agreement.difference(to: theirs, ofRank: rank) {
            end(difference)
        } else {
            connection.reader.limit = Self.memberFrameLimit
            members[rank] = connection
            if members.count == size - 1 { admitAll() }
            return true
        }
        if let refusal {
            refuse(connection, refusal)
            toldCount += 1
        }
        return false
    }

    private func admitAll() {
        isAdmitted = true
        close(listener)
        listener = -1
        for connection in members.values { connection.send(Frame(kind: .admitted)) }
    }

    private func refuse(_ connection: Connection, _ error: PerseusError) {
        var writer = ByteWriter()
        writer.append(UInt8(truncatingIfNeeded: error.kind.rawValue))
        writer.append(error.message)
        connection.send(Frame(kind: .refused, payload: writer.bytes))
    }

    /// The job cannot be: everybody who has joined is told why.
    private func end(_ reason: String, _ kind: PerseusError.Kind = .badInput) {
        guard refusal == nil else { return }
        let error = PerseusError(kind, reason)
        refusal = error
        for connection in members.values { refuse(connection, error) }
        toldCount = members.count
    }

    /// Ranks that were told why the job cannot be.
    private var toldCount = 0
    /// Nobody is left who could ask.
    var hasToldEverybody: Bool { toldCount >= size - 1 }

    /// Who is missing when the time for joining is over.
    func giveUp(address: String, after nanoseconds: UInt64) {
        let missing = rankList((1..<size).filter { members[$0] == nil })
        let away =
            turnedAwayCount > 0
            ? " (\(turnedAwayCount) connections without the job's token were turned away)" : ""
        end(
            "\(missing) did not come to the rendezvous at \(address) within"
                + " \(LifelineTimes.silence(nanoseconds))\(away)", .deadline)
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
