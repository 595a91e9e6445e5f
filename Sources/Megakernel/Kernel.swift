// The kernel side of one rank as a runner drives it, whatever the kernel computes.

/// The roles of one rank that push commands and read signals: a dispatcher, a subscriber with its scheduler, and
/// processors.
///
/// A runner knows nothing else about a kernel. `RankKernel` computes a layer; other kernels exist to measure.
/// - Threading: one thread steps dispatcher, subscriber and scheduler; each processor has one owner.
public protocol Kernel: AnyObject {
    /// Roles that a runner steps with `process`.
    var processorCount: Int { get }
    /// One bounded piece of stages 1 to 4.
    func dispatch() -> RoleStep
    /// True when words that came earlier count only now, so that everything has to be looked at again.
    func follow() -> Bool
    /// Looks at all words that are missing; true when one had come.
    func rescan() -> Bool
    /// Looks at words that are known to have changed.
    func observe(words: Range<Int>) -> Bool
    /// Makes tasks of what was observed.
    func schedule() -> Bool
    /// `follow`, look and `schedule` for a runner that does not know which words changed.
    func observeAndSchedule() -> Bool
    /// One bounded piece of stages 9 and 10.
    func process(_ processor: Int) -> RoleStep
    func isIdle(_ processor: Int) -> Bool
    /// Tasks that wait for a processor.
    var readyTaskCount: Int { get }
    /// The dispatcher waited for what the other roles do, and it has happened.
    var isDispatcherDue: Bool { get }
    var isDone: Bool { get }
    /// What the rank waits for, in words for a person.
    var missing: String? { get }
    /// The same, of `peers` if they owe anything: they are lost, and everything else is their fault.
    func missing(from peers: Set<Int>) -> String?
}

extension Kernel {
    public func missing(from peers: Set<Int>) -> String? { missing }
}

/// A kernel that does all of its work in `dispatch`, or on a device where no runner steps it.
public protocol DispatchOnlyKernel: Kernel {}

extension DispatchOnlyKernel {
    public var processorCount: Int { 0 }
    public func follow() -> Bool { false }
    public func rescan() -> Bool { false }
    public func observe(words: Range<Int>) -> Bool { false }
    public func schedule() -> Bool { false }
    public func observeAndSchedule() -> Bool { false }
    public func process(_ processor: Int) -> RoleStep { RoleStep() }
    public func isIdle(_ processor: Int) -> Bool { true }
    public var readyTaskCount: Int { 0 }
    public var isDispatcherDue: Bool { false }
}
