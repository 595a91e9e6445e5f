// The way in: reach rank 0, see that it knows the token, show the same, wait for the others.

import Glibc
import PerseusPrimitives

/// What a member says of itself when it joins.
struct MemberClaims {
    var rank: Int
    var size: Int
    var token: JobToken
    var agreement: Agreement
}

extension Member {
    /// Connects to rank 0 and returns when every rank is there.
    ///
    /// - Errors: `deadline` when that takes longer than allowed; rank 0's own error when it refuses; `badInput` when it
    ///   does not know the token; `environment` when something else listens there.
    static func join(
        at address: SocketAddress, _ claims: MemberClaims, times: LifelineTimes,
        wait: JoinDeadline
    ) throws(PerseusError) -> Member {
        let nonce = JobToken.randomBytes(JobToken.nonceByteCount)
        let (connection, challenge) = try greet(address, nonce, wait)
        let size = JobToken.nonceByteCount
        guard challenge.count == size + JobToken.proofByteCount else {
            throw stranger(address, "its challenge has \(challenge.count) bytes")
        }
        let theirNonce = Array(challenge.prefix(size))
        let expected = claims.token.coordinatorProof(
            memberNonce: nonce, coordinatorNonce: theirNonce)
        guard JobToken.areEqual(expected, Array(challenge.dropFirst(size))) else {
            throw PerseusError(
                .badInput,
                "rank 0 at \(address) has another token: PERSEUS_JOB_TOKEN differs, or another job listens"
                    + " there")
        }
        var writer = ByteWriter()
        writer.append(UInt32(claims.rank))
        writer.append(UInt32(claims.size))
        claims.agreement.write(to: &writer)
        let proof = claims.token.memberProof(
            memberNonce: nonce, coordinatorNonce: theirNonce, claims: writer.bytes)
        connection.send(Frame(kind: .join, payload: writer.bytes + proof))
        // Rank 0 knows who is missing, and says so when its own time is over.
        let patience = JoinDeadline(
            total: wait.total + 1_000_000_000, isInterrupted: wait.isInterrupted)
        guard try expect(.admitted, on: connection, address, patience) != nil else {
            throw PerseusError(
                .deadline, "rank 0 at \(address) closed the connection during the rendezvous")
        }
        return Member(admitted: connection, times: times, now: monotonicNow())
    }

    /// Until rank 0 answers: among many strangers it may have dropped us, or it may be on its way.
    private static func greet(
        _ address: SocketAddress, _ nonce: [UInt8], _ wait: JoinDeadline
    ) throws(PerseusError) -> (Connection, challenge: [UInt8]) {
        var greeting = ByteWriter()
        greeting.append(protocolVersion)
        while true {
            let connection = Connection(
                descriptor: try connect(to: address, wait), limit: Coordinator.memberFrameLimit,
                now: monotonicNow())
            connection.send(Frame(kind: .greeting, payload: greeting.bytes + nonce))
            if let challenge = try expect(.challenge, on: connection, address, wait) {
                return (connection, challenge)
            }
            try wait.check {
                "rank 0 at \(address) closes every connection, for \(LifelineTimes.silence(wait.total))"
            }
            usleep(50_000)
        }
    }

    private static func stranger(_ address: SocketAddress, _ reason: String) -> PerseusError {
        PerseusError(
            .environment, "what listens at \(address) is no rank 0 of a perseus job: \(reason)")
    }

    /// Tries until somebody listens: rank 0 may start later.
    private static func connect(
        to address: SocketAddress, _ wait: JoinDeadline
    ) throws(PerseusError) -> Int32 {
        while true {
            let (descriptor, code) = address.connect(within: wait.remaining)
            if descriptor >= 0 { return descriptor }
            try wait.check {
                "cannot reach rank 0 at \(address) within \(LifelineTimes.silence(wait.total)):"
                    + " \(String(cString: strerror(code)))"
            }
            usleep(50_000)
        }
    }

    /// The payload of the next frame, which must be of `kind`; heartbeats do not count. nil: the connection was closed.
    private static func expect(
        _ kind: Frame.Kind, on connection: Connection, _ address: SocketAddress,
        _ wait: JoinDeadline
    ) throws(PerseusError) -> [UInt8]? {
        while true {
            connection.flush()
            connection.receive(now: monotonicNow())
            let frame: Frame?
            do throws(MalformedFrame) {
                frame = try connection.reader.next()
            } catch { throw stranger(address, error.reason) }
            if let frame {
                if frame.kind == kind { return frame.payload }
                if frame.kind == .heartbeat { continue }
                if frame.kind == .refused { throw refusal(frame.payload) }
                throw stranger(address, "an unexpected \(frame.kind)")
            }
            if connection.isClosed { return nil }
            try wait.check {
                kind == .admitted
                    ? "rank 0 at \(address) did not begin within \(LifelineTimes.silence(wait.total))"
                    : "rank 0 at \(address) did not answer within"
                        + " \(LifelineTimes.silence(wait.total))"
            }
            var entry = pollfd(
                descriptor: connection.descriptor, wantsWrite: connection.hasOutgoing)
            poll(&entry, 1, 50)
        }
    }

    private static func refusal(_ payload: [UInt8]) -> PerseusError {
        var reader = ByteReader(payload)
        let kind = reader.integer(UInt8.self).flatMap { PerseusError.Kind(rawValue: Int32($0)) }
        return PerseusError(kind ?? .environment, reader.text() ?? "rank 0 refused this rank")
    }
}

/// How long joining may take, and whether anybody still wants it.
struct JoinDeadline {
    let start: UInt64
    let total: UInt64
    let isInterrupted: @Sendable () -> Bool

    init(total: UInt64, isInterrupted: @escaping @Sendable () -> Bool) {
        start = monotonicNow()
        self.total = total
        self.isInterrupted = isInterrupted
    }

    var remaining: UInt64 {
        let used = monotonicNow() &- start
        return used < total ? total - used : 0
    }

    func check(_ reason: () -> String) throws(PerseusError) {
        if isInterrupted() { throw PerseusError(.deadline, "interrupted during the rendezvous") }
        if remaining == 0 { throw PerseusError(.deadline, reason()) }
    }
}
