// A job whose ranks are threads of the test: the real rendezvous over the loopback interface.

import Foundation
import PerseusPrimitives
import PerseusTransport

@testable import PerseusLaunch

/// Runs `body` as every rank of a job, each on a thread of its own, and keeps how each one ended.
final class LocalJob: @unchecked Sendable {
    static let token = "a token that the tests share"
    let size: Int
    let address: String
    private let listener: Int32
    private let lock = ConditionLock()
    private var endings: [Int: Result<String, PerseusError>] = [:]
    private var threads: [Thread] = []

    /// What a rank may do differently.
    struct Part {
        var rank: Int
        var size: Int
        var token = LocalJob.token
        var agreement = Agreement([.init("version", "1"), .init("--seed", "1")])
        var deadline: UInt64 = 10_000_000_000
    }

    init(size: Int) throws {
        self.size = size
        (listener, address) = try SocketAddress.listenOnLoopback()
    }

    /// Starts one rank; `body` says how it fared.
    func start(
        _ part: Part, _ body: @escaping @Sendable (ProcessGroup) throws(PerseusError) -> String
    ) {
        let thread = Thread { [self] in
            let ending: Result<String, PerseusError>
            do throws(PerseusError) {
                let group = try join(part)
                do throws(PerseusError) {
                    ending = .success(try body(group))
                    group.leave(failure: nil)
                } catch {
                    group.leave(failure: error.message)
                    throw error
                }
            } catch { ending = .failure(error) }
            lock.locked {
                endings[part.rank] = ending
                lock.broadcast()
            }
        }
        threads.append(thread)
        thread.start()
    }

    func start(rank: Int, _ body: @escaping @Sendable (ProcessGroup) throws(PerseusError) -> String)
    {
        start(Part(rank: rank, size: size), body)
    }

    private func join(_ part: Part) throws(PerseusError) -> ProcessGroup {
        var variables = [
            "PERSEUS_RENDEZVOUS": address, "PERSEUS_RANK": String(part.rank),
            "PERSEUS_SIZE": String(part.size), "PERSEUS_JOB_TOKEN": part.token,
        ]
        if part.rank == 0 { variables["PERSEUS_RENDEZVOUS_DESCRIPTOR"] = String(listener) }
        guard let launch = try LaunchEnvironment(variables) else {
            throw PerseusError(.badInput, "no launch")
        }
        return try ProcessGroup.join(
            launch, agreement: part.agreement, deadline: part.deadline, isInterrupted: { false })
    }

    /// How `rank` ended: what its body said, or its error; nil when it has not within `seconds`.
    func ending(of rank: Int, seconds: Double = 20) -> String? {
        let end = Date(timeIntervalSinceNow: seconds)
        while Date() < end {
            let ending = lock.locked {
                if endings[rank] == nil { lock.wait(nanoseconds: 20_000_000) }
                return endings[rank]
            }
            switch ending {
            case .success(let text): return text
            case .failure(let error): return "error \(error.kind.rawValue): \(error.message)"
            case nil: continue
            }
        }
        return nil
    }
}
