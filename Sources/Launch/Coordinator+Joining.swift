// How ranks come in: proof of the job's token first, then agreement; strangers and misfits stay outside.

import Glibc
import PerseusPrimitives

extension Coordinator {
    /// Connections that have proved nothing yet. A newcomer takes the place of the oldest.
    static let strangerLimit = 64
    static let strangerPatience: UInt64 = 5_000_000_000
    /// Enough for an agreement, little enough for anybody.
    static let strangerFrameLimit = 64 << 10
    static let memberFrameLimit = 2 << 20

    struct Stranger {
        let connection: Connection
        let arrivedAt: UInt64
        let nonce: [UInt8]
        /// nil: no greeting yet.
        var memberNonce: [UInt8]?
    }

    func accept(now: UInt64) {
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

    func serveStrangers(now: UInt64) {
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

    func admitAll() {
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
    func end(_ reason: String, _ kind: PerseusError.Kind = .badInput) {
        guard refusal == nil else { return }
        let error = PerseusError(kind, reason)
        refusal = error
        for connection in members.values { refuse(connection, error) }
        toldCount = members.count
    }

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
}
