// Ranks started by `mpirun` or `srun`: PMIx says which rank this is, and carries one line from rank 0 to all.

import CPerseusShims
import Glibc
import PerseusPrimitives

extension LaunchEnvironment {
    /// This process's place in the job of a PMIx launcher; everything after it goes over the rendezvous.
    ///
    /// Rank 0 listens on the loopback interface: the soft NIC needs all ranks on one machine anyway. A job on several
    /// machines names the place itself, with `PERSEUS_RENDEZVOUS`.
    /// - Parameter deadline: nanoseconds that all ranks have to come.
    /// - Returns: nil in a process that no PMIx launcher started.
    /// - Errors: `environment` when the library or its server fails, `deadline` when ranks do not come.
    public init?(pmix variables: [String: String], deadline: UInt64) throws(PerseusError) {
        guard variables["PMIX_RANK"] != nil, variables["PMIX_NAMESPACE"] != nil else { return nil }
        let meeting = PMIxMeeting()
        try meeting.run(deadline: deadline)
        guard let size = meeting.size, size <= Self.sizeLimit else {
            throw PerseusError(
                .badInput,
                "the launcher started \(meeting.size ?? 0) ranks, at most \(Self.sizeLimit) are possible"
            )
        }
        let words = meeting.line.split(separator: " ").map(String.init)
        guard words.count == 2, meeting.rank < size else {
            throw PerseusError(.environment, "PMIx: rank 0 shared no address")
        }
        self.init(
            rank: meeting.rank, size: size, address: try SocketAddress(words[0]),
            token: try JobToken(words[1]), listener: meeting.listener)
    }
}

/// The calls of PMIx on a thread of their own: they wait as long as they like, and this process does not.
private final class PMIxMeeting: @unchecked Sendable {
    private let lock = ConditionLock()
    private var isOver = false
    private var failure: PerseusError?
    // Written by the thread before `isOver`, read after it.
    private(set) var rank = 0
    private(set) var size: Int?
    private(set) var listener: Int32?
    /// Address and token.
    private(set) var line = ""

    private static let key = "perseus.rendezvous"

    func run(deadline: UInt64) throws(PerseusError) {
        let thread = WorkerThread { self.meetAndTell() }
        precondition(thread != nil, "PMIxMeeting: cannot create a thread")
        thread?.detach()
        let begin = monotonicNow()
        while true {
            let isOver = lock.locked {
                if !self.isOver { lock.wait(nanoseconds: 20_000_000) }
                return self.isOver
            }
            if isOver { break }
            guard monotonicNow() &- begin <= deadline else {
                throw PerseusError(
                    .deadline,
                    "the ranks of the launcher's job did not meet within"
                        + " \(LifelineTimes.silence(deadline)): some did not start, or PMIx does not answer"
                )
            }
        }
        if let failure { throw failure }
    }

    private func meetAndTell() {
        var found: PerseusError?
        do throws(PerseusError) { try meet() } catch { found = error }
        lock.locked {
            failure = found
            isOver = true
            lock.broadcast()
        }
    }

    private func meet() throws(PerseusError) {
        var job = perseus_pmix_job()
        try check(
            perseus_pmix_open(&job),
            hint: "PERSEUS_RENDEZVOUS and --launch in-process do without PMIx")
        rank = Int(job.rank)
        size = Int(job.size)
        guard job.local_size == job.size else {
            throw PerseusError(
                .badInput,
                "the launcher started \(job.size) ranks and \(job.local_size) of them on this machine",
                hint: "the soft NIC needs all ranks on one machine; other fabrics are not built yet"
            )
        }
        if rank == 0 {
            let (descriptor, address) = try SocketAddress.listenOnLoopback()
            listener = descriptor
            line = "\(address) \(JobToken.randomText())"
            try check(perseus_pmix_share(Self.key, line))
        } else {
            try check(perseus_pmix_share(Self.key, nil))
            var text = [CChar](repeating: 0, count: 256)
            try check(perseus_pmix_read(0, Self.key, &text, text.count))
            line = String(
                decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        perseus_pmix_close()
    }

    private func check(
        _ reason: UnsafePointer<CChar>?, hint: String? = nil
    ) throws(PerseusError) {
        guard let reason else { return }
        throw PerseusError(.environment, "PMIx: \(String(cString: reason))", hint: hint)
    }
}
