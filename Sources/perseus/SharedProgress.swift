// A progress line that several threads may report to.

import PerseusCommandLine
import Synchronization

/// Threading: any thread.
final class SharedProgress: Sendable {
    private let label: String
    private let line = Mutex(ProgressLine())

    init(_ label: String) { self.label = label }

    func update(done: Int, of total: Int) {
        line.withLock {
            $0.update(label, done: done, of: total)
            if done == total { $0.finish() }
        }
    }
}
