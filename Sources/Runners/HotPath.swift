// The steps that run for every command, as functions of one concrete type: what the hot-path check reads.

import PerseusProxy
import PerseusSoftNIC

/// Both runners enter the hot path here; the symbols stand in `Tests/HotPath/symbols.txt`,
/// and `Scripts/check-hot-path.sh` reads their machine code. `@_noLocks` is not on them: the compiler (6.3) counts the end
/// of a noncopyable value on a trapping path as a deallocation.
enum HotPath {
    /// One turn of a proxy on a soft NIC; see `ProxyLoop.step`.
    @inline(never)
    static func step(
        _ proxy: UnsafeMutablePointer<ProxyLoop<SoftNICEndpoint>>, now: UInt64
    ) -> ProxyStep {
        proxy.pointee.step(now: now)
    }

    /// One turn of a send queue that a kernel on a device fills; see `DirectQueue.step`.
    @inline(never)
    static func step(
        _ queue: UnsafeMutablePointer<DirectQueue<SoftNICEndpoint>>, now: UInt64
    ) -> ProxyStep {
        queue.pointee.step(now: now)
    }

    /// One turn of a soft NIC; see `NICEngine.step`.
    @inline(never)
    static func step(_ engine: UnsafeMutablePointer<NICEngine>, now: UInt64) -> Bool {
        engine.pointee.step(now: now)
    }
}
