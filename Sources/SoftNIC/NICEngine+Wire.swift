// Stage 7 of 10 — post: transmit, deliver, acknowledge; the times of it and the bytes that move.
// Upstream:   NICEngine.swift
// Downstream: Subscriber.swift, ImmediateReceiver.swift

import CPerseusABI
import CPerseusShims
import Glibc
import PerseusCommandRing
import PerseusPrimitives
import PerseusTransport

extension NICEngine {
    /// Starts the next request that may go, round-robin over the flows.
    @inlinable
    mutating func transmitNext(at now: UInt64) {
        isTransmitting = false
        while readyCount > 0 && !isTransmitting {
            let flow = dequeueFlow()
            let entry = flows[flow].head
            if mustWait(entry) && flows[flow].outstanding > 0 {
                continue  // `release` brings the flow back when its last request is acknowledged
            }
            flows[flow].head = active[Int(entry)].next
            active[Int(entry)].next = -1
            if flows[flow].head < 0 { flows[flow].tail = -1 } else { enqueueFlow(flow) }
            start(entry, at: max(now, active[Int(entry)].postedAt))
        }
    }

    /// Fence flags wait where the NIC honours them; atomics wait where routing may reorder earlier writes.
    @inlinable
    func mustWait(_ entry: Int32) -> Bool {
        (active[Int(entry)].isFenced && parameters.honoursFence)
            || (active[Int(entry)].operation == .fetchAdd && parameters.mode == .adaptiveRouting)
    }

    @inlinable
    func connectionIndex(_ entry: Int32) -> Int {
        Int(active[Int(entry)].endpoint) &* fabric.rankCount &+ Int(active[Int(entry)].peer)
    }

    /// Puts one request on the wire and schedules what follows from that.
    @inlinable
    mutating func start(_ entry: Int32, at now: UInt64) {
        let request = active[Int(entry)]
        let connection = connectionIndex(entry)
        flows[flowIndex(entry)].outstanding &+= 1
        if connections[connection].hasFailed {
            active[Int(entry)].status = .flushed
            scheduleFailure(entry, at: now)
            return
        }
        let wire = parameters.wireNanoseconds(Int(request.byteCount))
        let isData = !request.isInline && request.byteCount > 0
        let refill = isData && dataOutstanding == 0 ? refillNanoseconds(Int(request.byteCount)) : 0
        var duration = max(wire, parameters.messageNanoseconds) &+ refill
        if request.isFenced && parameters.honoursFence { duration &+= parameters.fenceNanoseconds }
        busyNanoseconds &+= duration
        if let timings {
            timings[Int(entry)] = NICTiming(startedAt: now, sentAt: now &+ duration, refill: refill)
        }
        isTransmitting = true
        transmittedAt = now &+ duration
        transmittedSequence = events.reserveSequence()
        var placed = now &+ duration &+ parameters.latencyNanoseconds
        if isData {
            dataOutstanding &+= 1
            active[Int(entry)].countsAsData = true
            let port = fabric.bookPort(
                rank: Int(request.peer), earliest: now &+ parameters.latencyNanoseconds &+ refill,
                duration: wire)
            placed = max(placed, port &+ wire)
        }
        if fabric.isDead(Int(request.peer)) {
            scheduleFailure(entry, at: now &+ parameters.retryNanoseconds)
            return
        }
        schedule(entry, placed: placed &+ lateness(), connection: connection)
        if model.pointee.reportsTransmissions {
            notify(
                NICNotice(
                    .transmitted, rank: Int(request.peer), first: now, count: request.byteCount,
                    time: now &+ duration, isFenced: request.isFenced))
        }
    }

    /// Schedules the failed completion of a request that is not sent; where completions are ordered, behind those
    /// ahead of it.
    @inlinable
    mutating func scheduleFailure(_ entry: Int32, at earliest: UInt64) {
        let connection = connectionIndex(entry)
        var time = earliest
        if parameters.mode != .unordered {
            // What is on its way to a dead peer fails a retry time after its acknowledgement is missed.
            let isDead = fabric.isDead(Int(active[Int(entry)].peer))
            let ahead =
                connections[connection].acknowledgedAt
                &+ (isDead ? parameters.retryNanoseconds &+ 1 : 0)
            time = max(time, ahead, connections[connection].failedAt)
            connections[connection].failedAt = time
        }
        events.pushGrowing(time: time, NICEvent(.fail, entry: entry))
    }

