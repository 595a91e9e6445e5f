// Nanoseconds for the work that roles report: arithmetic on a profile, nothing else.

import PerseusMegakernel
import PerseusMoE

/// Modelled time of kernel-side work.
struct CostModel: Sendable {
    let profile: Profile
    let model: MoEModel
    let processorCount: Int

    init(profile: Profile, model: MoEModel) {
        self.profile = profile
        self.model = model
        processorCount = profile.processorCount(hidden: model.hidden)
    }

    func nanoseconds(_ work: ModelledWork) -> UInt64 {
        switch work {
        case .none: 0
        case .route(let tokens): tokens > 0 ? bytes(tokens * model.hidden * 2) : 0
        case .plan: profile.layerNanoseconds
        case .pack(let byteCount, let toPeer):
            profile.packNanoseconds + profile.pushNanoseconds
                + (toPeer ? over(byteCount, profile.nvlinkBytesPerNanosecond) : 0)
        case .signal: profile.pushNanoseconds
        case .stage: profile.stageNanoseconds
        case .expert(_, _, let streamsWeights):
            tile(intermediate: model.intermediate, streamsWeights: streamsWeights)
        case .shared:
            tile(intermediate: model.sharedIntermediate, streamsWeights: true)
        case .combine(let tokens):
            profile.taskNanoseconds
                + bytes((model.topK + 1) * tokens * model.hidden * 2) * UInt64(processorCount)
        }
    }

    /// Rows of one tile: what a task occupies, full or not.
    private static let tileRows = 128.0

    /// A block's share of the GPU multiplies a whole tile, or streams the expert's weights, whichever takes longer.
    private func tile(intermediate: Int, streamsWeights: Bool) -> UInt64 {
        let perRow = 6.0 * Double(model.hidden) * Double(intermediate)
        let weights = streamsWeights ? perRow : 0
        let time = max(
            perRow * Self.tileRows / profile.flopsPerNanosecond,
            weights / profile.memoryBytesPerNanosecond)
        return profile.taskNanoseconds + UInt64((time * Double(processorCount)).rounded())
    }

    private func bytes(_ count: Int) -> UInt64 { over(count, profile.memoryBytesPerNanosecond) }

    private func over(_ count: Int, _ rate: Double) -> UInt64 {
        UInt64((Double(count) / rate).rounded(.up))
    }
}
