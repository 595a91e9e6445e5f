// What the soft NICs of a job of processes share: one memory file per rank, found through the rendezvous.

import CPerseusABI
import CPerseusShims
import Glibc
import PerseusCommandRing
import PerseusMemory
import PerseusPrimitives
import PerseusTransport

/// Every rank's memory in this process's address space.
///
/// Each rank creates its file, publishes where it is, and maps those of all others; addresses differ from process to
/// process and offsets do not. The ports of all ranks lie in the file of rank 0.
///
/// - Threading: fixed after `init`; who may write what is said by `SoftFabricView` and `SymmetricHeap`.
public final class SharedFabric: @unchecked Sendable {
    /// [rank]
    public let heaps: [SymmetricHeap]
    /// [rank]: until when each receiving port is busy.
    let ports: UnsafeMutablePointer<UInt64>
    /// [rank]; none where no ordering uses immediates.
    let receiveQueues: [CommandRing]
    private let files: [SharedMemory]
    var rankCount: Int { files.count }

    /// Creates this rank's part and maps the others'; `step` names the exchange.
    ///
    /// - Parameter receiveDepth: slots of each rank's receive queue; 0: none.
    /// - Errors: `environment` when memory cannot be had, or a rank runs where its memory cannot be reached;
    ///   those of the rendezvous.
    public init(
        _ rendezvous: any Rendezvous, layout: perseus_arena_layout, hasData: Bool,
        hasShadow: Bool, receiveDepth: Int, step: String
    ) throws(PerseusError) {
        let plan = FilePlan(
            layout, ranks: rendezvous.rankCount, hasData: hasData, hasShadow: hasShadow,
            receiveDepth: receiveDepth)
        let own = try SharedMemory(creating: "perseus-rank", byteCount: plan.byteCount)
        let header = Header(rank: rendezvous.rank, job: rendezvous.jobFingerprint)
        header.write(to: own)
        if let queue = plan.receiveQueue {
            _ = CommandRing.initialize(at: own.base + queue, capacity: receiveDepth)
        }
        let address = SharedAddress(own)
        let blobs = try rendezvous.exchange(address.bytes, step: step)
        var files: [SharedMemory] = []
        for (rank, blob) in blobs.enumerated() {
            if rank == rendezvous.rank {
                files.append(own)
                continue
            }
            do throws(PerseusError) {
                let file = try address.open(blob, byteCount: plan.byteCount, rank: rank)
                try Header(rank: rank, job: rendezvous.jobFingerprint).check(file)
                files.append(file)
            } catch {
                throw Self.loss(behindMissing: rank, rendezvous) ?? error
            }
        }
        var queues: [CommandRing] = []
        if let queue = plan.receiveQueue {
            for file in files {
                queues.append(
                    try .attach(at: file.base + queue, byteCount: plan.byteCount - queue))
            }
        }
        self.files = files
        receiveQueues = queues
        ports = (files[0].base + FilePlan.page).bindMemory(
            to: UInt64.self, capacity: files.count)
        heaps = files.map {
            SymmetricHeap(
                layout: layout, in: $0, data: plan.data, signals: plan.signals,
                shadow: plan.shadow)
        }
    }

    /// Who died after it published its address has no memory any more, nor has who left because another had died: the
    /// lifeline will say so.
    private static func loss(
        behindMissing rank: Int, _ rendezvous: any Rendezvous
    ) -> PerseusError? {
        for _ in 0..<200 {
            if let loss = rendezvous.losses.first {
                return PerseusError(
                    .deadline, "\(loss); this rank waits for the memory of rank \(rank)")
            }
            if rendezvous.isInterrupted { return nil }
            perseus_sleep_nanoseconds(10_000_000)
        }
        return nil
    }

    /// Zero of the job's clock, nanoseconds of the machine's: port times of all ranks count from it.
    public var clockOrigin: UInt64 {
        get { perseus_load_acquire(originWord) }
        set { perseus_store_release(originWord, newValue) }
    }

    private var originWord: UnsafeMutablePointer<UInt64> {
        files[0].base.assumingMemoryBound(to: UInt64.self) + Header.originIndex
    }
}

