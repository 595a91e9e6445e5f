// What a run of a layer leaves behind, on whatever it ran.

import PerseusDeviceRuns
import PerseusMegakernel
import PerseusRunners

/// A finished layer, as it is verified, compared and reported.
protocol LayerRun {
    var setup: SchemeSetup { get }
    var outcome: RunOutcome { get }
    var geometry: LayerGeometry { get }
    /// False in a run with modelled compute.
    var hasOutput: Bool { get }
    /// [all tokens, hidden] F32
    var output: UnsafeBufferPointer<Float> { get }
    /// [all tokens, topK]
    var routing: (ids: [Int32], weights: [Float]) { get }
    /// Where signals were compared with their data; nil where they were not.
    var order: RunCommand.OrderSummary? { get }
}

extension SchemeRun: LayerRun {
    var geometry: LayerGeometry { job.geometry }
    var hasOutput: Bool { job.output != nil }
    var routing: (ids: [Int32], weights: [Float]) { job.routing }
    var order: RunCommand.OrderSummary? {
        findings.map {
            RunCommand.OrderSummary(
                checkCount: $0.checkCount, violationCount: $0.violationCount,
                firstViolation: $0.firstViolation)
        }
    }
}
