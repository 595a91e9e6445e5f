// Nanoseconds for the work that roles report: arithmetic on a profile, nothing else.

import PerseusMegakernel

/// Modelled time of kernel-side work.
struct CostModel: Sendable {
    let profile: Profile
    let hidden: Int
    let intermediate: Int
    let sharedIntermediate: Int
    let topK: Int
    let processorCount: Int

    /// Sizes of the layer; zero for a kernel that only sends.
    init(
        profile: Profile, hidden: Int = 0, intermediate: Int = 0, sharedIntermediate: Int = 0,
        topK: Int = 0
    ) {
        self.profile = profile
        self.hidden = hidden
        self.intermediate = intermediate
        self.sharedIntermediate = sharedIntermediate
        self.topK = topK
        processorCount = profile.processorCount(hidden: hidden)
    }

    func nanoseconds(_ work: ModelledWork) -> UInt64 {
        switch work {
        case .none: 0
        case .route(let tokens): tokens > 0 ? bytes(tokens * hidden * 2) : 0
        case .plan: profile.layerNanoseconds
        case .pack(let byteCount, let toPeer):
            profile.packNanoseconds + profile.pushNanoseconds
                + (toPeer ? over(byteCount, profile.nvlinkBytesPerNanosecond) : 0)
        case .signal: profile.pushNanoseconds
        case .stage: profile.stageNanoseconds
        case .expert(_, _, let streamsWeights):
            tile(intermediate: intermediate, streamsWeights: streamsWeights)
        case .shared:
            tile(intermediate: sharedIntermediate, streamsWeights: true)
        case .combine(let tokens):
            profile.taskNanoseconds
                + bytes((topK + 1) * tokens * hidden * 2) * UInt64(processorCount)
        }
    }

    /// Rows of one tile: what a task occupies, full or not.
    private static let tileRows = 128.0

    /// A block's share of the GPU multiplies a whole tile, or streams the expert's weights, whichever takes longer.
    private func tile(intermediate: Int, streamsWeights: Bool) -> UInt64 {
        let perRow = 6.0 * Double(hidden) * Double(intermediate)
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
