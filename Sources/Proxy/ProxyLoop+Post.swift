// Stage 7 of 10 — post: a put becomes a work request; the only place where offsets become bytes.
// Upstream:   ProxyLoop+Order.swift
// Downstream: Transport.swift

import CPerseusABI
import PerseusCommandRing
import PerseusTransport

extension ProxyLoop where NIC: ~Copyable {
    /// Posts one put; false: the lane is parked now and the command must wait.
    @inlinable @inline(__always)
    mutating func executePut(_ command: Command, destination: Int, position: UInt64) -> Bool {
        let units = perseus_command_count(command.first)
        let byteCount = units << UInt32(PERSEUS_PUT_UNIT_SHIFT)
        let isCombine = perseus_command_flags(command.second) & UInt32(PERSEUS_FLAG_COMBINE) != 0
        if lanes[destination].pendingCount > 0,
            lanes[destination].pendingPhase != (isCombine ? 1 : 0)
                || (!holdsThroughPuts && byteCount > coalesceByteLimit)
        {
            guard flush(destination) else { return false }
        }
        let remoteUnits = perseus_command_remote_offset(command.second)
        var request = WorkRequest(
            operation: plan.countsData ? .writeWithImmediate : .write, peer: UInt32(destination),
            queue: lanes[destination].queue, byteCount: byteCount, identifier: 0)
        request.localRegion = UInt8(truncatingIfNeeded: perseus_command_local_region(command.first))
        request.remoteRegion = UInt8(
            truncatingIfNeeded: perseus_command_remote_region(command.first))
        request.localOffset =
            perseus_command_local_offset(command.first) << UInt64(PERSEUS_PUT_UNIT_SHIFT)
        request.remoteOffset = remoteUnits << UInt64(PERSEUS_PUT_UNIT_SHIFT)
        if plan.countsData { request.immediate = Immediate.data(remoteUnits: remoteUnits) }
        // A quiet that is waited for has asked for its markers already: later puts must not hide behind it.
        let asksForCompletion =
            lanes[destination].unsignaledCount &+ 1 >= signalInterval || board.isWaiting
        guard
            post(
                &request, destination: destination, position: position,
                isSignaled: asksForCompletion)
        else { return false }
        dataSequence &+= 1
        lanes[destination].lastData = dataSequence
        if isCombine { counters.combinePuts &+= 1 } else { counters.dispatchPuts &+= 1 }
        return true
    }

    /// Posts a lone fetch-add (a counter, not a signal: nothing is ordered before it).
    @inlinable
    mutating func executeAtomicAdd(_ command: Command, destination: Int, position: UInt64) -> Bool {
        var request = WorkRequest(
            operation: .fetchAdd, peer: UInt32(destination), queue: lanes[destination].queue,
            byteCount: 8, identifier: 0)
        request.remoteRegion = UInt8(
            truncatingIfNeeded: perseus_command_remote_region(command.first))
        request.localOffset = perseus_command_local_offset(command.first)
        request.remoteOffset =
            perseus_command_remote_offset(command.second) << UInt64(PERSEUS_SIGNAL_UNIT_SHIFT)
        return post(&request, destination: destination, position: position, isSignaled: true)
    }

    /// Posts `request` and records it; false: no slot was free, the lane is parked and nothing has changed.
    @inlinable @inline(__always)
    mutating func post(
        _ request: inout WorkRequest, destination: Int, position: UInt64, isSignaled: Bool
    ) -> Bool {
        guard inFlight.freeCount > 0 else {
            isPoolEmpty = true
            return parkFull(destination)
        }
        let entry = inFlight.take(
            InFlightEntry(
                position: position, postedAt: now, byteCount: request.byteCount,
                operation: request.operation))
        request.identifier = UInt64(destination) << 32 | UInt64(UInt32(bitPattern: entry))
        request.isSignaled = isSignaled
        if transport.post(request) == .full {
            inFlight.give(entry)
            return parkFull(destination)
        }
        let newest = lanes[destination].newestInFlight
        if newest >= 0 {
            inFlight.links[Int(newest)] = entry
        } else {
            lanes[destination].oldestInFlight = entry
        }
        lanes[destination].newestInFlight = entry
        lanes[destination].inFlightCount &+= 1
        lanes[destination].unsignaledCount =
            isSignaled ? 0 : lanes[destination].unsignaledCount &+ 1
        inFlightCount &+= 1
        unrungCount &+= 1
        counters.bytesSent &+= UInt64(request.byteCount)
        return true
    }

    /// Level two of the credits: no slot at the NIC parks the lane, never the proxy.
    @inlinable
    mutating func parkFull(_ destination: Int) -> Bool {
        lanes[destination].state = .full
        setParked(destination)
        setFull(destination)
        return false
    }
}

/// The 32 bits of a write with immediate.
///
/// | bit 31 | bits 30…0 |
/// |---|---|
/// | 0: data | remote offset in 16-byte units (regions up to 32 GiB) |
/// | 1: signal | first word index (21 bits), number of words (10 bits) |
@frozen
public enum Immediate {
    /// Regions that counted immediates can name: 2^31 units of 16 bytes.
    public static let dataRegionByteLimit: UInt64 = 1 << 35
    /// Signal words that an immediate can name.
    public static let signalWordLimit = 1 << 21
    /// Signal words of one write with immediate.
    public static let runWordLimit = (1 << 10) - 1

    @inlinable @inline(__always)
    static func data(remoteUnits: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: remoteUnits) & 0x7FFF_FFFF
    }

    @inlinable @inline(__always)
    static func signal(wordIndex: UInt64, count: Int) -> UInt32 {
        0x8000_0000 | UInt32(truncatingIfNeeded: wordIndex) << 10
            | UInt32(truncatingIfNeeded: count)
    }
}
