// What ranks do together: exchange, barrier, gather; what they refuse; how they learn that one is gone.

import Foundation
import PerseusPrimitives
import PerseusTransport
import Testing

@testable import PerseusLaunch

@Suite struct ProcessGroupTests {
    @Test(arguments: [1, 2, 5]) func stepsBringEverybodyTheSame(size: Int) throws {
        let job = try LocalJob(size: size)
        for rank in 0..<size {
            job.start(rank: rank) { group throws(PerseusError) in
                let blobs = try group.exchange(Array("blob \(rank)".utf8), step: "addresses")
                guard blobs == (0..<size).map({ Array("blob \($0)".utf8) }) else {
                    return "wrong blobs"
                }
                try group.barrier(step: "middle")
                // Longer than a frame, and of different lengths.
                let long = [UInt8](repeating: UInt8(rank), count: rank * 700_000)
                let all = try group.gather(long, step: "results")
                let expected =
                    rank == 0
                    ? (0..<size).map { [UInt8](repeating: UInt8($0), count: $0 * 700_000) } : []
                guard all == expected else { return "wrong results" }
                group.arrive(step: "end")
                let end = Date(timeIntervalSinceNow: 10)
                while !group.haveAllArrived && Date() < end { usleep(100) }
                return group.haveAllArrived && group.losses.isEmpty ? "fine" : "did not arrive"
            }
        }
        for rank in 0..<size { #expect(job.ending(of: rank) == "fine", "rank \(rank)") }
    }

    @Test func manyBlobsGoInPortions() throws {
        let job = try LocalJob(size: 3)
        for rank in 0..<3 {
            job.start(rank: rank) { group throws(PerseusError) in
                for round in 0..<20 {
                    let blob = [UInt8](repeating: UInt8(rank + round), count: exchangeByteLimit)
                    let blobs = try group.exchange(blob, step: "round \(round)")
                    for (index, other) in blobs.enumerated()
                    where other
                        != [UInt8](repeating: UInt8(index + round), count: exchangeByteLimit)
                    {
                        return "wrong blob of \(index)"
                    }
                }
                return "fine"
            }
        }
        for rank in 0..<3 { #expect(job.ending(of: rank) == "fine") }
    }

    // MARK: Who does not belong

    private func endings(_ parts: [LocalJob.Part]) throws -> [String] {
        let job = try LocalJob(size: parts[0].size)
        for part in parts {
            job.start(part) { group throws(PerseusError) in
                try group.barrier(step: "begin")
                return "fine"
            }
        }
        return parts.map { job.ending(of: $0.rank) ?? "hangs" }
    }

    private func parts(_ size: Int) -> [LocalJob.Part] {
        (0..<size).map { LocalJob.Part(rank: $0, size: size) }
    }

    @Test func whatDiffersIsNamedToEverybody() throws {
        var parts = parts(3)
        parts[2].agreement = Agreement([.init("version", "1"), .init("--seed", "7")])
        for ending in try endings(parts) {
            #expect(ending == "error 2: rank 2 has --seed 7, rank 0 has 1")
        }
    }

    @Test func anotherListOfSettingsIsAnotherBuild() throws {
        var parts = parts(2)
        parts[1].agreement = Agreement([.init("version", "1")])
        for ending in try endings(parts) {
            #expect(ending == "error 2: rank 1 knows other settings than rank 0: another build")
        }
    }

    @Test func anotherSizeIsRefused() throws {
        var parts = parts(2)
        parts[1].size = 3
        for ending in try endings(parts) {
            #expect(
                ending == "error 2: rank 1 was started as one of 3 ranks, rank 0 as one of 2")
        }
    }

    @Test func anotherTokenIsNoticedByItsOwner() throws {
        var parts = parts(2)
        parts[1].token = "the token of another job"
        for index in parts.indices { parts[index].deadline = 700_000_000 }
        let endings = try endings(parts)
        #expect(endings[1].hasPrefix("error 2: rank 0 at 127.0.0.1:"))
        #expect(endings[1].contains("has another token"))
        #expect(
            endings[0].hasPrefix("error 4: rank 1 did not come to the rendezvous at 127.0.0.1:"))
        #expect(endings[0].contains("without the job's token"))
    }

    @Test func whoIsMissingIsNamedToEverybody() throws {
        var parts = parts(5).filter { $0.rank != 1 && $0.rank != 3 }
        for index in parts.indices { parts[index].deadline = 700_000_000 }
        for ending in try endings(parts) {
            #expect(ending.hasPrefix("error 4: ranks 1, 3 did not come to the rendezvous"))
            #expect(ending.hasSuffix("within 0.7 s"))
        }
    }

