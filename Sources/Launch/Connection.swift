// One TCP connection that never blocks: frames in, frames out, and when something was last heard.

import Glibc
import PerseusPrimitives

/// A connection between a rank and rank 0, closed in `deinit`.
///
/// - Threading: one owner at a time.
final class Connection {
    let descriptor: Int32
    var reader: FrameReader
    /// When bytes last came, nanoseconds of the owner's clock.
    var lastHeard: UInt64
    private(set) var isClosed = false
    private var outgoing: [UInt8] = []
    private var sentCount = 0

    /// Takes `descriptor` over.
    init(descriptor: Int32, limit: Int, now: UInt64) {
        self.descriptor = descriptor
        reader = FrameReader(limit: limit)
        lastHeard = now
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    }

    deinit { close(descriptor) }

    var hasOutgoing: Bool { sentCount < outgoing.count }

    func send(_ frame: Frame) {
        outgoing.append(contentsOf: frame.bytes)
        flush()
    }

    /// Sends what the system takes now.
    func flush() {
        while hasOutgoing && !isClosed {
            let count = outgoing.withUnsafeBytes {
                Glibc.send(
                    descriptor, $0.baseAddress! + sentCount, $0.count - sentCount,
                    Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sentCount += count
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                isClosed = true
            }
        }
        outgoing.removeAll(keepingCapacity: true)
        sentCount = 0
    }

    /// Takes what has arrived, at most a megabyte at a time; marks the connection closed at its end.
    func receive(now: UInt64) {
        var budget = 16
        while !isClosed && budget > 0 {
            let count = withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 1) { buffer in
                let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
                if count > 0 { reader.append(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
                return count
            }
            if count > 0 {
                lastHeard = now
                budget -= 1
            } else if count == 0 {
                isClosed = true
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                isClosed = true
            }
        }
    }

    /// Sends what is left, for at most `nanoseconds`: the owner goes away.
    func finish(within nanoseconds: UInt64) {
        let end = monotonicNow() &+ nanoseconds
        flush()
        while hasOutgoing && !isClosed && monotonicNow() < end {
            var entry = pollfd(descriptor: descriptor, wantsWrite: true)
            poll(&entry, 1, 20)
            flush()
        }
        // The other side reads to the end before it sees that this one is gone.
        shutdown(descriptor, Int32(SHUT_WR))
    }
}

extension pollfd {
    init(descriptor: Int32, wantsWrite: Bool) {
        self.init(
            fd: descriptor, events: Int16(POLLIN) | (wantsWrite ? Int16(POLLOUT) : 0), revents: 0)
    }
}