    /// Extra time of a put that finds the pipeline empty, by its size.
    @inlinable
    func refillNanoseconds(_ byteCount: Int) -> UInt64 {
        guard parameters.refillNanoseconds > 0 else { return 0 }
        return NICEngine.refill(
            byteCount: byteCount, most: parameters.refillNanoseconds,
            scale: parameters.refillByteCount)
    }

    @usableFromInline
    static func refill(byteCount: Int, most: Double, scale: Double) -> UInt64 {
        UInt64((most * (1 - exp(-Double(byteCount) / scale))).rounded())
    }

    /// Jitter and delay faults of one request.
    @inlinable
    mutating func lateness() -> UInt64 {
        var late: UInt64 = 0
        let jitter = parameters.jitterNanoseconds &+ faults.jitterNanoseconds
        if jitter > 0 { late &+= UInt64(random.next(below: Int(jitter))) }
        if faults.delayNanoseconds > 0 && random.chance(faults.delayChance) {
            late &+= UInt64(random.next(below: Int(faults.delayNanoseconds)))
        }
        return late
    }

    /// A lost packet comes a retransmission later; a clogged rank takes nothing before the clog ends.
    @inlinable
    mutating func disturbed(_ time: UInt64, peer: Int) -> UInt64 {
        var time = time
        if faults.dropChance > 0 && random.chance(faults.dropChance) {
            time &+= parameters.retransmitNanoseconds
        }
        // Clogs may follow each other in any order of their list.
        while let end = faults.endOfClog(at: time, rank: peer) { time = end }
        return time
    }

    /// Schedules the placement of every fragment and the acknowledgement, by the rules of the delivery mode.
    @inlinable
    mutating func schedule(_ entry: Int32, placed: UInt64, connection: Int) {
        let request = active[Int(entry)]
        let peer = Int(request.peer)
        var last: UInt64
        if parameters.mode == .inOrder {
            last = max(disturbed(placed, peer: peer), connections[connection].placedAt)
            active[Int(entry)].fragmentCount = 1
            events.pushGrowing(time: last, NICEvent(.deliver, entry: entry))
        } else {
            // Immediates (and atomics) of a routed connection land after the writes before them.
            let staysBehind = request.operation != .write && parameters.mode == .adaptiveRouting
            let earliest = staysBehind ? max(placed, connections[connection].placedAt) : placed
            last = scheduleFragments(entry, earliest: earliest, peer: peer)
        }
        active[Int(entry)].fragmentsLeft = active[Int(entry)].fragmentCount
        connections[connection].placedAt = max(connections[connection].placedAt, last)
        var acknowledged = last &+ parameters.latencyNanoseconds
        if parameters.mode != .unordered {
            acknowledged = max(acknowledged, connections[connection].acknowledgedAt)
            connections[connection].acknowledgedAt = acknowledged
        }
        events.pushGrowing(time: acknowledged, NICEvent(.acknowledge, entry: entry))
    }

    /// Spreads the fragments of one request; returns when the last one lands.
    @inlinable
    mutating func scheduleFragments(_ entry: Int32, earliest: UInt64, peer: Int) -> UInt64 {
        let byteCount = Int(active[Int(entry)].byteCount)
        let packets = (byteCount + parameters.packetByteCount - 1) / parameters.packetByteCount
        let count = max(1, min(NICEngine.fragmentLimit, packets))
        active[Int(entry)].fragmentCount = UInt8(count)
        var last: UInt64 = 0
        for fragment in 0..<count {
            var time = earliest
            if parameters.reorderNanoseconds > 0 {
                time &+= UInt64(random.next(below: Int(parameters.reorderNanoseconds)))
            }
            if faults.reorderNanoseconds > 0 && random.chance(faults.reorderChance) {
                time &+= UInt64(random.next(below: Int(faults.reorderNanoseconds)))
            }
            time = disturbed(time, peer: peer)
            last = max(last, time)
            events.pushGrowing(
                time: time, NICEvent(.deliver, entry: entry, fragment: UInt16(fragment)))
        }
        return last
    }

