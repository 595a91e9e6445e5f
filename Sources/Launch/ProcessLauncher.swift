// Starts one process per rank on this machine, waits for all of them, and leaves none behind.

import Glibc
import PerseusPrimitives

/// `perseus run --launch processes`: the same command line again, once for each rank.
///
/// - Threading: the thread that calls `run` is the one whose end the ranks share.
public struct ProcessLauncher {
    private let rankCount: Int
    private let arguments: [String]
    private let environment: [String: String]
    private let grace: UInt64
    private let isInterrupted: @Sendable () -> Int32?
    private var ranks: [RankProcess] = []
    private var firstFailure: UInt64?

    /// Nanoseconds that ranks get to end by themselves when they were asked to.
    private static let patience: UInt64 = 5_000_000_000

    private struct RankProcess {
        let rank: Int
        let process: pid_t
        var status: Int32?
        var isStopped = false
        /// The launcher itself ended it.
        var wasEnded = false

        var hasFailed: Bool { status.map { $0 != 0 } ?? false }
    }

    /// - Parameters:
    ///   - arguments: of the command line, without the program's name.
    ///   - grace: nanoseconds that the other ranks get to notice that one has failed.
    ///   - isInterrupted: the number of the signal that asks this process to end; nil: none does.
    public init(
        rankCount: Int, arguments: [String], environment: [String: String], grace: UInt64,
        isInterrupted: @escaping @Sendable () -> Int32?
    ) {
        self.rankCount = rankCount
        self.arguments = arguments
        self.environment = environment
        self.grace = grace
        self.isInterrupted = isInterrupted
    }

    /// How it ended: an exit status of `PerseusError.Kind` or 0, and what the ranks could not say themselves.
    public struct Ending {
        public var status: Int32 = 0
        public var lines: [String] = []
        public var wasInterrupted = false
    }

    /// - Errors: `environment` when a process cannot be started; those that run are ended then.
    public mutating func run() throws(PerseusError) -> Ending {
        guard rankCount <= LaunchEnvironment.sizeLimit else {
            throw PerseusError(
                .badInput,
                "--launch processes: at most \(LaunchEnvironment.sizeLimit) ranks, not \(rankCount)"
            )
        }
        let (listener, address) = try SocketAddress.listenOnLoopback()
        defer { close(listener) }
        let token = JobToken.randomText()
        for rank in 0..<rankCount {
            do {
                ranks.append(
                    RankProcess(
                        rank: rank,
                        process: try spawn(rank, address: address, token: token, listener)))
            } catch {
                endAll(of: { _ in true })
                throw error
            }
        }
        return watch()
    }

    // MARK: Starting

    private static let inheritedDescriptor: Int32 = 3

    private func spawn(
        _ rank: Int, address: String, token: String, _ listener: Int32
    ) throws(PerseusError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        var variables = environment
        typealias Name = LaunchEnvironment.Variable
        variables[Name.rendezvous] = address
        variables[Name.rank] = String(rank)
        variables[Name.size] = String(rankCount)
        variables[Name.token] = token
        variables[Name.launcher] = String(getpid())
        variables[Name.listener] = nil
        if rank == 0 {
            // A descriptor that is moved onto itself would stay closed on exec.
            let copy = fcntl(listener, F_DUPFD_CLOEXEC, 64)
            defer { close(copy) }
            posix_spawn_file_actions_adddup2(&actions, copy, Self.inheritedDescriptor)
            variables[Name.listener] = String(Self.inheritedDescriptor)
            return try spawn(&actions, variables)
        }
        return try spawn(&actions, variables)
    }

    private func spawn(
        _ actions: inout posix_spawn_file_actions_t, _ variables: [String: String]
    ) throws(PerseusError) -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Groups of their own: a terminal's Ctrl-C comes to the launcher, who passes it on once.
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var words: [UnsafeMutablePointer<CChar>?] =
            (["perseus"] + arguments).map { strdup($0) } + [nil]
        var settings: [UnsafeMutablePointer<CChar>?] =
            variables.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + settings { free(text) } }
        var process = pid_t()
        let code = posix_spawn(&process, "/proc/self/exe", &actions, &attributes, &words, &settings)
        guard code == 0 else {
            throw PerseusError(
                .environment, "cannot start a rank's process: \(String(cString: strerror(code)))")
        }
        return process
    }

    // MARK: Watching

    private mutating func watch() -> Ending {
        var ending = Ending()
        var askedAt: UInt64?
        while ranks.contains(where: { $0.status == nil }) {
            for index in ranks.indices where ranks[index].status == nil { look(index) }
            let now = monotonicNow()
            if askedAt == nil, let signal = isInterrupted() {
                askedAt = now
                ending.wasInterrupted = true
                for rank in ranks where rank.status == nil {
                    kill(rank.process, signal)
                    kill(rank.process, SIGCONT)
                }
            }
            if let askedAt, now &- askedAt > Self.patience { endAll(of: { _ in true }) }
            if let firstFailure {
                // Who is stopped will not end by itself once all others have.
                let isOnlyStopped = ranks.allSatisfy { $0.status != nil || $0.isStopped }
                if isOnlyStopped || now &- firstFailure > grace { endAll(of: { _ in true }) }
            }
            usleep(5_000)
        }
        summarize(&ending)
        return ending
    }

    private mutating func look(_ index: Int) {
        var status: Int32 = 0
        let options = WNOHANG | WUNTRACED | WCONTINUED
        guard waitpid(ranks[index].process, &status, options) == ranks[index].process else {
            return
        }
        if status & 0xFF == 0x7F {
            ranks[index].isStopped = true
        } else if status == 0xFFFF {
            ranks[index].isStopped = false
        } else {
            let signal = status & 0x7F
            ranks[index].status = signal == 0 ? (status >> 8) & 0xFF : 128 + signal
            if ranks[index].hasFailed && firstFailure == nil { firstFailure = monotonicNow() }
        }
    }

    /// Ends ranks that still run, stopped ones too, and waits for the system to say so.
    private mutating func endAll(of isMeant: (Int) -> Bool) {
        for index in ranks.indices where ranks[index].status == nil && isMeant(ranks[index].rank) {
            kill(ranks[index].process, SIGKILL)
            var status: Int32 = 0
            while waitpid(ranks[index].process, &status, 0) < 0 && errno == EINTR {}
            ranks[index].wasEnded = true
            ranks[index].status = 128 + SIGKILL
        }
    }

    private func summarize(_ ending: inout Ending) {
        for rank in ranks where rank.status ?? 0 > 128 {
            if ending.wasInterrupted { continue }
            let signal = (rank.status ?? 0) - 128
            ending.lines.append(
                rank.wasEnded
                    ? "rank \(rank.rank) \(rank.isStopped ? "was stopped" : "did not end") and was ended"
                    : "rank \(rank.rank) was killed by signal \(signal)"
                        + " (\(String(cString: strsignal(signal))))")
        }
        let statuses = ranks.compactMap(\.status)
        // What a rank found wrong says more than that the others lost it.
        let own = statuses.first {
            $0 != 0 && $0 != PerseusError.Kind.deadline.rawValue && $0 <= 128
        }
        ending.status =
            own ?? (statuses.contains { $0 != 0 } ? PerseusError.Kind.deadline.rawValue : 0)
    }
}
