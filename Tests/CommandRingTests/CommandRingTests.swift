// The ring as a whole: attaching, back-pressure, and agreement with a plain queue.
import PerseusPrimitives
import Testing

@testable import PerseusCommandRing

/// Ring memory that frees itself.
final class RingMemory {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
    let ring: CommandRing

    init(capacity: Int) {
        byteCount = CommandRing.byteCount(capacity: capacity)
        base = .allocate(byteCount: byteCount, alignment: 128)
        ring = CommandRing.initialize(at: base, capacity: capacity)
    }

    deinit { base.deallocate() }
}

struct CommandRingTests {
    @Test func attachSeesTheSameRing() throws {
        let memory = RingMemory(capacity: 8)
        let other = try CommandRing.attach(at: memory.base, byteCount: memory.byteCount)
        #expect(other.capacity == 8)
        #expect(other.tryPush(.quiet(boardIndex: 1)))
        #expect(memory.ring.claimedPosition == 1)
    }

    @Test(arguments: [(0, UInt64(1), "magic"), (8, 9, "version"), (12, 3, "capacity")])
    func attachRefuses(byteOffset: Int, value: UInt64, reason: String) {
        let memory = RingMemory(capacity: 8)
        let word = UInt32(truncatingIfNeeded: value)
        memory.base.storeBytes(of: word, toByteOffset: byteOffset, as: UInt32.self)
        let error = #expect(throws: PerseusError.self) {
            _ = try CommandRing.attach(at: memory.base, byteCount: memory.byteCount)
        }
        #expect(error?.kind == .badInput)
        #expect(error?.message.contains(reason) == true)
    }

    @Test func attachRefusesShortOrUnalignedMemory() {
        let memory = RingMemory(capacity: 8)
        for (shift, cut) in [(0, 1), (0, memory.byteCount - 100), (64, 64)] {
            #expect(throws: PerseusError.self) {
                _ = try CommandRing.attach(
                    at: memory.base + shift, byteCount: memory.byteCount - cut)
            }
        }
    }

    @Test func fullRingRefusesWithoutSideEffects() {
        let memory = RingMemory(capacity: 4)
        let put = CommandRingTests.put(1)
        for _ in 0..<2 { #expect(memory.ring.tryPush(put)) }
        let words: [UInt64] = [1, 2, 3]
        let header = Command.signalBlock(
            destination: 1, target: HeapLocation(.signal, byteOffset: 0), wordCount: 3)
        let accepted = words.withUnsafeBufferPointer {
            memory.ring.tryPush(header: header, operands: $0)
        }
        #expect(!accepted)
        #expect(memory.ring.claimedPosition == 2)
        var consumer = CommandRingConsumer(memory.ring)
        var command = Command()
        var operands = [UInt64](repeating: 0, count: 1024)
        #expect(consumer.next(&command, operands: &operands))
        #expect(memory.ring.retiredPosition == 0, "credits return only in retire")
        consumer.retire()
        #expect(memory.ring.retiredPosition == 1)
        #expect(words.withUnsafeBufferPointer { memory.ring.tryPush(header: header, operands: $0) })
    }

    /// A header whose operands are not all published is not handed out, and nothing moves.
    @Test func incompleteCommandIsNotHandedOut() {
        let memory = RingMemory(capacity: 4)
        let header = Command.signalBlock(
            destination: 1, target: HeapLocation(.signal, byteOffset: 0), wordCount: 2)
        let position = memory.ring.tryClaim(slotCount: 2)
        memory.ring.publish(first: header.first, second: header.second, at: position ?? 0)
        var consumer = CommandRingConsumer(memory.ring)
        var command = Command()
        var operands = [UInt64](repeating: 0, count: 1024)
        let hasHeader = consumer.hasWork
        #expect(hasHeader)
        #expect(!consumer.next(&command, operands: &operands))
        memory.ring.publish(first: 8, second: 9, at: 1)
        #expect(consumer.next(&command, operands: &operands))
        #expect(command == header && operands[0] == 8 && operands[1] == 9)
        let hasMore = consumer.hasWork
        #expect(!hasMore)
    }

    /// Random pushes and reads agree with a plain queue.
    @Test(arguments: [1, 2, 8, 64])
    func agreesWithAQueue(capacity: Int) {
        let seed = UInt64(capacity)
        var random = SeededRandom(seed: seed)
        let memory = RingMemory(capacity: capacity)
        var consumer = CommandRingConsumer(memory.ring)
        var model: [DeliveredCommand] = []
        var usedSlots = 0
        var operands = [UInt64](repeating: 0, count: 1024)
        for step in 0..<2000 {
            if random.chance(0.5) {
                let words = (0..<random.next(below: 6)).map { _ in random.next() >> 1 }
                let pushed = CommandRingTests.commands(step: step, words)
                let slotCount = pushed.reduce(0) { $0 + $1.header.slotCount }
                guard slotCount <= capacity else { continue }
                let accepted = CommandRingTests.push(pushed, words, to: memory.ring)
                #expect(accepted == (usedSlots + slotCount <= capacity), "seed \(seed)")
                if accepted { model += pushed }
                if accepted { usedSlots += slotCount }
            } else {
                var command = Command()
                let got = consumer.next(&command, operands: &operands)
                #expect(got == !model.isEmpty, "seed \(seed), step \(step)")
                guard got else { continue }
                let expected = model.removeFirst()
                #expect(command == expected.header)
                #expect(Array(operands.prefix(expected.operands.count)) == expected.operands)
                consumer.retire()
                usedSlots -= command.slotCount
            }
        }
    }

    static func put(_ index: Int) -> Command {
        .put(
            destination: 1, source: HeapLocation(.data, byteOffset: index * 16),
            target: HeapLocation(.data, byteOffset: 0), byteCount: 16)
    }

    /// A put, a signalBlock, or both in one claim, by the number of words and the step.
    static func commands(step: Int, _ words: [UInt64]) -> [DeliveredCommand] {
        let put = DeliveredCommand(header: CommandRingTests.put(step), operands: [])
        if words.isEmpty { return [put] }
        let header = Command.signalBlock(
            destination: 1, target: HeapLocation(.signal, byteOffset: 8 * step),
            wordCount: words.count)
        let block = DeliveredCommand(header: header, operands: words)
        return step % 2 == 0 ? [block] : [put, block]
    }

    static func push(
        _ commands: [DeliveredCommand], _ words: [UInt64], to ring: CommandRing
    ) -> Bool {
        words.withUnsafeBufferPointer { operands in
            if operands.isEmpty { return ring.tryPush(commands[0].header) }
            if commands.count == 1 {
                return ring.tryPush(header: commands[0].header, operands: operands)
            }
            return ring.tryPush(commands[0].header, commands[1].header, operands: operands)
        }
    }
}
