// Lanes that cannot go on: their backlog, and how they come back.

import CPerseusABI
import PerseusCommandRing

extension ProxyLoop where NIC: ~Copyable {
    /// Appends a command and its operands to the lane's backlog (or drops it when the peer is dead).
    @inlinable
    mutating func park(_ command: Command, destination: Int) {
        if lanes[destination].state == .failed {
            counters.droppedCommands &+= 1
            return
        }
        if lanes[destination].backlogHead < 0 && !lanes[destination].isFlushing {
            lanes[destination].queuedSince = now
        }
        appendBacklog(command, destination: destination)
        let slots = Int(perseus_command_operand_slots(command.first))
        for slot in 0..<slots {
            appendBacklog(
                Command(
                    first: scratch.operands[2 &* slot], second: scratch.operands[2 &* slot &+ 1]),
                destination: destination)
        }
        counters.parkedCommands &+= 1
    }

    @inlinable
    mutating func appendBacklog(_ slot: Command, destination: Int) {
        let index = backlog.take(slot)
        if lanes[destination].backlogTail >= 0 {
            backlog.links[Int(lanes[destination].backlogTail)] = index
        } else {
            lanes[destination].backlogHead = index
        }
        lanes[destination].backlogTail = index
    }

    @inlinable
    mutating func popBacklog(_ destination: Int) {
        let index = lanes[destination].backlogHead
        let next = backlog.links[Int(index)]
        backlog.give(index)
        lanes[destination].backlogHead = next
        if next < 0 { lanes[destination].backlogTail = -1 }
    }

    /// Gives every parked lane that can go on a turn, in the order of their numbers, beginning with the lane that was
    /// refused a slot first in the turn before, or behind it where it had taken one in that turn.
    ///
    /// Where slots are short the lanes so get them in rotation, and none is passed over; beginning at lane 0 always would
    /// send every rank's backlog to the same peers first. Of the lanes that wait for a slot of one queue pair, those behind the first
    /// that is refused are not asked: nothing frees a slot during a turn. So a turn costs what it can do, however
    /// many lanes wait.
    @inlinable
    mutating func serveParkedLanes() {
        turn &+= 1
        refusedQueueCount = 0
        isPoolEmpty = false
        let first = firstServedLane
        var word = first >> 6
        var mask = ~UInt64(0) << UInt64(first & 63)
        // The word that holds the first lane is visited twice: its upper part at the beginning, the rest at the end.
        for visit in 0...bitWordCount {
            if visit == bitWordCount { mask = ~(~UInt64(0) << UInt64(first & 63)) }
            var bits = (due[word] | full[word]) & mask
            while bits != 0 {
                if dueLaneCount == 0 && (isPoolEmpty || refusedQueueCount == fullQueueCount) {
                    return
                }
                let lane = word &* 64 &+ bits.trailingZeroBitCount
                bits &= bits &- 1
                if due[word] & (1 << UInt64(lane & 63)) == 0 && isRefused(lane) { continue }
                let isUnrefused = refusedQueueCount == 0
                let posted = unrungCount
                serveLane(lane)
                if isUnrefused && refusedQueueCount > 0 && unrungCount != posted {
                    firstServedLane = lane &+ 1 < laneCount ? lane &+ 1 : 0
                }
                if stalledLane >= 0 { return }
            }
            mask = ~0
            word = word &+ 1 < bitWordCount ? word &+ 1 : 0
        }
    }

    /// There was no slot for a lane of the same queue pair in this turn.
    @inlinable @inline(__always)
    func isRefused(_ lane: Int) -> Bool {
        isPoolEmpty || refusedTurns[Int(lanes[lane].queue)] == turn
    }

    /// Finishes an interrupted flush, then works off the backlog until it is empty or the lane parks again.
    @inlinable
    mutating func serveLane(_ destination: Int) {
        if dueLaneCount > 0 { clearDue(destination) }
        if lanes[destination].state == .failed { return clearParked(destination) }
        if lanes[destination].state == .full { clearFull(destination) }
        lanes[destination].state = .open
        if lanes[destination].isFlushing {
            guard flush(destination) else { return }
            lanes[destination].queuedSince = now
        }
        while lanes[destination].backlogHead >= 0 {
            let head = lanes[destination].backlogHead
            let command = backlog.nodes[Int(head)]
            let slots = copyOperands(behind: head, of: command)
            guard
                execute(command, operands: scratch.operands, destination: destination, position: 0)
            else {
                return
            }
            for _ in 0...slots { popBacklog(destination) }
            lanes[destination].queuedSince = now
            if lanes[destination].state != .open { return }
        }
        clearParked(destination)
        if board.isWaiting { postMarker(destination) }
        if lanes[destination].pendingCount > 0 && !lanes[destination].isFlushing {
            setHolding(destination)
        }
    }

