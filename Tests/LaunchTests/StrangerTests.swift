// Strangers at rank 0's port: whatever they send, they do not join, crash or hold up a job.

import Foundation
import PerseusPrimitives
import Testing

@testable import PerseusLaunch

@Suite struct StrangerTests {
    /// `PERSEUS_FUZZ_COUNT=5000 swift test --filter StrangerTests` tries more seeds.
    private static let count =
        ProcessInfo.processInfo.environment["PERSEUS_FUZZ_COUNT"].flatMap(UInt64.init) ?? 150

    @Test func noStrangerJoinsOrHoldsUpAJob() throws {
        let job = try LocalJob(size: 3)
        func start(_ rank: Int) {
            var part = LocalJob.Part(rank: rank, size: 3)
            part.deadline = 300_000_000_000
            job.start(part) { group throws(PerseusError) in
                try group.barrier(step: "begin")
                return "fine"
            }
        }
        start(0)
        let address = try SocketAddress(job.address)
        var open: [Connection] = []
        for seed in 0..<Self.count {
            // One rank comes in the middle of it.
            if seed == Self.count / 2 { start(1) }
            var attacker = Attacker(seed: seed, address: address)
            if let connection = attacker.attack() { open.append(connection) }
            // More stay connected and say nothing than rank 0 listens to.
            if open.count > 2 * Coordinator.strangerLimit { open.removeFirst() }
        }
        start(2)
        for rank in 0..<3 { #expect(job.ending(of: rank) == "fine") }
    }
}

/// One connection that does not know the token, and says something else each time.
private struct Attacker {
    private var random: SeededRandom
    private let address: SocketAddress

    init(seed: UInt64, address: SocketAddress) {
        random = SeededRandom(seed: seed, stream: 0xBAD)
        self.address = address
    }

    /// - Returns: a connection that is to stay open; nil: it was closed.
    mutating func attack() -> Connection? {
        let (descriptor, _) = address.connect(within: 1_000_000_000)
        guard descriptor >= 0 else { return nil }
        let connection = Connection(descriptor: descriptor, limit: 1 << 20, now: monotonicNow())
        for _ in 0...random.next(below: 3) { write(message(connection), descriptor) }
        return random.chance(0.3) ? connection : nil
    }

    private mutating func message(_ connection: Connection) -> [UInt8] {
        switch random.next(below: 8) {
        case 0: return bytes(random.next(below: 5000))
        case 1: return Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
        case 2: return Array(greeting.prefix(random.next(below: greeting.count)))
        case 3: return changed(greeting)
        case 4:
            // A header that promises more than it may.
            return [0x50, 0x52, UInt8(1 + random.next(below: 11)), 0, 0xFF, 0xFF, 0xFF, 0x7F]
                + bytes(64)
        case 5:
            let kind = Frame.Kind.allCases[random.next(below: Frame.Kind.allCases.count)]
            return Frame(kind: kind, payload: bytes(random.next(below: 300))).bytes
        case 6: return greeting + join(token: "a token that is another one")
        default: return greeting + changed(join(token: "a token that is another one"))
        }
    }

    private mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(random.next(below: 256)) }
    }

    private mutating func changed(_ original: [UInt8]) -> [UInt8] {
        var changed = original
        for _ in 0...random.next(below: 4) {
            changed[random.next(below: changed.count)] = UInt8(random.next(below: 256))
        }
        return changed
    }

    private var greeting: [UInt8] {
        var writer = ByteWriter()
        writer.append(protocolVersion)
        return Frame(kind: .greeting, payload: writer.bytes + [UInt8](repeating: 7, count: 32))
            .bytes
    }

    /// What a member would send, with a proof that cannot be right.
    private func join(token: String) -> [UInt8] {
        var writer = ByteWriter()
        writer.append(UInt32(1))
        writer.append(UInt32(2))
        LocalJob.Part(rank: 1, size: 2).agreement.write(to: &writer)
        guard let token = try? JobToken(token) else { return [] }
        let proof = token.memberProof(
            memberNonce: [UInt8](repeating: 7, count: 32),
            coordinatorNonce: [UInt8](repeating: 0, count: 32), claims: writer.bytes)
        return Frame(kind: .join, payload: writer.bytes + proof).bytes
    }

    private func write(_ bytes: [UInt8], _ descriptor: Int32) {
        _ = bytes.withUnsafeBytes {
            send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
    }
}
