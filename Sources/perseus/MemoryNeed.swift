// What a run needs of this machine's memory, said before any of it is taken.

import PerseusCommandLine
import PerseusExpertKernels
import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives

/// The parts of a run that cannot be made smaller; arenas adapt to what remains, by rounds.
///
/// Overcommitted memory is not refused by the system: the process is killed while it fills the pages. So the sum is
/// compared with what is there before anything is allocated.
struct MemoryNeed {
    private var parts: [(name: String, byteCount: Double)] = []

    /// Bytes of one rank's proxy, NIC, rings and tables, and of what each rank keeps for each peer: the slopes of
    /// the resident size over 128, 256 and 512 ranks.
    private static let bytesPerRank = 1.2e6
    private static let bytesPerPair = 600.0

    init(_ geometry: LayerGeometry, proxyThreads: Int, isModelled: Bool) {
        let model = geometry.model
        let tokens = Double(geometry.tokensPerRank.reduce(0, +))
        let ranks = Double(geometry.rankCount)
        if !isModelled {
            parts.append(("expert weights", Self.weightByteCount(model)))
            // Two outputs: the first scheme's is kept to compare the others with.
            parts.append(("hidden states and outputs", tokens * Double(model.hidden) * (2 + 4 + 4)))
        }
        // Ids and weights, with the kernel's, the caller's and the file's copies.
        parts.append(("routing", tokens * Double(model.topK) * 3 * 8))
        // A return word, and its shadow, for each block of each expert.
        let blocks = geometry.roundTokens / LayerGeometry.blockRows + 1
        let signals = Double(16 * model.expertCount * blocks)
        parts.append(
            (
                "ranks",
                ranks * (Self.bytesPerRank * Double(proxyThreads) + signals)
                    + ranks * ranks * Self.bytesPerPair
            ))
    }

    private static func weightByteCount(_ model: MoEModel) -> Double {
        6 * Double(model.hidden)
            * Double(model.expertCount * model.intermediate + model.sharedIntermediate)
    }

    var byteCount: Int { Int(min(parts.reduce(0.0) { $0 + $1.byteCount }, 1e18)) }

    /// - Errors: `environment` with the needs, largest first.
    func require(
        available: Int,
        hint: String = "try fewer tokens or ranks, a smaller model, or --compute modelled"
    ) throws(PerseusError) {
        guard byteCount > available else { return }
        let list = parts.sorted { $0.byteCount > $1.byteCount }.filter { $0.byteCount >= 1e6 }
            .map { "\($0.name) \(Self.text($0.byteCount))" }.joined(separator: ", ")
        throw PerseusError(
            .environment,
            "needs \(Quantity.bytes(byteCount)) of memory, \(Quantity.bytes(available)) available"
                + " (\(list))", hint: hint)
    }

    private static func text(_ byteCount: Double) -> String {
        Quantity.bytes(Int(min(byteCount, 1e18)))
    }
}