/// Where the parts of a rank's file lie: equal on all ranks.
private struct FilePlan {
    static let page = 4096
    /// The header has the first page, the ports have what follows.
    private(set) var byteCount = page
    private(set) var receiveQueue: Int?
    private(set) var signals = 0
    private(set) var shadow: Int?
    private(set) var data: Int?

    init(
        _ layout: perseus_arena_layout, ranks: Int, hasData: Bool, hasShadow: Bool,
        receiveDepth: Int
    ) {
        _ = add(ranks * MemoryLayout<UInt64>.stride)
        if receiveDepth > 0 { receiveQueue = add(CommandRing.byteCount(capacity: receiveDepth)) }
        signals = add(Int(layout.signal_byte_count))
        if hasShadow { shadow = add(Int(layout.signal_byte_count)) }
        if hasData { data = add(Int(layout.data_byte_count)) }
    }

    private mutating func add(_ count: Int) -> Int {
        defer { byteCount += max(Self.page, (count + Self.page - 1) & ~(Self.page - 1)) }
        return byteCount
    }
}

/// The first words of a rank's file: whose it is. A process number that was given again shows here.
private struct Header {
    let rank: Int
    let job: UInt64

    /// "PERSEUS1" as bytes.
    static let magic: UInt64 = 0x3153_5545_5352_4550
    /// The word of `clockOrigin`, on a line of its own.
    static let originIndex = 16

    func write(to file: SharedMemory) {
        let words = file.base.bindMemory(to: UInt64.self, capacity: Self.originIndex + 1)
        words[1] = UInt64(rank)
        words[2] = job
        perseus_store_release(words, Self.magic)
    }

    func check(_ file: SharedMemory) throws(PerseusError) {
        let words = file.base.assumingMemoryBound(to: UInt64.self)
        guard perseus_load_acquire(words) == Self.magic, words[1] == UInt64(rank), words[2] == job
        else {
            throw PerseusError(
                .environment, "the memory of rank \(rank) belongs to another job or rank")
        }
    }
}

/// Where a rank's file can be opened: machine, process namespace, process, descriptor.
struct SharedAddress {
    let machine: String
    let namespace: UInt64
    let process: Int32
    let descriptor: Int32
    let byteCount: UInt64

    init(_ file: SharedMemory) {
        machine = Self.text("/proc/sys/kernel/random/boot_id")
        var status = stat()
        namespace = stat("/proc/self/ns/pid", &status) == 0 ? UInt64(status.st_ino) : 0
        process = getpid()
        descriptor = file.descriptor
        byteCount = UInt64(file.byteCount)
    }

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.append(machine)
        writer.append(namespace)
        writer.append(process)
        writer.append(descriptor)
        writer.append(byteCount)
        return writer.bytes
    }

    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let machine = reader.text(), let namespace = reader.integer(UInt64.self),
            let process = reader.integer(Int32.self), let descriptor = reader.integer(Int32.self),
            let byteCount = reader.integer(UInt64.self), reader.isAtEnd
        else { return nil }
        (self.machine, self.namespace, self.process) = (machine, namespace, process)
        (self.descriptor, self.byteCount) = (descriptor, byteCount)
    }

    /// The file of `rank`, whose address is in `blob`; `self` is this process's own.
    func open(_ blob: [UInt8], byteCount: Int, rank: Int) throws(PerseusError) -> SharedMemory {
        guard let there = SharedAddress(blob) else {
            throw PerseusError(
                .environment, "rank \(rank) sent no address of a soft NIC")
        }
        guard there.machine == machine else {
            throw PerseusError(
                .environment, "rank \(rank) runs on another machine",
                hint: "the soft NIC needs all ranks on one")
        }
        guard there.namespace == namespace else {
            throw PerseusError(
                .environment, "rank \(rank) runs in another container (PID namespace)",
                hint: "the soft NIC needs all ranks in one")
        }
        guard there.byteCount == UInt64(byteCount) else {
            throw PerseusError(
                .badInput,
                "rank \(rank) laid out \(there.byteCount) bytes of memory, this rank \(byteCount)")
        }
        return try SharedMemory(
            process: there.process, descriptor: there.descriptor, byteCount: byteCount,
            owner: "rank \(rank)")
    }

    private static func text(_ path: String) -> String {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "unknown" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(descriptor, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