    /// Places one fragment in the peer's memory.
    @inlinable
    mutating func deliver(_ entry: Int32, fragment: Int, at now: UInt64) {
        let request = active[Int(entry)]
        let peer = Int(request.peer)
        if fabric.isDead(peer) { return }
        active[Int(entry)].fragmentsLeft &-= 1
        let connection = connectionIndex(entry)
        if connections[connection].hasFailed {
            // The peer takes nothing more of a connection on which it refused a request.
            if active[Int(entry)].status == .success { active[Int(entry)].status = .flushed }
            return
        }
        guard
            fabric.accepts(
                rank: peer, region: request.remoteRegion, offset: request.remoteOffset,
                byteCount: request.byteCount)
        else {
            active[Int(entry)].status = .remoteAccessError
            connections[connection].hasFailed = true
            return
        }
        if request.operation == .fetchAdd {
            addAtPeer(entry)
        } else if copies == nil {
            place(entry, fragment: fragment)
        } else {
            command(entry, fragment: fragment)
        }
        if active[Int(entry)].fragmentsLeft == 0 && request.operation == .writeWithImmediate {
            notifyReceiver(entry, peer: peer, immediate: request.immediate, at: now)
        }
    }

    @inlinable
    mutating func addAtPeer(_ entry: Int32) {
        let request = active[Int(entry)]
        guard
            let target = fabric.address(
                rank: Int(request.peer), region: request.remoteRegion, offset: request.remoteOffset)
        else { return }
        _ = perseus_fetch_add_acquire_release(
            target.assumingMemoryBound(to: UInt64.self), request.localOffset)
        notifySignal(entry, count: 1)
    }

    @inlinable
    mutating func notifySignal(_ entry: Int32, count: Int) {
        let request = active[Int(entry)]
        guard request.remoteRegion == UInt8(PERSEUS_REGION_SIGNAL.rawValue) else { return }
        var notice = NICNotice(
            .signalWords, rank: Int(request.peer), first: request.remoteOffset >> 3,
            count: UInt32(truncatingIfNeeded: count))
        notice.describe(active[Int(entry)], timings?[Int(entry)])
        notify(notice)
    }

    /// Has the bytes of one fragment moved, or words stored, by the copy block.
    @inlinable
    mutating func command(_ entry: Int32, fragment: Int) {
        guard let copies, let placements else { return }
        let request = active[Int(entry)]
        if let target = fabric.address(
            rank: Int(request.peer), region: request.remoteRegion, offset: request.remoteOffset)
        {
            let address = UInt64(UInt(bitPattern: target))
            if request.isInline {
                let payload = payloads + Int(entry) &* payloadWords
                for index in 0..<Int(request.byteCount) >> 3 {
                    copies.pointee.store(
                        request.byteCount == 8 ? request.localOffset : payload[index],
                        to: address &+ UInt64(index) &* 8)
                }
            } else if let source = fabric.address(
                rank: rank, region: request.localRegion, offset: request.localOffset)
            {
                let bytes = bytesOfFragment(fragment, of: entry)
                if !bytes.isEmpty {
                    copies.pointee.copy(
                        from: UInt64(UInt(bitPattern: source)) &+ UInt64(bytes.lowerBound),
                        to: address &+ UInt64(bytes.lowerBound), byteCount: bytes.count)
                }
            }
        }
        placements[Int(entry)] = copies.pointee.given
    }

    /// Acknowledges, in order, what was placed meanwhile; true when anything was.
    @inlinable
    mutating func finishPlaced(now: UInt64) -> Bool {
        guard let copies, let placements, let unplaced else { return false }
        var hasWorked = false
        while unplacedCount > 0, noticeCount_ < NICEngine.noticeCapacity - 8 {
            let entry = unplaced[unplacedHead]
            guard copies.pointee.isDone(placements[Int(entry)]) else { break }
            unplacedHead = unplacedHead &+ 1 < entryCapacity ? unplacedHead &+ 1 : 0
            unplacedCount &-= 1
            finish(entry, at: now, isSignaled: active[Int(entry)].isSignaled)
            hasWorked = true
        }
        return hasWorked
    }

    /// The part of a request that a fragment carries.
    @inlinable @inline(__always)
    func bytesOfFragment(_ fragment: Int, of entry: Int32) -> Range<Int> {
        let total = Int(active[Int(entry)].byteCount)
        let count = Int(active[Int(entry)].fragmentCount)
        let portion = count == 1 ? total : (total / count + 15) & ~15
        let begin = min(total, fragment &* portion)
        return begin..<(fragment == count &- 1 ? total : min(total, begin &+ portion))
    }

