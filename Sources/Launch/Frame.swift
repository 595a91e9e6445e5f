// The unit of the rendezvous protocol: eight bytes of header, then at most as many as the reader allows.

import PerseusPrimitives

/// One message between a rank and rank 0.
///
/// ```
/// byte  0     1     2     3     4 … 7
///      'P'   'R'   kind  zero  payload bytes, little-endian
/// ```
struct Frame: Equatable {
    enum Kind: UInt8, CaseIterable {
        /// A stranger's first word: protocol version, nonce.
        case greeting = 1
        /// Rank 0's answer: its nonce and its proof of the token.
        case challenge
        /// Rank, size, agreement, and the proof of the token.
        case join
        /// Every rank has joined and agrees.
        case admitted
        /// Not with us: exit status and reason.
        case refused
        /// A part of what a rank brings to a step.
        case contribution
        /// What a step gave: blobs by rank.
        case result
        /// I am alive.
        case heartbeat
        /// Another rank is lost: rank and reason.
        case loss
        /// I have failed: reason. The connection ends.
        case failure
        /// I am done. The connection ends.
        case farewell
    }

    var kind: Kind
    var payload: [UInt8] = []

    static let headerByteCount = 8

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.append(UInt8(ascii: "P"))
        writer.append(UInt8(ascii: "R"))
        writer.append(kind.rawValue)
        writer.append(UInt8(0))
        writer.append(payload)
        return writer.bytes
    }
}

/// Bytes that are no frame: whoever sent them speaks something else.
struct MalformedFrame: Error, Equatable {
    let reason: String
}

/// Cuts a stream of bytes into frames.
struct FrameReader {
    /// Most bytes of a payload; a stranger gets little, a member much.
    var limit: Int
    private var pending: [UInt8] = []
    private var start = 0

    init(limit: Int) { self.limit = limit }

    mutating func append(_ bytes: UnsafeRawBufferPointer) { pending.append(contentsOf: bytes) }

    /// The next whole frame; nil when more bytes are needed.
    mutating func next() throws(MalformedFrame) -> Frame? {
        guard pending.count - start >= Frame.headerByteCount else { return nil }
        guard pending[start] == UInt8(ascii: "P"), pending[start + 1] == UInt8(ascii: "R"),
            let kind = Frame.Kind(rawValue: pending[start + 2]), pending[start + 3] == 0
        else { throw MalformedFrame(reason: "no frame header") }
        let length = (0..<4).reduce(0) { $0 | Int(pending[start + 4 + $1]) << (8 * $1) }
        guard length <= limit else {
            throw MalformedFrame(reason: "a frame of \(length) bytes, at most \(limit) are taken")
        }
        let end = start + Frame.headerByteCount + length
        guard pending.count >= end else { return nil }
        let payload = Array(pending[start + Frame.headerByteCount..<end])
        start = end
        if start == pending.count {
            pending.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 1 << 16 {
            pending.removeFirst(start)
            start = 0
        }
        return Frame(kind: kind, payload: payload)
    }
}
