// What each step of a virtual run had waited for, and the chain of waits that decided when the run ended.

import PerseusMegakernel
import PerseusSoftNIC

/// Records causes during a run and walks them back from its end.
///
/// - Threading: the virtual-time runner's thread.
final class CauseLog {
    /// What woke a role.
    enum Reason: UInt8 {
        case start
        /// The role's own step before: it was busy.
        case ownStep
        /// A command in its ring.
        case command
        /// Room in a ring.
        case room
        /// An answered quiet.
        case quiet
        /// Another role of the rank handed something over, at no cost.
        case task
        /// A word stored by a peer of the same node, or published by the rank's own proxy.
        case localSignal
        /// A word or an immediate that came over the wire.
        case signal
        /// A completion.
        case completion
    }

    private struct Step {
        var role: Int32
        var cause: Int32
        var request: Int32
        var reason: Reason
        var hasPushed = false
        var begin: UInt64
        var end: UInt64
    }

    private struct Request {
        var rank: Int32
        var endpoint: Int32
        var isFenced: Bool
        var refill: UInt64
        var postedAt: UInt64
        var startedAt: UInt64
        var sentAt: UInt64
    }

    private struct Wake {
        var cause: Int32 = -1
        var request: Int32 = -1
        var reason = Reason.start
    }

    private var roles = RoleNumbers(proxies: 0, processors: 0)
    private var isDirect = false
    private var steps: [Step] = []
    private var requests: [Request] = []
    /// [role]: what woke it for its next step, and the numbers of its steps so far.
    private var wakes: [Wake] = []
    private var stepsOfRole: [[Int32]] = []
    /// [role]: requests whose completions a proxy has not taken yet, oldest first.
    private var completions: [[Int32]] = []
    private var current: Int32 = -1
    private var last: Int32 = -1

    func begin(roles: RoleNumbers, roleCount: Int, isDirect: Bool) {
        self.isDirect = isDirect
        self.roles = roles
        wakes = Array(repeating: Wake(), count: roleCount)
        stepsOfRole = Array(repeating: [], count: roleCount)
        completions = Array(repeating: [], count: roleCount)
    }

    func noteWake(of role: Int, reason: Reason, request: Int32) {
        let cause = reason == .ownStep ? stepsOfRole[role].last ?? -1 : current
        wakes[role] = Wake(cause: cause, request: request, reason: reason)
    }

    func beginStep(of role: Int, at now: UInt64) {
        current = Int32(steps.count)
        steps.append(
            Step(
                role: Int32(role), cause: wakes[role].cause, request: wakes[role].request,
                reason: wakes[role].reason, begin: now, end: now))
        stepsOfRole[role].append(current)
    }

    func endStep(at end: UInt64, hasPushed: Bool) {
        steps[Int(current)].end = end
        steps[Int(current)].hasPushed = hasPushed
    }

    /// The proxy's step took `completed` completions.
    func endProxyStep(of role: Int, completed: Int) {
        completions[role].removeFirst(completed)
    }

    /// The request whose completion the proxy sees next.
    func nextCompletion(of role: Int) -> Int32 { completions[role].first ?? -1 }

    func noteCompletion(_ notice: NICNotice, rank: Int) -> Int32 {
        let request = noteRequest(notice, rank: rank)
        completions[rank * roles.perRank + roles.firstProxy + Int(notice.endpoint)].append(request)
        return request
    }

    func noteRequest(_ notice: NICNotice, rank: Int) -> Int32 {
        requests.append(
            Request(
                rank: Int32(rank), endpoint: notice.endpoint, isFenced: notice.isFenced,
                refill: notice.refill, postedAt: notice.postedAt, startedAt: notice.startedAt,
                sentAt: notice.sentAt))
        return Int32(requests.count - 1)
    }

    /// The current step ended the run.
    func noteEnd() { last = current }

    // MARK: The walk

    /// Where the time of the critical path went; the parts add up to the time of the last step.
    func criticalPath() -> CriticalPath {
        var path = CriticalPath()
        var index = last
        guard index >= 0 else { return path }
        var until = steps[Int(index)].begin
        while index >= 0 {
            let step = steps[Int(index)]
            path.stepCount += 1
            switch step.reason {
            case .signal, .completion:
                index = walk(requests[Int(step.request)], of: index, &path, &until)
            default:
                guard step.cause >= 0 else {
                    take(&path, \.queueing, &until, since: 0)
                    return path
                }
                let cause = steps[Int(step.cause)]
                let isOwn = step.reason == .ownStep
                // What happens between the cause and this step belongs to the edge; the cause's own time to its role.
                let handedOver =
                    isOwn || step.reason == .room || step.reason == .quiet
                    ? cause.end : cause.begin
                take(&path, edge(step.reason), &until, since: min(until, handedOver))
                take(&path, duration(of: cause), &until, since: min(until, cause.begin))
                index = step.cause
            }
        }
        return path
    }

