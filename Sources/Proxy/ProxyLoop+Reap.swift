// Completions and arrivals: retire what is done, fail what is dead, publish what may be seen.

import PerseusCommandRing
import PerseusTransport

extension ProxyLoop where NIC: ~Copyable {
    /// Takes completions from the NIC and retires what they cover.
    @inlinable
    mutating func reap() {
        let count = transport.poll(scratch.completions, limit: ProxyScratch.pollLimit)
        guard count > 0 else { return }
        for index in 0..<count { retire(scratch.completions[index]) }
        counters.completions &+= UInt64(truncatingIfNeeded: count)
        outcome.completed &+= UInt32(truncatingIfNeeded: count)
    }

    /// Retires one completion, and on an in-order queue pair everything posted to that peer before it.
    ///
    /// The entries of a failed lane come back the same way, so a dead peer does not shrink the pool for the others.
    @inlinable @inline(__always)
    mutating func retire(_ completion: WorkCompletion) {
        let destination = Int(truncatingIfNeeded: completion.identifier >> 32)
        let entry = Int32(truncatingIfNeeded: completion.identifier & 0xFFFF_FFFF)
        if completion.status != .success && lanes[destination].state != .failed {
            fail(destination, entry: entry, status: completion.status, stage: .posted)
        }
        if completesInOrder {
            var retired = lanes[destination].oldestInFlight
            while retired != entry { retired = retireOldest(destination) }
            _ = retireOldest(destination)
        } else {
            inFlight.nodes[Int(entry)].isDone = true
            while lanes[destination].oldestInFlight >= 0,
                inFlight.nodes[Int(lanes[destination].oldestInFlight)].isDone
            {
                _ = retireOldest(destination)
            }
        }
    }

    /// Gives the oldest entry back; returns the one behind it.
    @inlinable @inline(__always)
    mutating func retireOldest(_ destination: Int) -> Int32 {
        let oldest = lanes[destination].oldestInFlight
        precondition(oldest >= 0, "ProxyLoop: completion of a request that is not in flight")
        let next = inFlight.links[Int(oldest)]
        inFlight.give(oldest)
        lanes[destination].oldestInFlight = next
        if next < 0 { lanes[destination].newestInFlight = -1 }
        if lanes[destination].state != .failed {
            lanes[destination].inFlightCount &-= 1
            inFlightCount &-= 1
            if parksOnDrain && lanes[destination].state == .draining
                && lanes[destination].inFlightCount == 0
            {
                setDue(destination)
            }
        }
        return next
    }

    /// Takes arrived immediates and lets the receiver publish the signal words that they complete.
    @inlinable
    mutating func receive() {
        let count = transport.pollReceive(scratch.arrivals, limit: ProxyScratch.pollLimit)
        guard count > 0 else { return }
        for index in 0..<count {
            receiver.receive(
                source: scratch.arrivals[index].source, immediate: scratch.arrivals[index].immediate
            )
        }
        counters.receiveCompletions &+= UInt64(truncatingIfNeeded: count)
        outcome.received &+= UInt32(truncatingIfNeeded: count)
    }

    /// Fails a lane: its commands are dropped from now on, its waits end, the other lanes do not notice.
    ///
    /// Entries in flight stay taken until the NIC returns them, so no identifier is used twice.
    @inlinable
    mutating func fail(
        _ destination: Int, entry: Int32, status: WorkCompletion.Status, stage: StuckOperation.Stage
    ) {
        let node = entry >= 0 ? inFlight.nodes[Int(entry)] : nil
        if failure == nil {
            failure = StuckOperation(
                destination: UInt32(destination), stage: stage,
                operation: node?.operation ?? .write,
                status: status, byteCount: node?.byteCount ?? 0, position: node?.position ?? 0,
                ageNanoseconds: now &- (node?.postedAt ?? lanes[destination].queuedSince))
        }
        if lanes[destination].state == .full { clearFull(destination) }
        if lanes[destination].state != .open { setDue(destination) }
        inFlightCount &-= UInt64(lanes[destination].inFlightCount)
        lanes[destination].inFlightCount = 0
        lanes[destination].state = .failed
        if lanes[destination].pendingCount > 0 { pending.give(lanes[destination].pendingSlice) }
        lanes[destination].pendingCount = 0
        lanes[destination].isFlushing = false
        clearHolding(destination)
        while lanes[destination].backlogHead >= 0 {
            popBacklog(destination)
            counters.droppedCommands &+= 1
        }
        outcome.hasFailed = true
    }

    /// Looks at one lane per step for an operation past its deadline.
    ///
    /// A put that asked for no completion is asked after when half of its time is over: silence alone proves nothing.
    @inlinable
    mutating func checkOneDeadline() {
        let lane = nextDeadlineLane
        nextDeadlineLane = lane &+ 1 < laneCount ? lane &+ 1 : 0
        // Nothing can be older than the clock: most layers end before any lane has to be looked at.
        guard now > deadlineNanoseconds / 2, lanes[lane].state != .failed else { return }
        let oldest = lanes[lane].oldestInFlight
        if oldest >= 0 {
            let age = now &- inFlight.nodes[Int(oldest)].postedAt
            if age > deadlineNanoseconds {
                return fail(lane, entry: oldest, status: .success, stage: .posted)
            }
            if age > deadlineNanoseconds / 2 { postMarker(lane) }
        }
        // A draining lane waits for requests that have deadlines of their own.
        if lanes[lane].state == .full, now &- lanes[lane].queuedSince > deadlineNanoseconds {
            fail(lane, entry: -1, status: .success, stage: .queued)
        }
    }

    /// Checks every lane's deadline now; for a runner that is about to give up.
    public mutating func checkDeadlines(now: UInt64) {
        self.now = now
        for _ in 0..<laneCount { checkOneDeadline() }
    }

    /// Begins a quiet: asks every covered lane for the completion that its last put did not ask for.
    @inlinable
    mutating func admitQuiet(_ command: Command, destination: Int) {
        precondition(
            destination < laneCount || destination == Command.everyDestination,
            "ProxyLoop: quiet of a rank that does not exist")
        board.expect(command, destination: destination)
        if destination == Command.everyDestination {
            for lane in 0..<laneCount { postMarker(lane) }
        } else {
            postMarker(destination)
        }
    }

    /// An empty signaled write: its completion covers the unsignaled puts before it. Where no slot is free now, the
    /// lane parks, and posts it when it is served.
    @inlinable
    mutating func postMarker(_ destination: Int) {
        guard lanes[destination].unsignaledCount > 0, lanes[destination].state == .open else {
            return
        }
        var request = WorkRequest(
            operation: .write, peer: UInt32(destination), queue: lanes[destination].queue,
            byteCount: 0, identifier: 0)
        // A lane that waits for nothing but this has its turn at once: the next one may find that it is not needed.
        guard post(&request, destination: destination, position: 0, isSignaled: true) else {
            return setDue(destination)
        }
    }

    /// Publishes the quiets whose operations have all completed.
    @inlinable
    mutating func publishQuiet() {
        let isAllQuiet = inFlightCount == 0 && parkedLaneCount == 0 && holdingLaneCount == 0
        let lanes = self.lanes
        outcome.quieted &+= board.publish { destination in
            destination < 0
                ? isAllQuiet
                : lanes[destination].inFlightCount == 0 && lanes[destination].backlogHead < 0
                    && lanes[destination].pendingCount == 0
        }
    }
}
