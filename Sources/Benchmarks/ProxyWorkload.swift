// The commands that `bench proxy` pushes: what a dispatch to eight destinations looks like.

import PerseusCommandRing

/// Which puts share a signal.
enum ProxyMix: String, CaseIterable {
    /// Every put has its own signal of one word, destinations in turn.
    case pairs = "put and signal"
    /// 16 puts to a destination, then one signalBlock of 16 words; destinations in turn.
    case groups = "16 puts, 16 words"

    /// Slots and commands of one group to one destination.
    var slotCount: Int { self == .pairs ? 3 : 16 + 1 + 8 }
    var commandCount: Int { self == .pairs ? 2 : 17 }
}

/// Fills rings with the commands of a mix, a little different each time.
struct ProxyWorkload {
    let mix: ProxyMix
    let destinationCount: Int
    private var groupIndex = 0

    init(_ mix: ProxyMix, destinationCount: Int) {
        self.mix = mix
        self.destinationCount = destinationCount
    }

    /// Pushes as many groups as fit into `ring`; returns the number of commands.
    mutating func fill(_ ring: CommandRing) -> Int {
        let groupCount = ring.capacity / mix.slotCount
        for _ in 0..<groupCount {
            switch mix {
            case .pairs: pushPair(ring)
            case .groups: pushGroup(ring)
            }
            groupIndex += 1
        }
        return groupCount * mix.commandCount
    }

    private var destination: Int { groupIndex % destinationCount }

    private func location(_ row: Int) -> HeapLocation {
        HeapLocation(.data, byteOffset: row % 4096 * 4096)
    }

    private func signal(_ wordCount: Int) -> Command {
        .signalBlock(
            destination: destination,
            target: HeapLocation(.signal, byteOffset: groupIndex % 1024 * 128),
            wordCount: wordCount)
    }

    private func pushPair(_ ring: CommandRing) {
        let put = Command.putSignal(
            destination: destination, source: location(groupIndex), target: location(groupIndex),
            byteCount: 4096)
        let words = [UInt64(groupIndex)]
        let isPushed = words.withUnsafeBufferPointer {
            ring.tryPush(put, signal(1), operands: $0)
        }
        precondition(isPushed, "ProxyWorkload: the ring was not empty")
    }

    private func pushGroup(_ ring: CommandRing) {
        for index in 0..<16 {
            let row = groupIndex * 16 + index
            let put = Command.put(
                destination: destination, source: location(row), target: location(row),
                byteCount: 4096)
            precondition(ring.tryPush(put), "ProxyWorkload: the ring was not empty")
        }
        let words = (0..<16).map { UInt64(groupIndex + $0) }
        let isPushed = words.withUnsafeBufferPointer {
            ring.tryPush(header: signal(16), operands: $0)
        }
        precondition(isPushed, "ProxyWorkload: the ring was not empty")
    }
}
