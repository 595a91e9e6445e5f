// Which rank this process is, of how many, and where rank 0 is: from the environment that a launcher made.

import CPerseusShims
import Glibc
import PerseusPrimitives

/// This process's place in a job.
public struct LaunchEnvironment: Sendable {
    public let rank: Int
    public let size: Int
    public let address: SocketAddress
    let token: JobToken
    /// For rank 0 of our own launcher: a socket that listens at the address already.
    let listener: Int32?
    /// This process ends when that one does.
    private let launcher: Int32?

    /// Variables of `perseus run --launch processes`, and of a person who starts ranks by hand.
    enum Variable {
        static let rendezvous = "PERSEUS_RENDEZVOUS"
        static let rank = "PERSEUS_RANK"
        static let size = "PERSEUS_SIZE"
        static let token = "PERSEUS_JOB_TOKEN"
        static let listener = "PERSEUS_RENDEZVOUS_DESCRIPTOR"
        static let launcher = "PERSEUS_LAUNCHER"
    }

    /// Pairs of rank and size that launchers of clusters set.
    private static let launcherVariables = [
        (Variable.rank, Variable.size), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("PMI_RANK", "PMI_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"),
    ]

    /// Most ranks of a job of processes: rank 0 holds a connection to each.
    static let sizeLimit = 512

    /// - Returns: nil in a process that nobody launched as a rank.
    /// - Errors: `badInput` for variables that contradict each other or are missing.
    public init?(_ variables: [String: String]) throws(PerseusError) {
        guard let rendezvous = variables[Variable.rendezvous] else { return nil }
        guard
            let names = Self.launcherVariables.first(where: {
                variables[$0.0] != nil && variables[$0.1] != nil
            })
        else {
            throw PerseusError(
                .badInput, "\(Variable.rendezvous) needs \(Variable.rank) and \(Variable.size)")
        }
        rank = try Self.number(names.0, variables, in: 0...Self.sizeLimit - 1)
        size = try Self.number(names.1, variables, in: 1...Self.sizeLimit)
        guard rank < size else {
            throw PerseusError(
                .badInput, "\(names.0)=\(rank): there are \(size) ranks, counted from 0")
        }
        guard let text = variables[Variable.token] else {
            throw PerseusError(
                .badInput,
                "\(Variable.rendezvous) needs \(Variable.token): one secret for all ranks",
                hint: "openssl rand -hex 32 makes one")
        }
        token = try JobToken(text)
        address = try SocketAddress(rendezvous)
        listener = rank == 0 ? try Self.inheritedListener(variables) : nil
        launcher = variables[Variable.launcher].flatMap { Int32($0) }
    }

    init(rank: Int, size: Int, address: SocketAddress, token: JobToken, listener: Int32?) {
        self.rank = rank
        self.size = size
        self.address = address
        self.token = token
        self.listener = listener
        launcher = nil
    }

    private static func number(
        _ name: String, _ variables: [String: String], in range: ClosedRange<Int>
    ) throws(PerseusError) -> Int {
        guard let value = Int(variables[name] ?? ""), range.contains(value) else {
            throw PerseusError(
                .badInput,
                "\(name)=\(variables[name] ?? ""): expected a number from \(range.lowerBound) to"
                    + " \(range.upperBound)")
        }
        return value
    }

    private static func inheritedListener(
        _ variables: [String: String]
    ) throws(PerseusError) -> Int32? {
        guard let text = variables[Variable.listener] else { return nil }
        var isListening: Int32 = 0
        var size = socklen_t(4)
        guard let descriptor = Int32(text), descriptor > 2,
            getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &size) == 0,
            isListening == 1
        else {
            throw PerseusError(.badInput, "\(Variable.listener)=\(text) is no listening socket")
        }
        return descriptor
    }

    /// Ties this process to its launcher; a rank whose launcher is gone has nobody to work for.
    public func endWithLauncher() throws(PerseusError) {
        guard let launcher else { return }
        let code = perseus_end_with_parent(launcher)
        guard code == 0 else {
            throw PerseusError(
                .environment,
                "the launcher is gone, or \(Variable.launcher)=\(launcher) is not this process's parent"
            )
        }
    }

    /// A number of this build: equal executables, equal numbers.
    public static var buildFingerprint: String {
        let sum = perseus_file_checksum("/proc/self/exe")
        let digits = String(sum, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
