// Stage 10 of 10 — combine: the weighted sum of a token's results, in slot order.
// Upstream:   Processor.swift
// Downstream: the caller's output, and Router.swift of the next layer

import CExpertKernels
import CPerseusABI
import PerseusExpertKernels
import PerseusMemory
import PerseusMoE

extension Processor {
    /// shared[t] = sharedExpert(hidden[t]) for up to 64 tokens.
    func multiplyShared() {
        guard let shared = state.compute?.shared, let hidden = state.hidden,
            let sharedRows = state.sharedRows, let scratch = buffers?.pointee.scratch
        else { return }
        let width = state.geometry.model.hidden
        let first = Int(task.segments.0.first_row)
        shared.multiply(
            expert: 0, input: hidden + (state.roundTokenRange.lowerBound + first) * width,
            inputStride: width, rows: Int(task.segments.0.rows), output: sharedRows + first * width,
            outputStride: width, scratch: scratch)
    }

    /// y[t, h] = Σ_slot weight[t, slot] · returnData[rowOf[t, slot], h], then + shared[t, h].
    ///
    /// fp32, summed in ascending slot with separate multiplications and additions, so the result does not depend on
    /// ranks, scheme, arrival order or thread count. Where the router's weight scaled the input, the sum's weights
    /// are 1.
    func combine() {
        guard let output = state.output else { return }
        let model = state.geometry.model
        let begin = state.roundTokenRange.lowerBound
        withUnsafeTemporaryAllocation(of: UnsafePointer<UInt16>?.self, capacity: model.topK) {
            rows in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: model.topK) { weights in
                for index in 0..<Int(task.segments.0.rows) {
                    let token = Int(task.segments.0.first_row) + index
                    gather(token, rows: rows.baseAddress!, weights: weights.baseAddress!)
                    perseus_combine_row(
                        output + (begin + token) * model.hidden, rows.baseAddress!,
                        weights.baseAddress!, Int32(model.topK),
                        state.sharedRows.map { UnsafePointer($0 + token * model.hidden) },
                        Int32(model.hidden))
                }
            }
        }
    }

    private func gather(
        _ token: Int, rows: UnsafeMutablePointer<UnsafePointer<UInt16>?>,
        weights: UnsafeMutablePointer<Float>
    ) {
        let model = state.geometry.model
        let first = (state.roundTokenRange.lowerBound + token) * model.topK
        for slot in 0..<model.topK {
            let row = Int(state.plan.pointee.rowOf[token * model.topK + slot])
            rows[slot] = UnsafePointer(
                state.row(of: state.rank, at: state.layout.returnOffset(row: row))!)
            weights[slot] = model.scalesInput ? 1 : state.weights![first + slot]
        }
    }
}
