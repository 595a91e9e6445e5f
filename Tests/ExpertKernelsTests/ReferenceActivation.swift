// The activations in float64, written from their definition.

import Glibc
import PerseusExpertKernels
import PerseusMoE

extension ExpertActivation {
    func referenceValue(gate: Double, up: Double) -> Double {
        switch self {
        case .silu:
            return gate / (1 + exp(-gate)) * up
        case .clampedSwiGLU(let alpha, let limit):
            let limit = Double(limit)
            let bounded = min(gate, limit)
            return (max(min(up, limit), -limit) + 1) * bounded / (1 + exp(-Double(alpha) * bounded))
        }
    }
}
