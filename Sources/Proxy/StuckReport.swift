// What a proxy says of an operation that did not finish: peer, operation, stage, age.

import PerseusTransport

/// One stuck or failed operation.
@frozen
public struct StuckOperation: BitwiseCopyable, Sendable {
    /// How far the operation came.
    @frozen
    public enum Stage: UInt8, BitwiseCopyable, Sendable { case queued, posted, completed }

    public var destination: UInt32
    public var stage: Stage
    public var operation: WorkRequest.Operation
    public var status: WorkCompletion.Status
    public var byteCount: UInt32
    /// Position of the command in its ring.
    public var position: UInt64
    public var ageNanoseconds: UInt64

    @inlinable
    public init(
        destination: UInt32, stage: Stage, operation: WorkRequest.Operation,
        status: WorkCompletion.Status, byteCount: UInt32, position: UInt64, ageNanoseconds: UInt64
    ) {
        self.destination = destination
        self.stage = stage
        self.operation = operation
        self.status = status
        self.byteCount = byteCount
        self.position = position
        self.ageNanoseconds = ageNanoseconds
    }
}

extension StuckOperation: CustomStringConvertible {
    public var description: String {
        let cause =
            switch status {
            case .success: "no completion"
            case .retryExceeded: "the peer does not answer (retries exceeded)"
            case .remoteAccessError: "the peer refused the access"
            case .flushed: "flushed after an earlier failure"
            }
        return
            "peer \(destination), lane \(destination), command \(position): \(name) of \(byteCount) bytes"
            + " \(stage), \(cause), age \(milliseconds) ms"
    }

    private var name: String {
        switch operation {
        case .write: "put"
        case .writeWithImmediate: "put with immediate"
        case .fetchAdd: "atomic add"
        }
    }

    private var milliseconds: String {
        let tenths = (ageNanoseconds + 50_000) / 100_000
        return "\(tenths / 10).\(tenths % 10)"
    }
}
