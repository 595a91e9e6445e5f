// Ranks started one by one, as a person without a launcher does: the test knows each one's process.

import Foundation

/// A job over a free port of the loopback interface.
final class HandStartedJob {
    private let place: Workplace
    private let size: Int
    private let starts: [Int]
    private let port: UInt16
    /// Listens on the port itself, where the port is to be taken; -1 otherwise.
    private var listener: Int32 = -1

    /// - Parameter starts: the ranks that are started; nil: all.
    init(_ place: Workplace, size: Int, starts: [Int]? = nil, keepsPort: Bool = false) throws {
        self.place = place
        self.size = size
        self.starts = starts ?? Array(0..<size)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = socket(
            AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 1) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isBound else { throw POSIXError(.EADDRINUSE) }
        port = UInt16(bigEndian: address.sin_port)
        if keepsPort { listener = descriptor } else { close(descriptor) }
    }

    deinit { if listener >= 0 { close(listener) } }

    /// Starts the ranks, highest first: rank 0 comes last, as may happen.
    ///
    /// - Parameter binaries: by rank, of those that run another one.
    func start(
        binaries: [Int: String] = [:], _ arguments: (Int) -> [String]
    ) throws -> [(rank: Int, running: Workplace.Running)] {
        try starts.reversed().map { rank in
            let variables = [
                "PERSEUS_RENDEZVOUS": "127.0.0.1:\(port)", "PERSEUS_RANK": String(rank),
                "PERSEUS_SIZE": String(size),
                "PERSEUS_JOB_TOKEN": "a token of the end-to-end tests",
            ]
            return (
                rank,
                try place.startPerseus(
                    arguments(rank), variables: variables, binary: binaries[rank])
            )
        }.reversed()
    }

    /// Runs all and returns how each rank ended.
    func run(
        binaries: [Int: String] = [:], _ arguments: (Int) -> [String]
    ) throws -> [Ended] {
        let ranks = try start(binaries: binaries, arguments)
        return try ranks.map { try $0.running.wait() }
    }
}