    /// Copies the operand slots that follow `head` in the backlog; returns how many there are.
    @inlinable
    mutating func copyOperands(behind head: Int32, of command: Command) -> Int {
        let slots = Int(perseus_command_operand_slots(command.first))
        var index = head
        for slot in 0..<slots {
            index = backlog.links[Int(index)]
            let node = backlog.nodes[Int(index)]
            scratch.operands[2 &* slot] = node.first
            scratch.operands[2 &* slot &+ 1] = node.second
        }
        return slots
    }

    /// True when the drain that stopped the proxy is over and its signal has left.
    @inlinable
    mutating func resumeStalledLane() -> Bool {
        let lane = stalledLane
        if lanes[lane].state == .failed {
            stalledLane = -1
            return true
        }
        let open = plan.wait == .all ? inFlightCount : UInt64(lanes[lane].inFlightCount)
        guard open == 0 else { return false }
        stalledLane = -1
        serveLane(lane)
        return stalledLane < 0
    }

    @inlinable
    mutating func setParked(_ lane: Int) {
        if parked[lane >> 6] & (1 << UInt64(lane & 63)) == 0 {
            parked[lane >> 6] |= 1 << UInt64(lane & 63)
            parkedLaneCount &+= 1
        }
    }

    @inlinable
    mutating func clearParked(_ lane: Int) {
        if parked[lane >> 6] & (1 << UInt64(lane & 63)) != 0 {
            parked[lane >> 6] &= ~(1 << UInt64(lane & 63))
            parkedLaneCount &-= 1
        }
    }

    /// Lets a parked lane have a turn.
    @inlinable
    mutating func setDue(_ lane: Int) {
        if due[lane >> 6] & (1 << UInt64(lane & 63)) == 0 {
            due[lane >> 6] |= 1 << UInt64(lane & 63)
            dueLaneCount &+= 1
        }
    }

    @inlinable
    mutating func clearDue(_ lane: Int) {
        if due[lane >> 6] & (1 << UInt64(lane & 63)) != 0 {
            due[lane >> 6] &= ~(1 << UInt64(lane & 63))
            dueLaneCount &-= 1
        }
    }

    /// Notes that the lane waits for a slot of its queue pair, which has none in this turn.
    @inlinable
    mutating func setFull(_ lane: Int) {
        let queue = Int(lanes[lane].queue)
        if refusedTurns[queue] != turn {
            refusedTurns[queue] = turn
            if refusedQueueCount == 0 { firstServedLane = lane }
            refusedQueueCount &+= 1
        }
        if full[lane >> 6] & (1 << UInt64(lane & 63)) == 0 {
            full[lane >> 6] |= 1 << UInt64(lane & 63)
            if fullLaneCounts[queue] == 0 { fullQueueCount &+= 1 }
            fullLaneCounts[queue] &+= 1
        }
    }

    @inlinable
    mutating func clearFull(_ lane: Int) {
        let queue = Int(lanes[lane].queue)
        if full[lane >> 6] & (1 << UInt64(lane & 63)) != 0 {
            full[lane >> 6] &= ~(1 << UInt64(lane & 63))
            fullLaneCounts[queue] &-= 1
            if fullLaneCounts[queue] == 0 { fullQueueCount &-= 1 }
        }
    }

    @inlinable
    mutating func setHolding(_ lane: Int) {
        if holding[lane >> 6] & (1 << UInt64(lane & 63)) == 0 {
            holding[lane >> 6] |= 1 << UInt64(lane & 63)
            holdingLaneCount &+= 1
        }
    }

    @inlinable
    mutating func clearHolding(_ lane: Int) {
        if holding[lane >> 6] & (1 << UInt64(lane & 63)) != 0 {
            holding[lane >> 6] &= ~(1 << UInt64(lane & 63))
            holdingLaneCount &-= 1
        }
    }
}
