// What a run of `bench ring --device cuda` lives in: rings in mapped memory, words on the device.

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusDevice
import PerseusPrimitives

/// Rings and the device-memory words of the benchmark kernels; reset before every launch.
final class DeviceRingMemory {
    static let capacity = 4096
    static let maxWaiterCount = 256
    static let maxSampleCount = 1 << 16

    let device: CUDADevice
    let stream: CUDAStream
    private(set) var rings: [CommandRing] = []
    /// Rings, then a line that the fence kernel stores to.
    private let host: MappedBuffer
    /// One line each, see `Line`; then the signal words of the waiters.
    private let words: DeviceBuffer
    /// [2][maxSampleCount] 32-bit cycle counts.
    private let samples: DeviceBuffer
    private let cycleLimit: UInt64

    /// Lines of 128 bytes in `words`, behind two of each ring (claimed, credit).
    private enum Line: Int {
        case finished, waiting, waitedCredit, error, clock, signals
    }

    private static let ringStride = (CommandRing.byteCount(capacity: capacity) + 4095) & -4096
    private static var ringCount: Int { Int(PERSEUS_BENCH_MAX_RINGS) }
    private static let line = Int(PERSEUS_SHARED_WORD_STRIDE)

    /// - Parameter cycleLimit: SM clock cycles after which a wait in a kernel fails.
    init(_ device: CUDADevice, cycleLimit: UInt64) throws(PerseusError) {
        self.device = device
        self.cycleLimit = cycleLimit
        stream = try device.makeStream()
        host = try device.allocateMapped(Self.ringStride * Self.ringCount + Self.line)
        words = try device.allocate(
            Self.line * (2 * Self.ringCount + Line.signals.rawValue) + Self.maxWaiterCount * 8)
        samples = try device.allocate(2 * Self.maxSampleCount * 4)
        try reset()
    }

    /// Empty rings, zeroed words.
    func reset() throws(PerseusError) {
        rings = (0..<Self.ringCount).map {
            CommandRing.initialize(
                at: host.pointer + $0 * Self.ringStride, capacity: Self.capacity)
        }
        try words.fill(UInt8(0), on: stream)
        try samples.fill(UInt8(0), on: stream)
        try stream.synchronize()
    }

    /// Ring `index` as a kernel sees it.
    func view(of index: Int) -> perseus_device_ring {
        let base = host.address + UInt64(index * Self.ringStride)
        let header = UInt64(MemoryLayout<perseus_ring_header>.size)
        var ring = perseus_device_ring()
        ring.slots = base + header
        ring.retired = base + header - UInt64(Self.line)
        ring.claimed = words.address + UInt64(2 * index * Self.line)
        ring.credit = ring.claimed + UInt64(Self.line)
        ring.error = address(.error)
        ring.cycle_limit = cycleLimit
        ring.capacity_log2 = UInt32(Self.capacity.trailingZeroBitCount)
        ring.index = UInt32(index)
        return ring
    }

    private func offset(_ line: Line) -> Int { (2 * Self.ringCount + line.rawValue) * Self.line }
    private func address(_ line: Line) -> UInt64 { words.address + UInt64(offset(line)) }

    var finished: UInt64 { address(.finished) }
    var waiting: UInt64 { address(.waiting) }
    var waitedCredit: UInt64 { address(.waitedCredit) }
    var clock: UInt64 { address(.clock) }
    var signals: UInt64 { address(.signals) }
    /// What the fence kernel stores to, in host memory.
    var target: UInt64 { host.address + UInt64(Self.ringStride * Self.ringCount) }
    /// Array 0 or 1 of cycle counts.
    func samples(_ index: Int) -> UInt64 {
        samples.address + UInt64(index * Self.maxSampleCount * 4)
    }

    /// Nanoseconds from array `index` of cycle counts, by the clock that the kernel kept.
    func nanoseconds(_ index: Int, count: Int) throws(PerseusError) -> [Double] {
        let clock = try words.read(perseus_bench_clock.self, count: 1, at: offset(.clock))[0]
        guard clock.cycles > 0, clock.nanoseconds > 0 else {
            throw PerseusError(.wrongResult, "bench ring: the kernel measured no time")
        }
        let cycles = try samples.read(
            UInt32.self, count: count, at: index * Self.maxSampleCount * 4)
        let perCycle = Double(clock.nanoseconds) / Double(clock.cycles)
        return cycles.map { Double($0) * perCycle }
    }

    /// Waits for the stream, at most until `deadline` of the monotonic clock.
    ///
    /// - Throws: `.deadline` when the kernel still runs or one of its waits failed.
    func finishLaunch(_ name: String, deadline: UInt64) throws(PerseusError) {
        while try !stream.query() {
            guard perseus_monotonic_nanoseconds() < deadline else {
                throw PerseusError(.deadline, "bench ring: \(name) does not end")
            }
            perseus_sleep_nanoseconds(100_000)
        }
        let record = try words.read(perseus_error_record.self, count: 1, at: offset(.error))[0]
        guard record.state == UInt32(PERSEUS_ERROR_NONE.rawValue) else {
            throw PerseusError(.deadline, "bench ring: \(name): \(describe(record))")
        }
    }
}

/// The failed wait of a device kernel in words.
func describe(_ record: perseus_error_record) -> String {
    let kind =
        switch perseus_wait_kind(record.wait_kind) {
        case PERSEUS_WAIT_RING_CREDIT: "room in ring"
        case PERSEUS_WAIT_RING_RETIRED: "the proxy to take a command out of ring"
        case PERSEUS_WAIT_SIGNAL: "signal word"
        case PERSEUS_WAIT_QUIET: "completion-board word"
        case PERSEUS_WAIT_GROUP: "group"
        case PERSEUS_WAIT_PRODUCERS: "the producers, in the relay of ring"
        default: "an unknown thing (kind \(record.wait_kind))"
        }
    return "rank \(record.rank), block \(record.block), thread \(record.thread) waited "
        + "\(record.cycles) cycles for \(kind) \(record.index): "
        + "expected 0x\(String(record.expected, radix: 16)), "
        + "saw 0x\(String(record.seen, radix: 16))"
}
