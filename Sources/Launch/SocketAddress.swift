// `host:port` as a person writes it, resolved once; listening there and nowhere else.

import Glibc
import PerseusPrimitives

/// Where rank 0 listens.
public struct SocketAddress: Sendable, CustomStringConvertible {
    public let description: String
    private let storage: [UInt8]
    private let family: Int32

    /// - Errors: `badInput` for what is no `host:port`, `environment` for a host that has no address.
    public init(_ text: String, variable: String = "PERSEUS_RENDEZVOUS") throws(PerseusError) {
        guard let colon = text.lastIndex(of: ":"), colon != text.startIndex,
            let port = UInt16(text[text.index(after: colon)...]), port > 0
        else {
            throw PerseusError(
                .badInput, "\(variable)=\(text): expected HOST:PORT, such as 10.0.0.1:4000")
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0, let first = list else {
            throw PerseusError(
                .environment, "\(variable)=\(text): \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(list) }
        description = text
        family = first.pointee.ai_family
        storage = Array(
            UnsafeRawBufferPointer(
                start: first.pointee.ai_addr, count: Int(first.pointee.ai_addrlen)))
    }

    private func withAddress<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        storage.withUnsafeBytes {
            body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
    }

    private func makeSocket() -> Int32 {
        socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    }

    /// - Errors: `environment` with the system's reason.
    func listen() throws(PerseusError) -> Int32 {
        let descriptor = makeSocket()
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        guard descriptor >= 0, withAddress({ bind(descriptor, $0, $1) }) == 0,
            Glibc.listen(descriptor, 128) == 0
        else {
            let reason = String(cString: strerror(errno))
            if descriptor >= 0 { close(descriptor) }
            throw PerseusError(
                .environment, "rank 0 cannot listen at \(description): \(reason)",
                hint: "PERSEUS_RENDEZVOUS is an address of rank 0's machine")
        }
        return descriptor
    }

    /// One attempt: a connected descriptor, or -1 and why not.
    func connect(within nanoseconds: UInt64) -> (descriptor: Int32, code: Int32) {
        let descriptor = makeSocket()
        guard descriptor >= 0 else { return (-1, errno) }
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        if withAddress({ Glibc.connect(descriptor, $0, $1) }) == 0 { return (descriptor, 0) }
        var code = errno
        if code == EINPROGRESS {
            var entry = pollfd(descriptor: descriptor, wantsWrite: true)
            // Short attempts: the caller looks at its deadline between them.
            let isReady = poll(&entry, 1, Int32(min(500, nanoseconds / 1_000_000 + 1))) == 1
            var size = socklen_t(4)
            code = ETIMEDOUT
            if isReady { getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) }
            if isReady && code == 0 { return (descriptor, 0) }
        }
        close(descriptor)
        return (-1, code)
    }

    /// A socket that listens on a free port of the loopback interface, and where that is.
    static func listenOnLoopback() throws(PerseusError) -> (descriptor: Int32, address: String) {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = socket(
            AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && Glibc.listen(descriptor, 128) == 0
                    && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard descriptor >= 0, isListening else {
            let reason = String(cString: strerror(errno))
            if descriptor >= 0 { close(descriptor) }
            throw PerseusError(.environment, "cannot listen on the loopback interface: \(reason)")
        }
        return (descriptor, "127.0.0.1:\(UInt16(bigEndian: address.sin_port))")
    }
}
