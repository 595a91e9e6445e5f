// What a role's step did, in terms that both clocks understand.

/// Work that a cost model can put a time on.
@frozen
public enum ModelledWork: BitwiseCopyable, Sendable {
    case none
    /// Logits and selection for some tokens.
    case route(tokens: Int)
    /// Counts and offsets for some rows.
    case plan(rows: Int)
    /// Rows copied into an arena; `toPeer` when they were stored into a local peer's memory.
    case pack(byteCount: Int, toPeer: Bool)
    /// A signal pushed or stored.
    case signal
    /// A host-driven library's kernel launch and barrier (`collective` only).
    case stage
    /// An expert task was claimed; its arithmetic is the next step. Segments of up to 64 rows; the expert's weights
    /// come from memory when the task before it was another expert's.
    case expert(firstRows: Int, secondRows: Int, streamsWeights: Bool)
    /// A shared-expert task was claimed.
    case shared(rows: Int)
    /// A combine task was claimed.
    case combine(tokens: Int)
}

/// Signal words that a role stored into a local peer's memory.
@frozen
public struct LocalSignal: BitwiseCopyable, Sendable {
    public var rank: Int32
    public var first: Int32
    public var count: Int32

    @inlinable
    init(rank: Int32, first: Int32, count: Int32) {
        self.rank = rank
        self.first = first
        self.count = count
    }
}

/// The outcome of one step.
@frozen
public struct RoleStep: BitwiseCopyable, Sendable {
    /// Anything changed; an idle step will not change anything either until something arrives.
    public var hasWorked = false
    /// Commands were pushed.
    public var hasPushed = false
    /// The role waits for room in a ring.
    public var isBlocked = false
    /// What is to be measured begins with this step; a kernel that warms up first says so.
    public var beginsMeasurement = false
    public var work = ModelledWork.none
    public var localSignalCount = 0
    public var localSignals: (LocalSignal, LocalSignal) = (
        LocalSignal(rank: -1, first: 0, count: 0), LocalSignal(rank: -1, first: 0, count: 0)
    )

    @inlinable
    public init() {}

    mutating func noteLocalSignal(rank: Int, first: Int, count: Int) {
        let signal = LocalSignal(rank: Int32(rank), first: Int32(first), count: Int32(count))
        if localSignalCount == 0 { localSignals.0 = signal } else { localSignals.1 = signal }
        localSignalCount += 1
    }
}
