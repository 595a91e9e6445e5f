// All kernel-side roles of one rank, put together.

import PerseusMemory
import PerseusPrimitives

/// The megakernel of one rank: a dispatcher, a subscriber with its scheduler, and processors.
///
/// A runner steps the parts; nothing here knows about threads or clocks.
public final class RankKernel: Kernel {
    public let state: RankState
    public let processorCount: Int
    private let subscriber: UnsafeMutablePointer<Subscriber>
    private let scheduler: UnsafeMutablePointer<Scheduler>
    private let queue: TaskQueue
    private let processors: UnsafeMutablePointer<Processor>
    private let dispatcher: UnsafeMutablePointer<Dispatcher>
    /// Holds all of the above side by side, each from a line of its own on.
    private let memory: UnsafeMutableRawPointer
    public weak var observer: (any SignalObserver)?

    public init(state: RankState, port: any CommandPort, processorCount: Int) {
        self.state = state
        self.processorCount = processorCount
        let depth = min(processorCount + 1, Self.readyTaskLimit)
        var capacity = 1
        while capacity < depth { capacity *= 2 }
        var parts = LinePlan()
        let offsets = (
            subscriber: parts.add(Subscriber.self), scheduler: parts.add(Scheduler.self),
            queue: parts.add(TaskQueue.byteCount(capacity: capacity)),
            processors: parts.add(Processor.self, count: processorCount),
            dispatcher: parts.add(Dispatcher.self)
        )
        memory = .allocateDense(byteCount: parts.byteCount, alignment: 64)
        subscriber = (memory + offsets.subscriber).bindMemory(to: Subscriber.self, capacity: 1)
        scheduler = (memory + offsets.scheduler).bindMemory(to: Scheduler.self, capacity: 1)
        queue = TaskQueue(at: memory + offsets.queue, capacity: capacity)
        processors = (memory + offsets.processors).bindMemory(
            to: Processor.self, capacity: processorCount)
        dispatcher = (memory + offsets.dispatcher).bindMemory(to: Dispatcher.self, capacity: 1)
        subscriber.initialize(to: Subscriber(state: state))
        scheduler.initialize(to: Scheduler(state: state, queue: queue, depth: depth))
        for index in 0..<processorCount {
            (processors + index).initialize(to: Processor(state: state, port: port, queue: queue))
        }
        dispatcher.initialize(to: Dispatcher(state: state, port: port))
    }

    deinit {
        processors.deinitialize(count: processorCount)
        scheduler.deinitialize(count: 1)
        subscriber.deinitialize(count: 1)
        dispatcher.deinitialize(count: 1)
        memory.deallocateDense()
    }

    /// Most tasks made ahead of the processors.
    private static let readyTaskLimit = 64

    /// Byte offsets of parts that lie one behind the other, each on lines of its own.
    private struct LinePlan {
        var byteCount = 0

        mutating func add(_ bytes: Int) -> Int {
            byteCount += (bytes + 63) & ~63
            return byteCount - (bytes + 63) & ~63
        }

        mutating func add<Part: ~Copyable>(_: Part.Type, count: Int = 1) -> Int {
            add(count * MemoryLayout<Part>.stride)
        }
    }

    public func dispatch() -> RoleStep { dispatcher.pointee.step() }

    public func process(_ processor: Int) -> RoleStep { processors[processor].step() }

    public func isIdle(_ processor: Int) -> Bool { processors[processor].isIdle }

    /// The dispatcher waits for the round (or, staged, for the experts) to be over.
    public var isDispatcherDue: Bool {
        state.isExpertSideDone && (state.isOwnerSideDone || state.program.isStaged)
    }

    /// Observes by scanning (real time) and schedules.
    public func observeAndSchedule() -> Bool {
        var hasWorked = subscriber.pointee.follow()
        if subscriber.pointee.isWaiting,
            subscriber.pointee.scan(into: &scheduler.pointee, observer: observer)
        {
            hasWorked = true
        }
        if scheduler.pointee.step() { hasWorked = true }
        return hasWorked
    }

    /// True when the rank has entered a new round (or its plan is new), so words that came earlier count now.
    public func follow() -> Bool { subscriber.pointee.follow() }

    /// Scans once over everything that is missing.
    public func rescan() -> Bool {
        var hasWorked = false
        for _ in 0..<subscriber.pointee.scanCount {
            if subscriber.pointee.scan(into: &scheduler.pointee, observer: observer) {
                hasWorked = true
            }
        }
        return hasWorked
    }

    /// Observes words that are known to have changed (virtual time).
    public func observe(words: Range<Int>) -> Bool {
        subscriber.pointee.observe(words: words, into: &scheduler.pointee, observer: observer)
    }

    public func schedule() -> Bool { scheduler.pointee.step() }

    public var isDone: Bool { state.isLayerDone }

    /// What the rank waits for, in words for a person.
    public var missing: String? { missing(from: []) }

    /// The same, of `peers` if they owe anything.
    public func missing(from peers: Set<Int>) -> String? {
        subscriber.pointee.describeMissing(from: peers)
    }

    /// Tasks that wait for a processor.
    public var readyTaskCount: Int { queue.count }
}
