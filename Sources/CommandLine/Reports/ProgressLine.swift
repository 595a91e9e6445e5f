// One line of progress on a terminal, nothing in a pipe.

import Glibc

/// Rewrites one line of the standard error while long work runs.
///
/// - Threading: one owner; call it from the thread that reports.
public struct ProgressLine: ~Copyable {
    /// 100 ms: smooth for a person, and free for the work.
    private static let shortestInterval: UInt64 = 100_000_000

    private let isShown: Bool
    private let write: (String) -> Void
    private let now: () -> UInt64
    private var lastUpdate: UInt64?

    /// Shows progress when the standard error is a terminal.
    public init() {
        self.init(
            isTerminal: isatty(STDERR_FILENO) == 1,
            write: { text in _ = Glibc.write(STDERR_FILENO, text, text.utf8.count) },
            now: monotonicNanoseconds)
    }

    init(isTerminal: Bool, write: @escaping (String) -> Void, now: @escaping () -> UInt64) {
        isShown = isTerminal
        self.write = write
        self.now = now
    }

    deinit { if isShown, lastUpdate != nil { write(ProgressLine.erase) } }

    /// Shows `label`, and how much of `total` is done when a total is known.
    public mutating func update(_ label: String, done: Int? = nil, of total: Int? = nil) {
        guard isShown else { return }
        let time = now()
        if let lastUpdate, time - lastUpdate < ProgressLine.shortestInterval { return }
        lastUpdate = time
        var line = label
        if let done {
            line += " \(Quantity.count(done))"
            if let total, total > 0 {
                line += " of \(Quantity.count(total)) (\(done * 100 / total)%)"
            }
        }
        write(ProgressLine.erase + line)
    }

    /// Removes the line, so that results start on an empty one.
    public mutating func finish() {
        guard isShown, lastUpdate != nil else { return }
        write(ProgressLine.erase)
        lastUpdate = nil
    }

    /// Back to the first column, then clear to the end of the line.
    private static let erase = "\r\u{1B}[K"
}

private func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
