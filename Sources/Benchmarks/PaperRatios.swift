// What the paper reports as speed-ups over the coupled scheme, to stand beside what was measured.

import PerseusRunners

/// A reported speed-up over `coupled`.
///
/// From Oh and Singh, "Eliminating Hidden Serialization in Multi-Node Megakernel Communication", arXiv 2605.00686v1,
/// May 2026, as far as its abstract and published summaries give it (shared/facts/paper.md, "Results to reproduce"): the
/// ablation of Qwen3 by nodes, and the best case end to end by fabric. Nodes there have 4 GPUs (Perlmutter, Slingshot-11)
/// or 8 (H100, ConnectX-7), and every rank is a GPU: the setting differs from ranks that share one.
public struct PaperRatio: Codable, Equatable, Sendable {
    public var lowest: Double
    public var highest: Double
    /// The setting that the numbers are of.
    public var setting: String

    /// nil: nothing is reported for this.
    init?(model: String, profile: String, scheme: Scheme, nodes: Int) {
        if model == "qwen3-30b", profile == "perlmutter-slingshot11" {
            switch (scheme, nodes) {
            case (.nicOrdered, 8): self.init(1.3, 2.6, "ablation, 8 nodes")
            case (.decoupled, 8): self.init(1.2, 1.6, "ablation, 8 nodes, 28 fences")
            case (.perseus, 8): self.init(1.5, 3.5, "ablation, 8 nodes")
            case (.nicOrdered, 2): self.init(1.1, 1.4, "ablation, 2 nodes")
            case (.decoupled, 2): self.init(1.2, 1.5, "ablation, 2 nodes")
            case (.perseus, _): self.init(nil, 10.3, "best case on libfabric")
            default: return nil
            }
            return
        }
        guard scheme == .perseus else { return nil }
        switch (profile, model) {
        case ("perlmutter-slingshot11", "gpt-oss-120b"):
            self.init(nil, 2.8, "best case on libfabric")
        case ("perlmutter-slingshot11", "deepseek-v3"):
            self.init(nil, 2.2, "best case on libfabric")
        case ("h100-connectx7", _):
            self.init(nil, 2.47, "best case on IBRC, any model: S 64K, 4 nodes")
        default: return nil
        }
    }

    /// Without a lowest value only the best case is known.
    private init(_ lowest: Double?, _ highest: Double, _ setting: String) {
        self.lowest = lowest ?? highest
        self.highest = highest
        self.setting = setting
    }

    /// `1.5-3.5x`, `up to 2.8x`.
    public var text: String {
        lowest == highest ? "up to \(highest)x" : "\(lowest)-\(highest)x"
    }
}
