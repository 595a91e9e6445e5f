// The one error type that reaches a person, and the exit status each kind maps to.

/// A failure reported to the user as one line.
///
/// Roles and transports use typed errors of their own where a caller can react; everything that can only be
/// told to a person is one of these.
public struct PerseusError: Error, Equatable, CustomStringConvertible, Sendable {
    /// What went wrong; the raw value is the exit status of the command line.
    public enum Kind: Int32, Sendable {
        /// The layer's output is wrong, or an ordering was violated.
        case wrongResult = 1
        /// Bad usage or bad input; nothing was written.
        case badInput = 2
        /// A missing device, library or resource of this machine.
        case environment = 3
        /// A deadline passed or a peer died.
        case deadline = 4
    }

    public let kind: Kind
    /// One line (a stuck report may add more), without a final full stop or newline.
    public let reason: String
    /// What a person at this command line may do about it.
    public let hint: String?

    public init(_ kind: Kind, _ reason: String, hint: String? = nil) {
        self.kind = kind
        self.reason = reason
        self.hint = hint
    }

    /// Reason and hint.
    public var message: String { hint.map { "\(reason); \($0)" } ?? reason }

    public var description: String { message }
}
