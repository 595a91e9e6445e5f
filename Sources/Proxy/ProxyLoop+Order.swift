// Stage 6 of 10 — order: signals are admitted, held while a group grows, put behind the data.
// Upstream:   SignalOrdering.swift
// Downstream: ProxyLoop+Post.swift

import CPerseusABI
import PerseusCommandRing
import PerseusTransport

extension ProxyLoop where NIC: ~Copyable {
    /// Admits the words of a signalBlock; false: earlier signals of the lane could not leave, so it must wait.
    ///
    /// Once admitted the words live in the lane's pending slice, and the command is done with.
    @inlinable
    mutating func executeSignalBlock(
        _ command: Command, operands: UnsafePointer<UInt64>, destination: Int, position: UInt64
    ) -> Bool {
        let count = Int(perseus_command_count(command.first))
        let flags = perseus_command_flags(command.second)
        let phase: UInt8 = flags & UInt32(PERSEUS_FLAG_COMBINE) != 0 ? 1 : 0
        precondition(
            count > 0 && count <= pendingCapacity,
            "ProxyLoop: signalBlock without words or larger than configured")
        var held = Int(lanes[destination].pendingCount)
        if held > 0 && (phase != lanes[destination].pendingPhase || held + count > pendingCapacity)
        {
            guard flush(destination) else { return false }
            held = 0
        }
        let first = perseus_command_remote_offset(command.second)
        let isClosed =
            !coalesces || (groupsCombineOnly && phase == 0)
            || flags & UInt32(PERSEUS_FLAG_LAST_OF_GROUP) != 0 || held + count >= groupWordLimit
        if held == 0 {
            if isClosed && canLeaveAtOnce(count, destination: destination),
                postWords(
                    operands, count: count, at: first, phase: phase, destination: destination,
                    asksForCompletion: true)
            {
                lanes[destination].queuedSince = now
                return true
            }
            lanes[destination].pendingSlice = pending.take()
        }
        let slice =
            pending[lanes[destination].pendingSlice] + Int(lanes[destination].pendingCount)
        for index in 0..<count {
            slice[index] = PendingSignal(
                wordOffset: first &+ UInt64(index), word: operands[index])
        }
        lanes[destination].pendingCount &+= UInt16(truncatingIfNeeded: count)
        lanes[destination].pendingPhase = phase
        if isClosed { _ = flush(destination) } else { setHolding(destination) }
        return true
    }

    /// A closed group of one block, with nothing to wait for, needs not be kept: it leaves as one write.
    @inlinable @inline(__always)
    func canLeaveAtOnce(_ count: Int, destination: Int) -> Bool {
        plan.form != .addition && count <= payloadCapacity
            && (plan.wait == .none || !isDirty(destination))
    }

    /// Lanes whose commands are exhausted send what they hold: nothing more is coming that could join.
    @inlinable
    mutating func flushDryLanes() {
        for word in 0..<bitWordCount where holding[word] != 0 {
            var bits = holding[word]
            while bits != 0 {
                let lane = word &* 64 &+ bits.trailingZeroBitCount
                bits &= bits &- 1
                if lanes[lane].state == .open && lanes[lane].backlogHead < 0 { _ = flush(lane) }
                if stalledLane >= 0 { return }
            }
        }
    }

    /// Posts the lane's pending signals behind its data; false: the lane is parked (draining or full).
    ///
    /// Calling it again after the lane was reopened goes on where it stopped.
    @inlinable
    mutating func flush(_ destination: Int) -> Bool {
        guard lanes[destination].pendingCount > 0 else { return true }
        if !lanes[destination].isFlushing {
            lanes[destination].isFlushing = true
            lanes[destination].queuedSince = now
            clearHolding(destination)
            if lanes[destination].pendingCount > 1 { sortPending(destination) }
        }
        if plan.wait != .none, !hasDrained(destination) { return false }
        while lanes[destination].pendingPosted < lanes[destination].pendingCount {
            let isPosted = plan.form == .addition ? postAddition(destination) : postRun(destination)
            guard isPosted else { return false }
        }
        pending.give(lanes[destination].pendingSlice)
        lanes[destination].pendingCount = 0
        lanes[destination].pendingPosted = 0
        lanes[destination].isFlushing = false
        return true
    }

    /// The wait of the draining orderings: true when the signal may go now.
    @inlinable
    mutating func hasDrained(_ destination: Int) -> Bool {
        if !isDirty(destination) { return true }
        let open = plan.wait == .all ? inFlightCount : UInt64(lanes[destination].inFlightCount)
        if !lanes[destination].hasBegunDrain {
            countFence(phase: lanes[destination].pendingPhase)
        }
        if open > 0 {
            if !lanes[destination].hasBegunDrain {
                lanes[destination].hasBegunDrain = true
                lanes[destination].waitingSince = now
                counters.drains &+= 1
            }
            lanes[destination].state = .draining
            setParked(destination)
            if !parksOnDrain {
                // Where the kernel posts itself another lane may stall while one does; each has its turn.
                if stalledLane >= 0 && stalledLane != destination { setDue(stalledLane) }
                stalledLane = destination
            }
            return false
        }
        if lanes[destination].hasBegunDrain {
            counters.drainNanoseconds &+= now &- lanes[destination].waitingSince
            lanes[destination].hasBegunDrain = false
        }
        if plan.wait == .all {
            allOrderedThrough = dataSequence
        } else {
            lanes[destination].orderedThrough = lanes[destination].lastData
        }
        return true
    }

