// The reference's expert: two projections and an activation in float64.

import Glibc
import PerseusPrimitives

extension ReferenceLayer {
    /// Evaluates one expert for all its visits.
    ///
    /// Each weight row is widened once and multiplied with every visitor before the next row is
    /// touched.
    func evaluateExpert(
        _ job: Job, inputs: [[Double]], into partial: UnsafeMutableBufferPointer<Double>
    ) throws {
        guard let source = job.isShared ? weights.shared : weights.experts else { return }
        let dimensions = source.dimensions
        let storage = ExpertWeightStorage(dimensions: dimensions, hasBias: source.hasBias)
        try source.load(expert: job.expert, into: storage.buffer)
        let rows = job.visits.map { visit in inputs[visit.token].map { $0 * visit.inputFactor } }
        let buffer = storage.buffer
        let gate = referenceProject(rows, buffer.gate, buffer.gateBias, dimensions.intermediate)
        let up = referenceProject(rows, buffer.up, buffer.upBias, dimensions.intermediate)
        let inner = zip(gate, up).map { gate, up in
            zip(gate, up).map { activate(gate: $0, up: $1, isShared: job.isShared) }
        }
        let outputs = referenceProject(inner, buffer.down, buffer.downBias, dimensions.hidden)
        for (visit, output) in zip(job.visits, outputs) {
            for h in output.indices { partial[visit.place * output.count + h] = output[h] }
        }
    }

    private func activate(gate: Double, up: Double, isShared: Bool) -> Double {
        switch isShared ? .silu : weights.model.activation {
        case .silu:
            return gate / (1 + exp(-gate)) * up
        case .clampedSwiGLU(let alpha, let limit):
            let bound = Double(limit)
            let clampedGate = min(gate, bound)
            let clampedUp = max(-bound, min(up, bound))
            return (clampedUp + 1) * clampedGate / (1 + exp(-Double(alpha) * clampedGate))
        }
    }
}

/// `result[r][o] = bias[o] + Σ_i rows[r][i] · weight[o, i]`
private func referenceProject(
    _ rows: [[Double]], _ weight: UnsafeMutableBufferPointer<UInt16>,
    _ bias: UnsafeMutableBufferPointer<Float>?, _ outputCount: Int
) -> [[Double]] {
    let inputCount = rows.first?.count ?? 0
    var results = rows.map { _ in [Double](repeating: 0, count: outputCount) }
    withUnsafeTemporaryAllocation(of: Double.self, capacity: max(1, inputCount)) { wide in
        guard let wide = wide.baseAddress else { return }
        for o in 0..<outputCount {
            let narrow = weight.baseAddress! + o * inputCount
            for i in 0..<inputCount {
                wide[i] = Double(Float(bitPattern: UInt32(narrow[i]) << 16))
            }
            for r in rows.indices {
                let sum = rows[r].withUnsafeBufferPointer { referenceDot($0, wide) }
                results[r][o] = sum + Double(bias?[o] ?? 0)
            }
        }
    }
    return results
}

/// Four partial sums, so that the processor's adders are kept busy.
private func referenceDot(
    _ row: UnsafeBufferPointer<Double>, _ wide: UnsafeMutablePointer<Double>
) -> Double {
    guard let row = row.baseAddress.map({ (start: $0, count: row.count) }) else { return 0 }
    var sums = (0.0, 0.0, 0.0, 0.0)
    let whole = row.count & ~3
    var i = 0
    while i < whole {
        sums.0 += row.start[i] * wide[i]
        sums.1 += row.start[i &+ 1] * wide[i &+ 1]
        sums.2 += row.start[i &+ 2] * wide[i &+ 2]
        sums.3 += row.start[i &+ 3] * wide[i &+ 3]
        i &+= 4
    }
    while i < row.count {
        sums.0 += row.start[i] * wide[i]
        i &+= 1
    }
    return sums.0 + sums.1 + sums.2 + sums.3
}
