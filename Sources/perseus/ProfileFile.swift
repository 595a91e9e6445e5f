// Profiles by name or from disk.

import Foundation
import PerseusPrimitives
import PerseusRunners

extension ProfileDocument {
    /// More is not a profile, whatever it is.
    private static let byteLimit = 64 << 10

    /// The built-in profile called `text`, or the one in the file there.
    ///
    /// - Throws: `badInput` for a file that cannot be read or is not a profile.
    init(namedOrAt text: String) throws(PerseusError) {
        if let known = ProfileDocument.builtIn(named: text) {
            self = known
        } else {
            try self.init(parsing: Self.contents(of: text), file: text)
        }
    }

    /// Pipes are read too, so that a profile can come from another program.
    private static func contents(of path: String) throws(PerseusError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: byteLimit + 1)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes {
                read(descriptor, $0.baseAddress! + count, $0.count - count)
            }
            if got == 0 { return Array(bytes.prefix(count)) }
            if got > 0 { count += got } else if errno != EINTR { throw unreadable(path) }
        }
        throw PerseusError(
            .badInput, "\(path): more than \(byteLimit >> 10) KiB, which is no profile")
    }

    private static func unreadable(_ path: String) -> PerseusError {
        PerseusError(.badInput, "\(path): cannot be read: \(String(cString: strerror(errno)))")
    }
}

extension Profile {
    /// Whether a built-in profile has this name and these values, from wherever they were read.
    var isBuiltIn: Bool { Profile.builtIn.contains(self) }
}