    /// Moves the bytes of one fragment. Words of signal regions are stored whole, each with release.
    @inlinable
    mutating func place(_ entry: Int32, fragment: Int) {
        let request = active[Int(entry)]
        let total = Int(request.byteCount)
        guard total > 0,
            let target = fabric.address(
                rank: Int(request.peer), region: request.remoteRegion, offset: request.remoteOffset)
        else { return }
        if request.isInline {
            let words = target.assumingMemoryBound(to: UInt64.self)
            if total == 8 {
                perseus_store_release(words, request.localOffset)
            } else {
                let payload = payloads + Int(entry) &* payloadWords
                for index in 0..<total >> 3 { perseus_store_release(words + index, payload[index]) }
            }
            notifySignal(entry, count: total >> 3)
            return
        }
        let bytes = bytesOfFragment(fragment, of: entry)
        guard !bytes.isEmpty,
            let source = fabric.address(
                rank: rank, region: request.localRegion, offset: request.localOffset)
        else { return }
        (target + bytes.lowerBound).copyMemory(
            from: source + bytes.lowerBound, byteCount: bytes.count)
    }

    /// Hands an immediate to the peer's receive queue; a full queue is tried again, as a NIC would.
    @inlinable
    mutating func notifyReceiver(
        _ entry: Int32, peer: Int, immediate: UInt32, at now: UInt64
    ) {
        if fabric.isDead(peer) { return }
        let message = SoftReceive.encode(source: rank, immediate: immediate)
        if fabric.receiveQueues[peer].tryPush(message) {
            var notice = NICNotice(.receive, rank: peer)
            if entry >= 0 { notice.describe(active[Int(entry)], timings?[Int(entry)]) }
            notify(notice)
        } else {
            events.pushGrowing(
                time: now &+ 1000,
                NICEvent(
                    .notify, entry: Int32(truncatingIfNeeded: peer), immediate: immediate))
        }
    }

    /// The acknowledgement is back: the request is over, unless its peer died and sends none any more.
    @inlinable
    mutating func acknowledge(_ entry: Int32, at now: UInt64) {
        if fabric.isDead(Int(active[Int(entry)].peer)) {
            events.pushGrowing(
                time: now &+ parameters.retryNanoseconds, NICEvent(.fail, entry: entry))
            return
        }
        if let copies, let placements, let unplaced,
            unplacedCount > 0 || !copies.pointee.isDone(placements[Int(entry)])
        {
            let slot = unplacedHead &+ unplacedCount
            unplaced[slot < entryCapacity ? slot : slot &- entryCapacity] = entry
            unplacedCount &+= 1
            return
        }
        finish(entry, at: now, isSignaled: active[Int(entry)].isSignaled)
    }

    /// Retries are exhausted: the connection fails, and what follows on it is flushed.
    @inlinable
    mutating func failRequest(_ entry: Int32, at now: UInt64) {
        let connection = connectionIndex(entry)
        if active[Int(entry)].status == .success {
            active[Int(entry)].status =
                connections[connection].hasFailed ? .flushed : .retryExceeded
        }
        connections[connection].hasFailed = true
        finish(entry, at: now, isSignaled: true)
    }

    /// Writes the completion, frees the entry and lets waiting requests go.
    @inlinable
    mutating func finish(_ entry: Int32, at now: UInt64, isSignaled: Bool) {
        let done = active[Int(entry)]
        let connection = connectionIndex(entry)
        let endpoint = Int(done.endpoint)
        if done.countsAsData { dataOutstanding &-= 1 }
        connections[connection].unretired &+= 1
        if isSignaled || done.status != .success {
            let completion = TimedCompletion(
                completion: WorkCompletion(
                    identifier: done.identifier, status: done.status),
                queue: done.queue, retiredCount: connections[connection].unretired,
                visibleAt: now &+ completionDelay)
            connections[connection].unretired = 0
            let isQueued = endpoints[endpoint].completionQueue.tryPush(completion)
            precondition(isQueued, "NICEngine: completion queue overrun")
            var notice = NICNotice(.completion, time: completion.visibleAt)
            notice.describe(done, timings?[Int(entry)])
            notify(notice)
        }
        let flow = flowIndex(entry)
        active[Int(entry)].next = freeEntry
        freeEntry = entry
        freeCount &+= 1
        release(flow, at: now)
    }

    /// One request less outstanding on `flow`: a fenced one behind it may go now.
    @inlinable
    mutating func release(_ flow: Int, at now: UInt64) {
        flows[flow].outstanding &-= 1
        guard flows[flow].outstanding == 0, flows[flow].head >= 0 else { return }
        enqueueFlow(flow)
        if !isTransmitting { transmitNext(at: now) }
    }
}
