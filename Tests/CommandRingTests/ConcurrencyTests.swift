// Real threads and real processes on one ring: order, integrity and end of the stream.
import CPerseusShims
import Glibc
import PerseusPrimitives
import Testing

@testable import PerseusCommandRing

/// What one pushing thread needs.
final class ProducerContext: Sendable {
    let ring: CommandRing
    let producer: Int
    let count: Int

    init(ring: CommandRing, producer: Int, count: Int) {
        self.ring = ring
        self.producer = producer
        self.count = count
    }

    /// Pushes `count` pairs of a put and a three-word signal that carries the pair's number.
    func pushAll() {
        for index in 0..<count {
            let location = HeapLocation(.data, byteOffset: index * 16)
            let put = Command.putSignal(
                destination: producer, source: location, target: location, byteCount: 16)
            let header = Command.signalBlock(
                destination: producer, target: HeapLocation(.signal, byteOffset: 0), wordCount: 3)
            withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 3) { words in
                for word in 0..<3 { words[word] = UInt64(index * 3 + word) }
                let operands = UnsafeBufferPointer(words)
                while !ring.tryPush(put, header, operands: operands) { perseus_yield() }
            }
        }
    }
}

/// Reads `count` pairs from each of `producerCount` producers; false on the first wrong one.
func drainPairs(_ ring: CommandRing, producerCount: Int, count: Int) -> Bool {
    var consumer = CommandRingConsumer(ring)
    var nextIndex = [Int](repeating: 0, count: producerCount)
    var command = Command()
    var operands = [UInt64](repeating: 0, count: 1024)
    var expectsSignalOf = -1
    let deadline = perseus_monotonic_nanoseconds() + 20_000_000_000
    while nextIndex.contains(where: { $0 < count }) {
        guard consumer.next(&command, operands: &operands) else {
            consumer.retire()
            guard perseus_monotonic_nanoseconds() < deadline else { return false }
            perseus_yield()
            continue
        }
        let producer = command.destination
        guard producer < producerCount else { return false }
        if command.opcode == .putSignal {
            guard expectsSignalOf < 0 else { return false }
            guard command.source.byteOffset == nextIndex[producer] * 16 else { return false }
            expectsSignalOf = producer
        } else {
            guard expectsSignalOf == producer else { return false }
            let first = UInt64(nextIndex[producer] * 3)
            guard operands[0..<3] == [first, first + 1, first + 2] else { return false }
            nextIndex[producer] += 1
            expectsSignalOf = -1
        }
    }
    consumer.retire()
    return ring.claimedPosition == ring.retiredPosition
}

struct ConcurrencyTests {
    @Test(arguments: [4, 64])
    func threeThreadsKeepTheirOrder(capacity: Int) {
        let memory = RingMemory(capacity: capacity)
        var threads: [pthread_t] = []
        for producer in 0..<3 {
            let context = ProducerContext(ring: memory.ring, producer: producer, count: 2000)
            var thread = pthread_t()
            let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
                Unmanaged<ProducerContext>.fromOpaque($0!).takeRetainedValue().pushAll()
                return nil
            }
            pthread_create(&thread, nil, body, Unmanaged.passRetained(context).toOpaque())
            threads.append(thread)
        }
        #expect(drainPairs(memory.ring, producerCount: 3, count: 2000))
        for thread in threads { pthread_join(thread, nil) }
    }

    /// A forked child pushes through a mapping of its own at another address.
    @Test func anotherProcessPushes() throws {
        let byteCount = CommandRing.byteCount(capacity: 16)
        let descriptor = perseus_shared_memory_create("perseus-ring-test", byteCount)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let here = try #require(perseus_shared_memory_map(descriptor, byteCount))
        let there = try #require(perseus_shared_memory_map(descriptor, byteCount))
        defer {
            perseus_shared_memory_unmap(here, byteCount)
            perseus_shared_memory_unmap(there, byteCount)
        }
        #expect(here != there)
        let ring = CommandRing.initialize(at: here, capacity: 16)
        // The child runs only the push, on the second mapping: it neither allocates nor locks.
        let attached = try CommandRing.attach(at: there, byteCount: byteCount)
        let context = ProducerContext(ring: attached, producer: 0, count: 500)
        let child = perseus_fork_child(
            {
                Unmanaged<ProducerContext>.fromOpaque($0!).takeUnretainedValue().pushAll(); return 7
            },
            Unmanaged.passUnretained(context).toOpaque())
        try #require(child > 0)
        let isComplete = drainPairs(ring, producerCount: 1, count: 500)
        #expect(isComplete)
        if !isComplete { kill(child, SIGKILL) }
        #expect(perseus_wait_child(child) == 7)
        withExtendedLifetime(context) {}
    }
}

struct SPSCRingTests {
    @Test(arguments: [1, 2, 8])
    func keepsOrderAndCountsAcrossLaps(capacity: Int) {
        let ring = SPSCRing<(UInt64, UInt32)>.allocate(capacity: capacity)
        defer { ring.deallocate() }
        var popped: (UInt64, UInt32) = (0, 0)
        #expect(!ring.tryPop(into: &popped) && ring.peek() == nil)
        for lap in 0..<5 {
            for index in 0..<capacity {
                #expect(ring.count == index && ring.freeCount == capacity - index)
                #expect(ring.tryPush((UInt64(lap * capacity + index), 9)))
            }
            #expect(!ring.tryPush((0, 0)))
            for index in 0..<capacity {
                #expect(ring.peek()?.pointee.0 == UInt64(lap * capacity + index))
                #expect(ring.tryPop(into: &popped) && popped.0 == UInt64(lap * capacity + index))
            }
        }
        #expect(!ring.tryPop(into: &popped))
    }

    /// Against an array: what is pushed while others wait makes the ring grow, and an empty one begins again.
    @Test(arguments: 1...20)
    func oneThreadKeepsOrderWhileTheRingGrows(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed), stream: 3)
        let capacity = 1 << random.next(below: 8)
        let ring = SPSCRing<UInt64>.allocate(capacity: capacity, hasOneThread: true)
        defer { ring.deallocate() }
        var list: [UInt64] = []
        for value in 0..<UInt64(2000) {
            let isRising = (value / 300).isMultiple(of: 2)
            if random.chance(isRising ? 0.7 : 0.3) {
                #expect(ring.hasRoom == (list.count < capacity))
                #expect(ring.tryPush(value) == (list.count < capacity))
                if list.count < capacity { list.append(value) }
            } else {
                var popped: UInt64 = 0
                #expect(ring.peek()?.pointee == list.first)
                #expect(ring.tryPop(into: &popped) == !list.isEmpty)
                if !list.isEmpty { #expect(popped == list.removeFirst()) }
            }
            #expect(ring.count == list.count && ring.freeCount == capacity - list.count)
        }
    }

    @Test func twoThreads() {
        let ring = SPSCRing<UInt64>.allocate(capacity: 8)
        defer { ring.deallocate() }
        var thread = pthread_t()
        let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
            let ring = SPSCRing<UInt64>.attach(at: $0!, capacity: 8)
            for value in 0..<UInt64(5000) { while !ring.tryPush(value) { perseus_yield() } }
            return nil
        }
        pthread_create(&thread, nil, body, UnsafeMutableRawPointer(ring.head))
        var value: UInt64 = 0
        var expected: UInt64 = 0
        while expected < 5000 {
            guard ring.tryPop(into: &value) else {
                perseus_yield()
                continue
            }
            if value != expected { break }
            expected += 1
        }
        #expect(expected == 5000)
        pthread_join(thread, nil)
    }
}
