// Stage 4 of 10 — push: where a role's commands go, rings of the proxies or the NIC itself.
// Upstream:   Dispatcher+Pack.swift, Processor.swift
// Downstream: Command.swift, CommandRing+Push.swift

import CPerseusABI
import PerseusCommandRing

/// The kernel's way out. Every call returns at once; false means "no room, nothing changed, try again".
///
/// - Threading: any role of the rank.
public protocol CommandPort: AnyObject {
    /// A put and its own signal, which stay together.
    func tryPush(_ put: Command, signal: Command, words: UnsafeBufferPointer<UInt64>) -> Bool
    /// A put without signal.
    func tryPush(_ put: Command) -> Bool
    /// Signals for puts that were pushed before.
    func tryPush(signal: Command, words: UnsafeBufferPointer<UInt64>) -> Bool
    /// Asks to be told when everything pushed so far has completed; see `isQuiet`.
    func tryPushQuiet() -> Bool
    /// True once the last quiet has been answered.
    var isQuiet: Bool { get }
}

extension CommandPort {
    /// Pushes one transfer of consecutive bytes in as many puts as a command's count field asks for, the signal
    /// with the last of them.
    ///
    /// A transfer over 16 MiB is several puts; when the ring fills up in the middle, the caller tries the whole
    /// transfer again: rows are put twice then, which changes nothing, because nobody may look before the signal.
    func pushRows(
        to destination: Int, source: Int, target: Int, byteCount: Int, flags: CommandFlags,
        signal: Command?, operands: UnsafeBufferPointer<UInt64>?
    ) -> Bool {
        let most = Int(PERSEUS_MAX_PUT_BYTES)
        var offset = 0
        while byteCount - offset > most {
            guard
                tryPush(
                    .put(
                        destination: destination,
                        source: HeapLocation(.data, byteOffset: source + offset),
                        target: HeapLocation(.data, byteOffset: target + offset), byteCount: most,
                        flags: flags))
            else { return false }
            offset += most
        }
        let from = HeapLocation(.data, byteOffset: source + offset)
        let to = HeapLocation(.data, byteOffset: target + offset)
        guard let signal, let operands else {
            return tryPush(
                .put(
                    destination: destination, source: from, target: to,
                    byteCount: byteCount - offset, flags: flags))
        }
        return tryPush(
            .putSignal(
                destination: destination, source: from, target: to, byteCount: byteCount - offset,
                flags: flags), signal: signal, words: operands)
    }
}