    @Test func twoOfOneNumberAreNotTaken() throws {
        let job = try LocalJob(size: 3)
        job.start(rank: 0) { group throws(PerseusError) in
            try group.barrier(step: "begin")
            return "fine"
        }
        job.start(rank: 1) { group throws(PerseusError) in
            try group.barrier(step: "begin")
            return "fine"
        }
        // The second one of its number is told, and the job goes on.
        usleep(300_000)
        let twin = try LocalJob.joinAlone(job, rank: 1)
        #expect(twin == "error 2: rank 1 has joined already: two have this number")
        let outsider = try LocalJob.joinAlone(job, rank: 7)
        #expect(outsider == "error 2: there is no rank 7 among 3")
        job.start(rank: 2) { group throws(PerseusError) in
            try group.barrier(step: "begin")
            return "fine"
        }
        for rank in 0..<3 { #expect(job.ending(of: rank) == "fine") }
    }

    // MARK: Who is gone

    @Test(arguments: [0, 1, 2]) func aFailureIsToldToWhoWaits(victim: Int) throws {
        let job = try LocalJob(size: 3)
        for rank in 0..<3 {
            job.start(rank: rank) { group throws(PerseusError) in
                try group.barrier(step: "begin")
                if rank == victim { throw PerseusError(.environment, "no more memory") }
                try group.barrier(step: "never")
                return "fine"
            }
        }
        for rank in 0..<3 {
            let expected =
                rank == victim
                ? "error 3: no more memory"
                : "error 4: rank \(victim) failed: no more memory; this rank waits at \"never\""
            #expect(job.ending(of: rank) == expected)
        }
    }

    @Test func whoLeavesEarlyIsNamed() throws {
        let job = try LocalJob(size: 3)
        for rank in 0..<3 {
            job.start(rank: rank) { group throws(PerseusError) in
                try group.barrier(step: "begin")
                if rank == 2 {
                    usleep(200_000)
                    return "left"
                }
                try group.barrier(step: "never")
                return "fine"
            }
        }
        for rank in 0..<2 {
            #expect(
                job.ending(of: rank)
                    == "error 4: rank 2 has left the job; this rank waits at \"never\"")
        }
    }

    @Test func anotherStepIsNamed() throws {
        let job = try LocalJob(size: 2)
        for rank in 0..<2 {
            job.start(rank: rank) { group throws(PerseusError) in
                if rank == 1 { usleep(200_000) }
                try group.barrier(step: rank == 0 ? "heaps" : "results")
                return "fine"
            }
        }
        #expect(
            job.ending(of: 0)
                == "error 4: rank 1 is at step \"results\", rank 0 at \"heaps\"; this rank waits at \"heaps\""
        )
    }

    /// Nobody is gone, and one does not come: the wait ends all the same, and everybody hears who it was.
    @Test func aStepHasADeadline() throws {
        let job = try LocalJob(size: 3)
        for rank in 0..<3 {
            var part = LocalJob.Part(rank: rank, size: 3)
            part.deadline = 600_000_000
            job.start(part) { group throws(PerseusError) in
                if rank == 1 {
                    usleep(1_500_000)
                    return "late"
                }
                try group.barrier(step: "begin")
                return "fine"
            }
        }
        let reason = "rank 1 did not come to \"begin\" within 0.6 s; --deadline allows more"
        #expect(job.ending(of: 0) == "error 4: \(reason)")
        #expect(
            job.ending(of: 2) == "error 4: rank 0 failed: \(reason); this rank waits at \"begin\"")
    }
}

extension LocalJob {
    /// A rank more than the job has room for; how it ended.
    static func joinAlone(_ job: LocalJob, rank: Int) throws -> String {
        let variables = [
            "PERSEUS_RENDEZVOUS": job.address, "PERSEUS_RANK": "1", "PERSEUS_SIZE": "512",
            "PERSEUS_JOB_TOKEN": token,
        ]
        let launch = try #require(try LaunchEnvironment(variables))
        do throws(PerseusError) {
            _ = try Member.join(
                at: launch.address,
                MemberClaims(
                    rank: rank, size: job.size, token: launch.token,
                    agreement: Part(rank: rank, size: job.size).agreement),
                times: LifelineTimes(silence: 1_000_000_000),
                wait: JoinDeadline(total: 5_000_000_000, isInterrupted: { false }))
            return "joined"
        } catch { return "error \(error.kind.rawValue): \(error.message)" }
    }
}
