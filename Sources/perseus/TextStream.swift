// Where a command's words for people go, and what happens when nobody can take them.

import Foundation
import PerseusPrimitives

/// Text to one of the standard descriptors, unbuffered, so that it stands in order with errors.
struct TextStream {
    static let output = TextStream(descriptor: STDOUT_FILENO)
    static let error = TextStream(descriptor: STDERR_FILENO)

    private let descriptor: Int32

    /// Writes all of `text`.
    ///
    /// A reader that went away (`| head`) has read what it wanted and is no error.
    /// - Errors: `environment` with the system's reason, such as a full disk.
    func write(_ text: String) throws(PerseusError) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 {
                rest = rest.dropFirst(written)
            } else if errno == EPIPE {
                return
            } else if errno != EINTR {
                throw PerseusError(
                    .environment, "cannot write the text: \(String(cString: strerror(errno)))")
            }
        }
    }

    func writeLine(_ text: String = "") throws(PerseusError) { try write(text + "\n") }

    /// Gives a closed standard descriptor to `/dev/null`: the next file to be opened would otherwise get its number,
    /// and the text.
    static func openMissingDescriptors() {
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO]
        where fcntl(descriptor, F_GETFD) < 0 {
            // The lowest free number is this one: those below it are open by now.
            _ = open("/dev/null", O_RDWR)
        }
    }
}

/// Breaks `text` at spaces into lines of at most `width` columns; lines after the first are indented by two.
func wrapped(_ text: String, width: Int = 100) -> String {
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
        if !line.isEmpty, line.count + 1 + word.count > width {
            lines.append(line)
            line = "  \(word)"
        } else {
            line += line.isEmpty ? "\(word)" : " \(word)"
        }
    }
    return (lines + [line]).joined(separator: "\n")
}