    /// Back over the request that woke step `index`, to the step that posted it.
    private func walk(
        _ request: Request, of index: Int32, _ path: inout CriticalPath, _ until: inout UInt64
    ) -> Int32 {
        let isCompletion = steps[Int(index)].reason == .completion
        take(&path, isCompletion ? \.drain : \.signal, &until, since: request.sentAt)
        take(&path, \.refill, &until, since: until - min(until, request.refill))
        take(&path, isCompletion ? \.wire : \.signal, &until, since: request.startedAt)
        take(
            &path, request.isFenced ? \.drain : \.queueing, &until, since: request.postedAt)
        let poster = poster(of: request, before: index)
        guard poster >= 0 else {
            take(&path, \.proxy, &until, since: 0)
            return -1
        }
        take(&path, duration(of: steps[Int(poster)]), &until, since: steps[Int(poster)].begin)
        return poster
    }

    /// The step that posted a request: the last one of its proxy that began before it, or of the kernel's roles and
    /// the poller where they post. Step `limit`, which it woke, and those after it did not.
    private func poster(of request: Request, before limit: Int32) -> Int32 {
        let first = Int(request.rank) * roles.perRank
        if !isDirect {
            return stepBefore(
                request.postedAt, limit: limit,
                role: first + roles.firstProxy + Int(request.endpoint))
        }
        var best: Int32 = -1
        for role in [roles.dispatcher] + Array(roles.firstProxy..<roles.perRank) {
            // A step that began when the one before it had posted and ended may be found first.
            var index = stepBefore(request.postedAt, limit: limit, role: first + role)
            if index >= 0, !steps[Int(index)].hasPushed, steps[Int(index)].reason == .ownStep {
                index = steps[Int(index)].cause
            }
            guard index >= 0, steps[Int(index)].hasPushed,
                steps[Int(index)].end >= request.postedAt
            else { continue }
            if best < 0 || steps[Int(index)].begin > steps[Int(best)].begin { best = index }
        }
        return best
    }

    /// The role's last step that began at `time` or earlier, among the steps below `limit`; -1 when there is none.
    private func stepBefore(_ time: UInt64, limit: Int32, role: Int) -> Int32 {
        let list = stepsOfRole[role]
        var (low, high) = (0, list.count)
        while low < high {
            let middle = (low + high) / 2
            if list[middle] < limit && steps[Int(list[middle])].begin <= time {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low > 0 ? list[low - 1] : -1
    }

    private func edge(_ reason: Reason) -> WritableKeyPath<CriticalPath, UInt64> {
        switch reason {
        case .command: \.ring
        case .localSignal: \.signal
        default: \.queueing
        }
    }

    private func duration(of step: Step) -> WritableKeyPath<CriticalPath, UInt64> {
        let role = Int(step.role) % roles.perRank
        if role >= roles.firstProcessor { return \.compute }
        if role >= roles.firstProxy { return \.proxy }
        return \.pack
    }

    private func take(
        _ path: inout CriticalPath, _ part: WritableKeyPath<CriticalPath, UInt64>,
        _ until: inout UInt64, since: UInt64
    ) {
        guard since < until else { return }
        path[keyPath: part] += until - since
        until = since
    }
}

/// The time of the longest chain of waits in a run, by what it was spent on, nanoseconds.
public struct CriticalPath: Sendable, Equatable {
    /// Multiplying and combining.
    public var compute: UInt64 = 0
    /// Routing, planning, packing and pushing; stages and barriers of a host-driven library.
    public var pack: UInt64 = 0
    /// From a push to the proxy that sees it.
    public var ring: UInt64 = 0
    /// Posting.
    public var proxy: UInt64 = 0
    /// Waits for completions, or behind a fence flag, that a signal demanded.
    public var drain: UInt64 = 0
    /// Transmitting the data that was waited for.
    public var wire: UInt64 = 0
    /// Restarting an idle NIC.
    public var refill: UInt64 = 0
    /// The signal on its way, until it is observed.
    public var signal: UInt64 = 0
    /// In the NIC's send queue behind other requests, or for room in a ring.
    public var queueing: UInt64 = 0
    /// Steps on the path.
    public var stepCount = 0

    public init() {}

    /// The parts in the order of the way of a token, with their names.
    public var parts: [(name: String, nanoseconds: UInt64)] {
        [
            ("compute", compute), ("pack", pack), ("ring", ring), ("proxy", proxy),
            ("drain", drain), ("wire", wire), ("refill", refill), ("signal", signal),
            ("queueing", queueing),
        ]
    }

    public var total: UInt64 { parts.reduce(0) { $0 + $1.nanoseconds } }
}
