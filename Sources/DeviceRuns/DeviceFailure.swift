// The failed wait of a launch, in words.

import CPerseusABI
import PerseusRunners

extension RunFailure {
    /// Adds what a kernel's error record says; nothing where no wait failed.
    static func add(_ record: perseus_error_record, to failure: inout RunFailure?, cause: String) {
        guard record.wait_kind != 0 else { return }
        let line = describe(record)
        if failure == nil {
            failure = RunFailure(at: 0, cause: cause, lines: [line])
        } else {
            failure?.lines.append(line)
        }
    }

    private static func describe(_ record: perseus_error_record) -> String {
        let names: [UInt32: String] = [
            PERSEUS_WAIT_RING_CREDIT.rawValue: "room in a command ring",
            PERSEUS_WAIT_RING_RETIRED.rawValue: "the proxy to copy a command out",
            PERSEUS_WAIT_SIGNAL.rawValue: "a signal word",
            PERSEUS_WAIT_QUIET.rawValue: "the completion of its puts",
            PERSEUS_WAIT_SEND_QUEUE.rawValue: "room in the send queue",
            PERSEUS_WAIT_ROUND.rawValue: "the end of a round",
            PERSEUS_WAIT_TASK.rawValue: "a task",
            PERSEUS_WAIT_BLOCKS.rawValue: "all blocks to begin",
        ]
        let name = names[record.wait_kind] ?? "wait \(record.wait_kind)"
        return "rank \(record.rank): waited for \(name) (index \(record.index), expected"
            + " \(record.expected), seen \(record.seen)), block \(record.block), \(record.cycles) cycles"
    }
}
