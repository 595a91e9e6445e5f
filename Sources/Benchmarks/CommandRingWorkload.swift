// The loops that `bench ring` times: the Swift ring in the same steps as its C baseline.

import CPerseusABI
import CPerseusShims
import PerseusCommandRing

/// Commands drained before `retire`, as the proxy does it.
private let batch = 32
private let signalWordCount = 8

/// Spins, and gives the core away now and then: producers may outnumber the cores.
@inline(__always)
private func waitALittle(_ spins: inout UInt32) {
    spins &+= 1
    if spins % 256 == 0 { perseus_yield() } else { perseus_pause() }
}

/// Some microseconds, so that a stream runs over whole lines: a consumer that polls at once takes
/// the line away from the producer at every slot. Without this pause
/// both implementations fall, by chance, into streams twice as slow (two cores, 2026-11).
@inline(__always)
private func waitWhenCaughtUp(_ spins: inout UInt32) {
    var pause = 0
    while pause < 256 {
        waitALittle(&spins)
        pause &+= 1
    }
}

@inline(__always)
private func place(_ region: HeapRegion, _ index: Int) -> HeapLocation {
    HeapLocation(region, byteOffset: (index & 0xFF_FFFF) &* 16)
}

@inline(__always)
private func pushPut(_ ring: CommandRing, producer: Int, index: Int) {
    let put = Command.put(
        destination: producer, source: place(.data, index), target: place(.data, index),
        byteCount: 16)
    var spins: UInt32 = 0
    while !ring.tryPush(put) { waitALittle(&spins) }
}

/// Pushes `count` puts of `producer`, waiting while the ring is full.
@inline(never)
func pushPuts(_ ring: CommandRing, producer: Int, count: Int) {
    var index = 0
    while index < count {
        pushPut(ring, producer: producer, index: index)
        index &+= 1
    }
}

/// Pushes `count` pairs of a putSignal and a signalBlock of 8 words.
@inline(never)
func pushPairs(_ ring: CommandRing, producer: Int, count: Int) {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: signalWordCount) { words in
        let target = HeapLocation(.signal, byteOffset: 0)
        var index = 0
        while index < count {
            var word = 0
            while word < signalWordCount {
                words[word] = UInt64(truncatingIfNeeded: index &+ word)
                word &+= 1
            }
            let put = Command.putSignal(
                destination: producer, source: place(.data, index), target: place(.data, index),
                byteCount: 16)
            let header = Command.signalBlock(
                destination: producer, target: target, wordCount: signalWordCount)
            let operands = UnsafeBufferPointer(words)
            var spins: UInt32 = 0
            while !ring.tryPush(put, header, operands: operands) { waitALittle(&spins) }
            index &+= 1
        }
    }
}

@inline(__always)
private func drainBatch(
    _ consumer: inout CommandRingConsumer, limit: Int, operands: UnsafeMutablePointer<UInt64>,
    sum: inout UInt64
) -> Int {
    var command = Command()
    var drained = 0
    while drained < limit, consumer.next(&command, operands: operands) {
        sum &+= command.first &+ command.second
        let wordCount = command.operandSlotCount &* 2
        var word = 0
        while word < wordCount {
            sum &+= operands[word]
            word &+= 1
        }
        drained &+= 1
    }
    consumer.retire()
    return drained
}

/// Drains `count` commands in batches. Returns the sum of all their words.
@inline(never)
func drain(_ ring: CommandRing, count: Int) -> UInt64 {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1024) { operands in
        var consumer = CommandRingConsumer(ring)
        var sum: UInt64 = 0
        var drained = 0
        var spins: UInt32 = 0
        while drained < count {
            let limit = min(batch, count &- drained)
            let done = drainBatch(
                &consumer, limit: limit, operands: operands.baseAddress!, sum: &sum)
            if done < limit { waitWhenCaughtUp(&spins) }
            drained &+= done
        }
        return sum
    }
}

/// On one thread: pushes a batch, drains it, until `count` puts went through. Returns the sum.
@inline(never)
func cycle(_ ring: CommandRing, count: Int) -> UInt64 {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1024) { operands in
        var consumer = CommandRingConsumer(ring)
        var sum: UInt64 = 0
        var done = 0
        while done < count {
            var index = 0
            while index < batch {
                pushPut(ring, producer: 0, index: done &+ index)
                index &+= 1
            }
            _ = drainBatch(
                &consumer, limit: batch, operands: operands.baseAddress!, sum: &sum)
            done &+= batch
        }
        return sum
    }
}
