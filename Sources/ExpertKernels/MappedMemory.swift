// Large anonymous memory that is checked against what the machine has before it is taken.

import Glibc
import PerseusPrimitives

/// Zero-filled, page-aligned memory with huge pages where the system grants them; unmapped in
/// `deinit`.
struct MappedMemory: ~Copyable {
    let address: UnsafeMutableRawPointer
    let byteCount: Int

    /// - Parameter purpose: named in the error, for example "expert weights".
    /// - Throws: `.environment` when the system refuses.
    init(byteCount: Int, purpose: String) throws {
        let protection = PROT_READ | PROT_WRITE
        let mapped = mmap(nil, byteCount, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped, mapped != MAP_FAILED else {
            let reason = String(cString: strerror(errno))
            throw PerseusError(
                .environment, "cannot map \(readableByteCount(byteCount)) for \(purpose): \(reason)"
            )
        }
        // Advice only: without huge pages everything works, with more TLB misses.
        madvise(mapped, byteCount, MADV_HUGEPAGE)
        address = mapped
        self.byteCount = byteCount
    }

    deinit {
        munmap(address, byteCount)
    }
}

/// - Throws: `.environment` when `needed` exceeds `available`. Asked before mapping: overcommitted
///   memory is not refused but ends in the process being killed while it fills the pages.
func requireMemory(_ needed: Int, available: Int, purpose: String) throws {
    if needed > available {
        throw PerseusError(
            .environment,
            "needs \(readableByteCount(needed)) for \(purpose), "
                + "\(readableByteCount(available)) available"
        )
    }
}

/// One decimal and the unit that fits: "21.0 GiB", "3.5 MiB", "12.0 KiB".
func readableByteCount(_ byteCount: Int) -> String {
    let (shift, unit) =
        byteCount >= 1 << 30 ? (30, "GiB") : byteCount >= 1 << 20 ? (20, "MiB") : (10, "KiB")
    let tenths = (byteCount / (1 << (shift - 10)) * 10 + 512) / 1024
    return "\(tenths / 10).\(tenths % 10) \(unit)"
}

/// Bytes this process can still take: the machine's MemAvailable, or less if a control group or a
/// limit of the address space (`ulimit -v`) says so.
public func availableMemory() -> Int {
    let machine = fileText("/proc/meminfo").flatMap { field("MemAvailable:", in: $0) }
    return min(
        machine.map { $0 * 1024 } ?? .max, availableInControlGroups(), availableAddressSpace())
}

/// What the stacks and the allocators' arenas of threads that start later reserve without using it.
private let reservedAddressSpace = 128 << 20

/// The limit of this process's address space (`ulimit -v`) less what is mapped.
public func availableAddressSpace() -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0,
        limit.rlim_cur != rlim_t.max,
        let mapped = fileText("/proc/self/status").flatMap({ field("VmSize:", in: $0) })
    else { return .max }
    return max(0, Int(clamping: limit.rlim_cur) - mapped * 1024 - reservedAddressSpace)
}

/// The tightest limit among this process's control group (version 2) and its parents.
private func availableInControlGroups() -> Int {
    let membership = fileText("/proc/self/cgroup") ?? ""
    let line = membership.split(separator: "\n").first { $0.hasPrefix("0::") }
    var path = line.map { String($0.dropFirst(3)) } ?? "/"
    var available = Int.max
    while true {
        available = min(available, availableInControlGroup("/sys/fs/cgroup" + path))
        guard let slash = path.lastIndex(of: "/"), path != "/" else { return available }
        path = slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

/// Limit less use, where cached file pages that can be dropped do not count as used.
private func availableInControlGroup(_ folder: String) -> Int {
    func number(_ name: String) -> Int? {
        fileText("\(folder)/\(name)").flatMap { Int($0.prefix { $0.isNumber }) }
    }
    guard let limit = number("memory.max"), let used = number("memory.current") else { return .max }
    let droppable =
        fileText("\(folder)/memory.stat").flatMap { field("inactive_file", in: $0) } ?? 0
    return max(0, limit - max(0, used - droppable))
}

/// The number after `name` at the start of a line.
private func field(_ name: String, in text: String) -> Int? {
    for line in text.split(separator: "\n") where line.hasPrefix(name) {
        return Int(
            line.dropFirst(name.count).drop { $0 == " " || $0 == "\t" }.prefix { $0.isNumber })
    }
    return nil
}

/// The first 64 KiB of a file of /proc or /sys; nil when it cannot be read.
private func fileText(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    var length = 0
    while length < bytes.count {
        let count = bytes.withUnsafeMutableBytes {
            read(descriptor, $0.baseAddress! + length, $0.count - length)
        }
        guard count > 0 else {
            return count == 0 ? String(decoding: bytes[..<length], as: UTF8.self) : nil
        }
        length += count
    }
    return String(decoding: bytes, as: UTF8.self)
}
