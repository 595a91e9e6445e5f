// Ctrl-C as a request: long work ends where its results are whole, and the process then ends as the signal asked.

import Foundation
import Synchronization

/// The first SIGINT or SIGTERM asks for an end; a second one ends the process at once.
enum Interruption {
    private static let received = Atomic<Int32>(0)

    /// Threading: any thread.
    static var isAskedFor: Bool { received.load(ordering: .relaxed) != 0 }

    /// Which signal asked; nil: none has. Threading: any thread.
    static var signal: Int32? { isAskedFor ? received.load(ordering: .relaxed) : nil }

    /// From here on; a signal that is ignored, as in the background of a script, stays so.
    static func watch() {
        // The handler must not be the first to touch it.
        received.store(0, ordering: .relaxed)
        for number in [SIGINT, SIGTERM] {
            var action = sigaction()
            guard sigaction(number, nil, &action) == 0 else { continue }
            let handler = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            if handler == unsafeBitCast(SIG_IGN, to: Int.self) { continue }
            action.__sigaction_handler.sa_handler = {
                Interruption.received.store($0, ordering: .relaxed)
            }
            action.sa_flags =
                CInt(truncatingIfNeeded: SA_RESTART) | CInt(truncatingIfNeeded: SA_RESETHAND)
            sigaction(number, &action, nil)
        }
    }

    /// As the signal would have, so that a script which called us stops too.
    static func endProcess() -> Never {
        let number = received.load(ordering: .relaxed)
        fflush(nil)
        Foundation.signal(number, SIG_DFL)
        raise(number)
        exit(128 + number)
    }
}
