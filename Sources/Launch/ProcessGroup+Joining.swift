// How a process becomes part of its group: rank 0 waits for the others, the others come to rank 0.

import Glibc
import PerseusPrimitives

extension ProcessGroup {
    /// Meets the other ranks; returns when all are there and agree.
    ///
    /// - Parameters:
    ///   - agreement: what must be the same on all ranks; what differs is refused by name.
    ///   - deadline: nanoseconds that meeting, and every later step, may take.
    /// - Errors: `badInput` when ranks do not agree, `deadline` when some do not come, `environment` when rank 0
    ///   cannot listen.
    public static func join(
        _ launch: LaunchEnvironment, agreement: Agreement, deadline: UInt64,
        isInterrupted: @escaping @Sendable () -> Bool
    ) throws(PerseusError) -> ProcessGroup {
        // Whoever stays silent is reported well within the deadline.
        let times = LifelineTimes(silence: max(300_000_000, deadline / 3))
        let wait = JoinDeadline(total: deadline, isInterrupted: isInterrupted)
        let end: any GroupEnd
        if launch.rank == 0 {
            end = try gatherMembers(launch, agreement, times, wait)
        } else {
            end = try Member.join(
                at: launch.address,
                MemberClaims(
                    rank: launch.rank, size: launch.size, token: launch.token,
                    agreement: agreement), times: times, wait: wait)
        }
        return ProcessGroup(
            launch, end: end, deadline: deadline, times: times, isInterrupted: isInterrupted)
    }

    private static func gatherMembers(
        _ launch: LaunchEnvironment, _ agreement: Agreement, _ times: LifelineTimes,
        _ wait: JoinDeadline
    ) throws(PerseusError) -> Coordinator {
        let listener: Int32
        if let inherited = launch.listener {
            listener = inherited
        } else {
            listener = try launch.address.listen()
        }
        let coordinator = Coordinator(
            listener: listener, size: launch.size, token: launch.token, agreement: agreement,
            times: times, now: monotonicNow())
        while !coordinator.isAdmitted {
            waitForTraffic(coordinator.descriptors, milliseconds: 50)
            coordinator.step(now: monotonicNow())
            if wait.isInterrupted() {
                coordinator.leave(failure: "was interrupted")
                throw PerseusError(.deadline, "interrupted during the rendezvous")
            }
            if !coordinator.isAdmitted && wait.remaining == 0 {
                coordinator.giveUp(address: launch.address.description, after: wait.total)
            }
            if let refusal = coordinator.refusal {
                linger(coordinator, refusal)
                coordinator.leave(failure: refusal.message)
                throw refusal
            }
        }
        return coordinator
    }

    /// Ranks that come a moment later are told too, instead of finding nobody.
    private static func linger(_ coordinator: Coordinator, _ refusal: PerseusError) {
        let time: UInt64 = refusal.kind == .deadline ? 200_000_000 : 1_500_000_000
        let begin = monotonicNow()
        while !coordinator.hasToldEverybody && monotonicNow() &- begin < time {
            waitForTraffic(coordinator.descriptors, milliseconds: 20)
            coordinator.step(now: monotonicNow())
        }
    }
}

/// Sleeps until a descriptor is ready or the time is over.
func waitForTraffic(
    _ descriptors: [(descriptor: Int32, wantsWrite: Bool)], milliseconds: Int
) {
    var entries = descriptors.map { pollfd(descriptor: $0.descriptor, wantsWrite: $0.wantsWrite) }
    poll(&entries, nfds_t(entries.count), Int32(milliseconds))
}
