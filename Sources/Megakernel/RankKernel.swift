// All kernel-side roles of one rank, put together.

import PerseusMemory

/// The megakernel of one rank: a dispatcher, a subscriber with its scheduler, and processors.
///
/// A runner steps the parts; nothing here knows about threads or clocks.
public final class RankKernel: Kernel {
    public let state: RankState
    private let queue: UnsafeMutablePointer<TaskQueue>
    private let dispatcher: UnsafeMutablePointer<Dispatcher>
    private let subscriber: UnsafeMutablePointer<Subscriber>
    private let scheduler: UnsafeMutablePointer<Scheduler>
    private let processors: UnsafeMutablePointer<Processor>
    public let processorCount: Int
    public weak var observer: (any SignalObserver)?

    public init(state: RankState, port: any CommandPort, processorCount: Int) {
        self.state = state
        self.processorCount = processorCount
        queue = .allocate(capacity: 1)
        queue.initialize(to: TaskQueue())
        dispatcher = .allocate(capacity: 1)
        dispatcher.initialize(to: Dispatcher(state: state, port: port))
        subscriber = .allocate(capacity: 1)
        subscriber.initialize(to: Subscriber(state: state))
        scheduler = .allocate(capacity: 1)
        scheduler.initialize(
            to: Scheduler(state: state, queue: queue, depth: processorCount + 1))
        processors = .allocate(capacity: processorCount)
        for index in 0..<processorCount {
            (processors + index).initialize(to: Processor(state: state, port: port, queue: queue))
        }
    }

    deinit {
        processors.deinitialize(count: processorCount)
        processors.deallocate()
        scheduler.deinitialize(count: 1)
        scheduler.deallocate()
        subscriber.deinitialize(count: 1)
        subscriber.deallocate()
        dispatcher.deinitialize(count: 1)
        dispatcher.deallocate()
        queue.deinitialize(count: 1)
        queue.deallocate()
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
    public var missing: String? { subscriber.pointee.describeMissing() }

    /// Tasks that wait for a processor.
    public var readyTaskCount: Int { queue.pointee.count }
}
