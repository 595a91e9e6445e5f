// Puts alone and puts with signals: what each scheme counts, and times that can be worked out by hand.

import PerseusMegakernel
import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC
import Testing

private func workload(
    nodes: Int = 4, ranksPerNode: Int = 2, concurrency: Int = 24, byteCount: Int = 4096
) throws -> PutSignalWorkload {
    try PutSignalWorkload(
        nodes: nodes, ranksPerNode: ranksPerNode, concurrency: concurrency, byteCount: byteCount)
}

/// 24 transfers of rank 0 to the 6 ranks of other nodes, four to each.
@Suite struct PutSignalCountTests {
    private func run(
        _ scheme: Scheme?, profile: String = "perlmutter-slingshot11",
        _ change: (inout PutSignalWorkload) -> Void = { _ in }
    ) throws -> PutSignalRun {
        var workload = try workload()
        change(&workload)
        let run = try runPutSignal(scheme, workload, settings(profile))
        #expect(run.outcome.failure == nil)
        return run
    }

    @Test func putsAlonePostNoSignal() throws {
        let counters = try run(nil).outcome.counters
        #expect(counters.dispatchPuts == 24 && counters.combinePuts == 0)
        #expect(counters.bytesSent == 24 * 4096)
        #expect(counters.signals == 0 && counters.signalWords == 0)
        #expect(counters.dispatchFences == 0 && counters.drains == 0)
    }

    @Test(arguments: [
        (Scheme.coupled, fences: 24, drains: 24), (.decoupled, fences: 6, drains: 6),
        (.nicOrdered, fences: 24, drains: 0), (.perseus, fences: 6, drains: 0),
        (.gpuDirect, fences: 0, drains: 0), (.perseusPlus, fences: 0, drains: 0),
    ])
    func everyTransferIsSignalledOnce(_ scheme: Scheme, fences: UInt64, drains: UInt64) throws {
        let counters = try run(scheme).outcome.counters
        #expect(counters.dispatchPuts == 24)
        #expect(counters.signalWords == 24)
        #expect(counters.dispatchFences == fences && counters.combineFences == 0)
        #expect(counters.drains == drains)
        #expect((counters.commands == 0) == (scheme == .gpuDirect))
        // Only ours joins words into one write.
        #expect(counters.signals == 24 || scheme == .perseusPlus && counters.signals < 24)
    }

    @Test func groupsFenceOncePerGroup() throws {
        for (size, fences) in [(1, 24), (8, 3), (24, 1)] {
            var settings = settings("perlmutter-slingshot11")
            settings.options.groupSize = size
            let counters = try runPutSignal(.perseus, workload(), settings).outcome.counters
            #expect(counters.dispatchFences == UInt64(fences), "groups of \(size)")
            #expect(counters.signalWords == 24)
        }
    }

    @Test func everyRankMaySend() throws {
        let counters = try run(.coupled) { $0.senders = .all }.outcome.counters
        #expect(counters.dispatchPuts == 8 * 24 && counters.signalWords == 8 * 24)
        #expect(counters.drains == 8 * 24)
    }

    /// The receivers' proxies count an immediate for every put and every signal.
    @Test(arguments: [SignalOrdering.countedImmediate, .immediateLast, nil])
    func immediatesAreCountedByReceivers(_ ordering: SignalOrdering?) throws {
        let profile = ordering == .immediateLast ? "roce-adaptive" : "efa-srd"
        var settings = settings(profile)
        settings.options.ordering = ordering
        let run = try runPutSignal(.perseusPlus, workload(), settings)
        #expect(run.outcome.failure == nil)
        #expect(run.setup.ordering == ordering ?? .countedImmediate)
        let counters = run.outcome.counters
        #expect(counters.signalWords == 24 && counters.dispatchFences == 0)
        let puts: UInt64 = ordering == .immediateLast ? 0 : 24
        #expect(counters.receiveCompletions == puts + counters.signals)
    }

    @Test(arguments: [nil, Scheme.coupled, .perseus, .gpuDirect, .perseusPlus])
    func twoVirtualRunsAreEqual(_ scheme: Scheme?) throws {
        let (first, second) = (
            try run(scheme) { $0.senders = .all }, try run(scheme) { $0.senders = .all }
        )
        #expect(first.senderNanoseconds == second.senderNanoseconds)
        #expect(first.outcome.stepCount == second.outcome.stepCount)
        #expect("\(first.outcome.counters)" == "\(second.outcome.counters)")
        // Another seed is another order of transfers, which the paper's schemes send as it comes.
        let other = try run(scheme) {
            $0.senders = .all
            $0.seed = 2
        }
        if scheme != .perseusPlus { #expect(other.senderNanoseconds != first.senderNanoseconds) }
    }

    @Test(arguments: [nil, Scheme.coupled, .perseus, .gpuDirect, .perseusPlus])
    func theMachinesClockFinishes(_ scheme: Scheme?) throws {
        var settings = settings("perlmutter-slingshot11", clock: .real(threads: 1))
        settings.chargesPosting = true
        let run = try runPutSignal(
            scheme, workload(nodes: 2, ranksPerNode: 1, concurrency: 8), settings)
        #expect(run.outcome.failure == nil)
        // One round warms up, the other is measured.
        #expect(run.outcome.counters.dispatchPuts == 16)
        #expect(run.outcome.counters.signalWords == (scheme == nil ? 0 : 16))
        #expect(run.outcome.measuredFrom[0] != nil && run.senderNanoseconds > 0)
    }
}

@Suite struct PutSignalTimeTests {
    /// Costs that can be told apart in a sum; what is not set here takes no time.
    private func profile(_ change: (inout Profile) -> Void = { _ in }) -> Profile {
        var profile = Profile.named("ideal")!
        profile.fabric.bytesPerNanosecond = 1
        profile.fabric.messageNanoseconds = 10
        profile.fabric.latencyNanoseconds = 100_000
        profile.fabric.completionNanoseconds = 30_000
        profile.fabric.completionPerDestinationNanoseconds = 7000
        profile.ringNanoseconds = 200
        profile.proxyPollNanoseconds = 3
        profile.posting.putNanoseconds = 400
        profile.posting.signalNanoseconds = 50
        profile.posting.pollNanoseconds = 6
        profile.directPosting.putNanoseconds = 70
        profile.directPosting.signalNanoseconds = 20
        change(&profile)
        return profile
    }

