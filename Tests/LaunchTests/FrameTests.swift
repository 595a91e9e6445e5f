// Bytes from the network: whole frames come out however they are cut, and nonsense is an error, never a trap.

import PerseusPrimitives
import Testing

@testable import PerseusLaunch

@Suite struct FrameTests {
    private func read(_ bytes: [UInt8], limit: Int = 1 << 16) throws -> [Frame] {
        var reader = FrameReader(limit: limit)
        bytes.withUnsafeBytes { reader.append($0) }
        var frames: [Frame] = []
        while let frame = try reader.next() { frames.append(frame) }
        return frames
    }

    @Test func framesSurviveEveryCut() throws {
        let frames = [
            Frame(kind: .greeting, payload: [1, 2, 3]), Frame(kind: .heartbeat),
            Frame(kind: .contribution, payload: Array(0..<200)),
        ]
        let bytes = frames.flatMap(\.bytes)
        for cut in 0...bytes.count {
            var reader = FrameReader(limit: 1 << 16)
            var found: [Frame] = []
            for part in [bytes[..<cut], bytes[cut...]] {
                Array(part).withUnsafeBytes { reader.append($0) }
                while let frame = try reader.next() { found.append(frame) }
            }
            #expect(found == frames, "cut at \(cut)")
        }
    }

    @Test func aFrameOverTheLimitIsRefusedBeforeItsBytesCome() {
        let header = Array(
            Frame(kind: .join, payload: [UInt8](repeating: 0, count: 101)).bytes.prefix(8))
        #expect(throws: MalformedFrame.self) { try read(header, limit: 100) }
    }

    @Test func everyOtherHeaderIsRefused() {
        let good = Frame(kind: .join).bytes
        for index in 0..<4 {
            for value in UInt8.min...UInt8.max where value != good[index] {
                if index == 2 && Frame.Kind(rawValue: value) != nil { continue }
                var bad = good
                bad[index] = value
                #expect(throws: MalformedFrame.self) { try read(bad) }
            }
        }
    }

    @Test func randomBytesNeverTrap() {
        for seed in 0..<2000 as Range<UInt64> {
            var random = SeededRandom(seed: seed)
            var bytes = (0..<random.next(below: 200)).map { _ in UInt8(random.next(below: 256)) }
            // Half of them begin like a frame.
            if random.chance(0.5) {
                bytes = [0x50, 0x52, UInt8(1 + random.next(below: 11)), 0] + bytes
            }
            _ = try? read(bytes, limit: 1 << 10)
            _ = Contribution.Part(bytes)
            var reader = ByteReader(bytes)
            _ = Agreement(from: &reader)
        }
    }

    @Test func longContributionsComeInParts() {
        let bytes = (0..<Contribution.partByteCount * 2 + 5).map { UInt8(truncatingIfNeeded: $0) }
        let whole = Contribution(sequence: 7, mode: .gather, step: "s", bytes: bytes)
        let parts = whole.frames.compactMap { Contribution.Part($0.payload) }
        #expect(parts.count == 3 && parts.map(\.isLast) == [false, false, true])
        #expect(parts.flatMap(\.bytes) == bytes)
        let empty = Contribution(sequence: 1, mode: .barrier, step: "", bytes: []).frames
        #expect(empty.count == 1 && Contribution.Part(empty[0].payload)?.isLast == true)
    }
}

@Suite struct TokenTests {
    /// RFC 4231, test cases 2 and 6.
    @Test func theProofIsHMAC() {
        func hex(_ bytes: [UInt8]) -> String {
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        #expect(
            hex(
                SHA256.authenticate(
                    Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8)))
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        #expect(
            hex(
                SHA256.authenticate(
                    Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
                    key: [UInt8](repeating: 0xAA, count: 131)))
                == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
    }

    @Test func shortTokensAreRefused() {
        #expect(throws: PerseusError.self) { try JobToken("short") }
        #expect(JobToken.randomText().count == 64)
        #expect(JobToken.randomText() != JobToken.randomText())
    }
}

@Suite struct LaunchEnvironmentTests {
    private let good = [
        "PERSEUS_RENDEZVOUS": "127.0.0.1:4000", "PERSEUS_RANK": "1", "PERSEUS_SIZE": "2",
        "PERSEUS_JOB_TOKEN": "0123456789abcdef",
    ]

    private func message(_ changes: [String: String?]) -> String {
        var variables = good
        for (name, value) in changes { variables[name] = value }
        do throws(PerseusError) {
            _ = try LaunchEnvironment(variables)
            return ""
        } catch { return error.message }
    }

    @Test func whoWasNotLaunchedIsNoRank() throws {
        #expect(try LaunchEnvironment(["PERSEUS_RANK": "1", "PERSEUS_SIZE": "2"]) == nil)
        let launch = try #require(try LaunchEnvironment(good))
        #expect(
            launch.rank == 1 && launch.size == 2 && launch.address.description == "127.0.0.1:4000")
    }

    @Test func variablesOfLaunchersAreRead() throws {
        var variables = good
        (variables["PERSEUS_RANK"], variables["PERSEUS_SIZE"]) = (nil, nil)
        (variables["SLURM_PROCID"], variables["SLURM_NTASKS"]) = ("3", "9")
        let launch = try #require(try LaunchEnvironment(variables))
        #expect(launch.rank == 3 && launch.size == 9)
    }

    @Test func whatIsMissingOrWrongIsNamed() {
        #expect(message(["PERSEUS_RANK": nil]).contains("needs PERSEUS_RANK and PERSEUS_SIZE"))
        #expect(message(["PERSEUS_RANK": "x"]).hasPrefix("PERSEUS_RANK=x: expected a number"))
        #expect(message(["PERSEUS_RANK": "-1"]).hasPrefix("PERSEUS_RANK=-1: expected a number"))
        #expect(message(["PERSEUS_RANK": "2"]).hasPrefix("PERSEUS_RANK=2: there are 2 ranks"))
        #expect(
            message(["PERSEUS_SIZE": "99999"]).hasPrefix("PERSEUS_SIZE=99999: expected a number"))
        #expect(message(["PERSEUS_JOB_TOKEN": nil]).contains("needs PERSEUS_JOB_TOKEN"))
        #expect(message(["PERSEUS_JOB_TOKEN": "x"]).contains("16 to 1024 characters"))
        for address in ["", "host", ":1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536"] {
            #expect(
                message(["PERSEUS_RENDEZVOUS": address]).contains("expected HOST:PORT"),
                "\(address)")
        }
        #expect(
            message(["PERSEUS_RANK": "0", "PERSEUS_RENDEZVOUS_DESCRIPTOR": "0"])
                .contains("is no listening socket"))
    }
}
