// Start and end of a layer in a job of processes: one clock, and what rank 0 hears from the others.

import CPerseusShims
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC
import PerseusTransport

/// What the checkers of a run found.
public struct OrderFindings: Sendable, Equatable {
    public var checkCount: Int
    public var violationCount: Int
    /// The first violation as text.
    public var firstViolation: String?

    init(_ checker: OrderChecker) {
        checkCount = checker.checkCount
        violationCount = checker.violationCount
        firstViolation = checker.violations.first?.description
    }
}

/// All ranks are ready: from here on the layer runs.
struct GroupStart {
    let group: any Rendezvous
    /// Zero of the layer's clock, the same for all processes of a machine.
    let origin: UInt64

    /// Rank 0 sets the clock before it comes to the barrier; the others read it behind.
    init(
        _ group: any Rendezvous, _ shared: SharedFabric?, step: String
    ) throws(PerseusError) {
        self.group = group
        if group.rank == 0 { shared?.clockOrigin = perseus_monotonic_nanoseconds() }
        try group.barrier(step: step)
        origin = shared?.clockOrigin ?? perseus_monotonic_nanoseconds()
    }
}

extension SchemeRun {
    /// Brings this rank's results to rank 0, which adds up counters and puts output and routing together.
    mutating func gather(_ group: any Rendezvous, step: String) throws(PerseusError) {
        let all = try group.gather(ownResults(of: group.rank), step: step)
        guard group.rank == 0 else { return }
        var sums = RankSums(self)
        var routing = job.ownRouting
        for rank in 1..<group.rankCount {
            var reader = ByteReader(all[rank])
            guard sums.add(&reader), takeOutput(of: rank, &reader),
                Self.takeRouting(&routing, job: job, rank: rank, &reader), reader.isAtEnd
            else { throw PerseusError(.environment, "rank \(rank) sent broken results") }
        }
        job.gatheredRouting = routing
        outcome = sums.outcome
        findings = sums.order
    }

    private func ownResults(of rank: Int) -> [UInt8] {
        // Rank 0 keeps its own where it is.
        guard rank != 0 else { return [] }
        var writer = ByteWriter()
        RankSums(self).write(to: &writer)
        writer.append(elements: output)
        let routing = job.ownRouting
        routing.ids.withUnsafeBufferPointer { writer.append(elements: $0) }
        routing.weights.withUnsafeBufferPointer { writer.append(elements: $0) }
        return writer.bytes
    }

    private func takeOutput(of rank: Int, _ reader: inout ByteReader) -> Bool {
        guard let output = job.output else { return true }
        let tokens = job.geometry.tokens(of: rank)
        let hidden = job.geometry.model.hidden
        return reader.read(
            into: UnsafeMutableBufferPointer(
                start: output + tokens.lowerBound * hidden, count: tokens.count * hidden))
    }

    private static func takeRouting(
        _ routing: inout (ids: [Int32], weights: [Float]), job: LayerJob, rank: Int,
        _ reader: inout ByteReader
    ) -> Bool {
        let count = job.geometry.tokensPerRank[rank] * job.geometry.model.topK
        var ids = [Int32](repeating: 0, count: count)
        var weights = [Float](repeating: 0, count: job.output == nil ? 0 : count)
        guard ids.withUnsafeMutableBufferPointer({ reader.read(into: $0) }),
            weights.withUnsafeMutableBufferPointer({ reader.read(into: $0) })
        else { return false }
        routing.ids += ids
        routing.weights += weights
        return true
    }
}

/// The numbers of ranks, added up: counts as sums, times as those of the slowest.
private struct RankSums {
    var outcome: RunOutcome
    var order: OrderFindings?

    init(_ run: SchemeRun) {
        outcome = run.outcome
        order = run.findings
    }

    func write(to writer: inout ByteWriter) {
        writer.append(outcome.layerNanoseconds)
        writer.append(outcome.computeNanoseconds)
        writer.append(UInt64(outcome.stepCount))
        withUnsafePointer(to: outcome.counters) {
            writer.append(elements: UnsafeBufferPointer(start: $0, count: 1))
        }
        writer.append(UInt8(order == nil ? 0 : 1))
        writer.append(UInt64(order?.checkCount ?? 0))
        writer.append(UInt64(order?.violationCount ?? 0))
        writer.append(order?.firstViolation ?? "")
    }

    mutating func add(_ reader: inout ByteReader) -> Bool {
        var counters = ProxyCounters()
        guard let layer = reader.integer(UInt64.self), let compute = reader.integer(UInt64.self),
            let steps = reader.integer(UInt64.self),
            withUnsafeMutablePointer(
                to: &counters,
                { reader.read(into: UnsafeMutableBufferPointer(start: $0, count: 1)) }),
            let hasOrder = reader.integer(UInt8.self), let checks = reader.integer(UInt64.self),
            let violations = reader.integer(UInt64.self), let first = reader.text()
        else { return false }
        outcome.layerNanoseconds = max(outcome.layerNanoseconds, layer)
        outcome.computeNanoseconds = max(outcome.computeNanoseconds, compute)
        outcome.stepCount += Int(steps)
        outcome.counters += counters
        guard hasOrder == 1 else { return true }
        order?.checkCount += Int(checks)
        order?.violationCount += Int(violations)
        if !first.isEmpty, order?.firstViolation == nil { order?.firstViolation = first }
        return true
    }
}
