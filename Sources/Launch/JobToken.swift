// The secret of a job, and the proofs that somebody knows it.

import PerseusPrimitives

/// What all ranks of a job know and nobody else does.
public struct JobToken: Equatable, Sendable {
    private let key: [UInt8]

    /// Of words that a person or a launcher chose; 16 characters and more.
    public init(_ text: String) throws(PerseusError) {
        guard text.utf8.count >= 16, text.utf8.count <= 1024 else {
            throw PerseusError(
                .badInput, "PERSEUS_JOB_TOKEN: a job's token has 16 to 1024 characters",
                hint: "openssl rand -hex 32 makes one")
        }
        key = Array(text.utf8)
    }

    /// 32 random bytes as text.
    public static func randomText() -> String {
        let digits = Array("0123456789abcdef")
        return String(randomBytes(32).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    static func randomBytes(_ count: Int) -> [UInt8] {
        // The one place where randomness must not come from a seed.
        var system = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: system.next() as UInt64) }
    }

    static let nonceByteCount = 32
    static let proofByteCount = 32

    /// What rank 0 answers a greeting with.
    func coordinatorProof(memberNonce: [UInt8], coordinatorNonce: [UInt8]) -> [UInt8] {
        SHA256.authenticate(
            Array("perseus rank 0".utf8) + memberNonce + coordinatorNonce, key: key)
    }

    /// What a member shows together with its claims.
    func memberProof(memberNonce: [UInt8], coordinatorNonce: [UInt8], claims: [UInt8]) -> [UInt8] {
        SHA256.authenticate(
            Array("perseus member".utf8) + coordinatorNonce + memberNonce + claims, key: key)
    }

    /// Compares in the same time whatever differs.
    static func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        a.count == b.count && zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    /// A name of the job that tells nothing about the token: in shared memory's headers.
    public var fingerprint: UInt64 {
        SHA256.authenticate(Array("perseus fingerprint".utf8), key: key).prefix(8)
            .reduce(0) { $0 << 8 | UInt64($1) }
    }
}