    private func nanoseconds(
        _ scheme: Scheme?, _ workload: PutSignalWorkload, _ profile: Profile
    ) throws -> Double {
        try runPutSignal(scheme, workload, RunSettings(profile: profile)).senderNanoseconds
    }

    /// One transfer of 4,096 bytes takes 4,096 ns on the wire; there are 2 destinations.
    @Test func oneTransferTakesTheSumOfItsParts() throws {
        let one = try workload(nodes: 2, concurrency: 1)
        let (pushed, wire, latency) = (200.0 + 3, 4096.0, 100_000.0)
        let put = pushed + 400 + wire + latency
        #expect(try nanoseconds(nil, one, profile()) == put)
        // Acknowledged, seen as a completion, polled; then the signal is posted and sent.
        let signal = 50 + 10 + latency
        let drain = latency + 30_000 + 2 * 7000 + 3 + 6
        #expect(try nanoseconds(.coupled, one, profile()) == put + drain + signal)
        #expect(try nanoseconds(.decoupled, one, profile()) == put + drain + signal)
        // The NIC holds the flagged signal back until the put is acknowledged; no proxy waits.
        #expect(try nanoseconds(.nicOrdered, one, profile()) == put + latency + 10 + latency)
        #expect(try nanoseconds(.perseus, one, profile()) == put + latency + 10 + latency)
        // In order the signal follows on the wire.
        #expect(try nanoseconds(.perseusPlus, one, profile()) == put + 10)
        #expect(try nanoseconds(.gpuDirect, one, profile()) == 70 + wire + 10 + latency)
    }

    @Test func anIdleNICCostsItsRefill() throws {
        let one = try workload(nodes: 2, concurrency: 1)
        let idle = profile {
            $0.fabric.refillNanoseconds = 5000
            $0.fabric.refillByteCount = 1  // so that 4,096 bytes cost all of it
        }
        for scheme in [nil, Scheme.coupled] {
            #expect(
                try nanoseconds(scheme, one, idle) == nanoseconds(scheme, one, profile()) + 5000)
        }
    }

    /// `coupled` waits for every transfer, and a completion is late by the tail of every destination.
    @Test(arguments: [(1, 2), (5, 2), (12, 3), (12, 5)])
    func aCoupledTransferWaitsForTheTailOfEveryDestination(_ count: Int, _ nodes: Int) throws {
        let workload = try workload(nodes: nodes, concurrency: count)
        let destinations = 2 * (nodes - 1)
        let without = profile { $0.fabric.completionPerDestinationNanoseconds = 0 }
        let growth =
            try nanoseconds(.coupled, workload, profile())
            - nanoseconds(.coupled, workload, without)
        #expect(growth == Double(count * destinations * 7000))
        let flagged =
            try nanoseconds(.perseus, workload, profile())
            - nanoseconds(.perseus, workload, without)
        #expect(flagged == 0)
    }
}

@Suite struct PutSignalRefusalTests {
    private func refusal(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch let error as PerseusError {
            return error.kind == .badInput ? error.message : "\(error.kind)"
        } catch {
            return "\(error)"
        }
    }

    @Test func oneNodeHasNothingToSend() {
        #expect(
            refusal { _ = try workload(nodes: 1) }
                == "put-signal needs 2 nodes or more: ranks of one node use no proxy")
    }

    @Test func sizesThatACommandCannotNameAreRefused() {
        let limit = 16_777_200
        for size in [0, -16, 8, 4100, limit + 16] {
            #expect(
                refusal { _ = try workload(byteCount: size) }
                    == "put-signal: \(size) bytes; a put takes a multiple of 16, up to \(limit)")
        }
        #expect(refusal { _ = try workload(byteCount: 16) } == nil)
        #expect(refusal { _ = try workload(byteCount: limit) } == nil)
    }

    @Test func offsetsThatACommandCannotNameAreRefused() {
        let message = refusal {
            let large = try workload(
                nodes: 256, ranksPerNode: 4, concurrency: 1024, byteCount: 1 << 20)
            _ = try runPutSignal(.coupled, large, settings("ideal"))
        }
        #expect(
            message
                == "put-signal: 1024 ranks x 1024 transfers x 1048576 bytes exceed the 512 GiB that a command"
                + " can name")
    }

    @Test func anOrderingThatTheFabricDoesNotHonourIsRefused() throws {
        let message = refusal {
            _ = try runPutSignal(.perseus, workload(), settings("efa-srd"))
        }
        #expect(message?.hasPrefix("scheme perseus on efa-srd: ordering fence-flag needs ") == true)
    }
}