    /// The lane has puts that nothing orders yet before what is posted from now on.
    @inlinable @inline(__always)
    func isDirty(_ destination: Int) -> Bool {
        let last = lanes[destination].lastData
        return last > lanes[destination].orderedThrough && last > allOrderedThrough
            && last > queueOrderedThrough[Int(lanes[destination].queue)]
    }

    @inlinable
    mutating func countFence(phase: UInt8) {
        if phase == 0 {
            counters.dispatchFences &+= 1
        } else {
            counters.combineFences &+= 1
        }
    }

    /// Remembers what the fence flag just posted on `destination` covers, by its scope at this NIC.
    @inlinable
    mutating func noteFenced(_ destination: Int) {
        switch fenceScope {
        case .peer: lanes[destination].orderedThrough = dataSequence
        case .lane: queueOrderedThrough[Int(lanes[destination].queue)] = dataSequence
        case .queue: allOrderedThrough = dataSequence
        }
    }

    /// Posts the next run of consecutive words as one write; false: no slot, the lane is parked.
    @inlinable
    mutating func postRun(_ destination: Int) -> Bool {
        let first = Int(lanes[destination].pendingPosted)
        let end = Int(lanes[destination].pendingCount)
        let slice = pending[lanes[destination].pendingSlice]
        let wordOffset = slice[first].wordOffset
        var count = 0
        while first &+ count < end && count < payloadCapacity,
            slice[first &+ count].wordOffset == wordOffset &+ UInt64(count)
        {
            scratch.payload[count] = slice[first &+ count].word
            count &+= 1
        }
        // The last run of a flush always asks for a completion, so no lane is left with a silent tail; long flushes
        // ask in between, or they would fill a short queue pair for ever.
        let asksForCompletion =
            first &+ count == end || lanes[destination].unsignaledCount &+ 1 >= signalInterval
        guard
            postWords(
                scratch.payload, count: count, at: wordOffset,
                phase: lanes[destination].pendingPhase,
                destination: destination, asksForCompletion: asksForCompletion)
        else { return false }
        lanes[destination].pendingPosted &+= UInt16(truncatingIfNeeded: count)
        return true
    }

    /// Posts consecutive signal words as one write; false: no slot, the lane is parked.
    @inlinable @inline(__always)
    mutating func postWords(
        _ words: UnsafePointer<UInt64>, count: Int, at wordOffset: UInt64, phase: UInt8,
        destination: Int, asksForCompletion: Bool
    ) -> Bool {
        var request = WorkRequest(
            operation: .write, peer: UInt32(destination), queue: lanes[destination].queue,
            byteCount: UInt32(truncatingIfNeeded: count &* 8), identifier: 0)
        request.isInline = true
        request.payload = words
        request.remoteOffset = wordOffset << UInt64(PERSEUS_SIGNAL_UNIT_SHIFT)
        request.remoteRegion = UInt8(truncatingIfNeeded: PERSEUS_REGION_SIGNAL.rawValue)
        if plan.form == .immediate {
            request.operation = .writeWithImmediate
            request.remoteRegion = UInt8(truncatingIfNeeded: PERSEUS_REGION_SIGNAL_SHADOW.rawValue)
            request.immediate = Immediate.signal(wordIndex: wordOffset, count: count)
        }
        request.isFenced = plan.flagsSignal && isDirty(destination)
        guard
            post(
                &request, destination: destination, position: 0, isSignaled: asksForCompletion)
        else { return false }
        if request.isFenced {
            countFence(phase: phase)
            noteFenced(destination)
        }
        counters.signals &+= 1
        counters.signalWords &+= UInt64(truncatingIfNeeded: count)
        return true
    }

    /// Posts the next word as a fetch-add of its addend; a zero addend changes nothing and is left out.
    @inlinable
    mutating func postAddition(_ destination: Int) -> Bool {
        let index = Int(lanes[destination].pendingPosted)
        let entry = pending[lanes[destination].pendingSlice][index]
        if entry.word != 0 {
            var request = WorkRequest(
                operation: .fetchAdd, peer: UInt32(destination), queue: lanes[destination].queue,
                byteCount: 8, identifier: 0)
            request.localOffset = entry.word
            request.remoteOffset = entry.wordOffset << UInt64(PERSEUS_SIGNAL_UNIT_SHIFT)
            request.remoteRegion = UInt8(truncatingIfNeeded: PERSEUS_REGION_SIGNAL.rawValue)
            guard post(&request, destination: destination, position: 0, isSignaled: true) else {
                return false
            }
            counters.signals &+= 1
            counters.signalWords &+= 1
        }
        lanes[destination].pendingPosted &+= 1
        return true
    }

    /// Puts the pending signals into address order, so that neighbours leave in one write. Groups are short and
    /// nearly sorted, so insertion is enough.
    @inlinable
    mutating func sortPending(_ destination: Int) {
        let slice = pending[lanes[destination].pendingSlice]
        var index = 1
        while index < Int(lanes[destination].pendingCount) {
            let entry = slice[index]
            var hole = index
            while hole > 0 && slice[hole &- 1].wordOffset > entry.wordOffset {
                slice[hole] = slice[hole &- 1]
                hole &-= 1
            }
            slice[hole] = entry
            index &+= 1
        }
    }
}
