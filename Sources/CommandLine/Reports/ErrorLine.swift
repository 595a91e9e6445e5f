// The one line on the standard error that a failed command leaves.

import PerseusPrimitives

/// `perseus run: cannot write a.json: Is a directory`; messages that name their command stay as
/// they are.
public func errorLine(_ error: PerseusError, command: String) -> String {
    let hasName = error.message.hasPrefix("perseus ") || error.message.hasPrefix("perseus: ")
    return hasName ? error.message : "\(command): \(error.message)"
}
