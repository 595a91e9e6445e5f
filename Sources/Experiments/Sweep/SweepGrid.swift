// Every combination of a few values for each coordinate of a layer, numbered.

import PerseusMegakernel
import PerseusMoE
import PerseusPrimitives
import PerseusProxy
import PerseusRunners

/// The points of a sweep. The first axis varies slowest, the last one quickest; no axis has a value twice.
public struct SweepGrid: Sendable {
    public let profiles: [Profile]
    /// Of each profile's values.
    let fingerprints: [String]
    public var models: [String]
    public var nodes: [Int]
    public var ranksPerNode: [Int]
    /// Of each rank.
    public var tokens: [Int]
    public var schemes: [Scheme]
    /// nil: the scheme's own.
    public var orderings: [SignalOrdering?] = [nil]
    /// nil: the scheme's own.
    public var groupSizes: [Int?] = [nil]
    public var proxyThreads = [1]
    public var zipfExponents = [0.0]
    public var seed: UInt64 = 1

    public init(
        profiles: [Profile], models: [String], nodes: [Int], ranksPerNode: [Int], tokens: [Int],
        schemes: [Scheme]
    ) {
        self.profiles = profiles
        fingerprints = profiles.map(\.fingerprint)
        self.models = models
        self.nodes = nodes
        self.ranksPerNode = ranksPerNode
        self.tokens = tokens
        self.schemes = schemes
    }

    /// Values of each axis.
    private var sizes: [Int] {
        [
            profiles.count, models.count, nodes.count, ranksPerNode.count, tokens.count,
            schemes.count, orderings.count, groupSizes.count, proxyThreads.count,
            zipfExponents.count,
        ]
    }

    /// - Precondition: `check` has passed.
    public var count: Int { sizes.reduce(1, *) }

    /// The point with number `index`.
    public subscript(index: Int) -> LayerPoint {
        var rest = index
        var digits: [Int] = []
        for size in sizes.reversed() {
            digits.append(rest % size)
            rest /= size
        }
        var point = LayerPoint(
            profile: profiles[digits[9]].name, model: models[digits[8]], nodes: nodes[digits[7]],
            ranksPerNode: ranksPerNode[digits[6]], tokens: tokens[digits[5]],
            scheme: schemes[digits[4]])
        point.ordering = orderings[digits[3]]
        point.groupSize = groupSizes[digits[2]]
        point.proxyThreads = proxyThreads[digits[1]]
        point.zipf = zipfExponents[digits[0]]
        point.seed = seed
        return point
    }

    /// The number of `point`, nil when it is not of this grid.
    public func index(of point: LayerPoint) -> Int? {
        guard point.seed == seed else { return nil }
        return zip(sizes, digits(of: point)).reduce(0) { index, axis in
            index.flatMap { index in axis.1.digit.map { index * axis.0 + $0 } }
        }
    }

    /// The first coordinate of `point` that no point of this grid has, `nodes 16`.
    func foreignValue(of point: LayerPoint) -> String? {
        if let axis = digits(of: point).first(where: { $0.digit == nil }) {
            return "\(axis.name) \(axis.value)"
        }
        return point.seed == seed ? nil : "seed \(point.seed)"
    }

    /// Where the coordinates of `point` stand in each axis.
    private func digits(of point: LayerPoint) -> [(name: String, value: String, digit: Int?)] {
        let ordering = point.ordering?.rawValue ?? "of the scheme"
        let groupSize = point.groupSize.map(String.init) ?? "of the scheme"
        return [
            ("profile", point.profile, profiles.firstIndex { $0.name == point.profile }),
            ("model", point.model, models.firstIndex(of: point.model)),
            ("nodes", "\(point.nodes)", nodes.firstIndex(of: point.nodes)),
            (
                "ranks per node", "\(point.ranksPerNode)",
                ranksPerNode.firstIndex(of: point.ranksPerNode)
            ),
            ("tokens", "\(point.tokens)", tokens.firstIndex(of: point.tokens)),
            ("scheme", point.scheme.rawValue, schemes.firstIndex(of: point.scheme)),
            ("ordering", ordering, orderings.firstIndex(of: point.ordering)),
            ("group size", groupSize, groupSizes.firstIndex(of: point.groupSize)),
            (
                "proxy threads", "\(point.proxyThreads)",
                proxyThreads.firstIndex(of: point.proxyThreads)
            ),
            ("zipf", "\(point.zipf)", zipfExponents.firstIndex(of: point.zipf)),
        ]
    }

    /// Profile and fingerprint of the point with number `index`.
    func profile(of index: Int) -> (profile: Profile, fingerprint: String) {
        let number = index / sizes[1...].reduce(1, *)
        return (profiles[number], fingerprints[number])
    }
}

// MARK: Before anything runs

extension SweepGrid {
    private static let pointLimit = 1_000_000

    /// Refuses a grid that is too large, and one in which a point cannot exist or does not fit.
    ///
    /// - Parameter require: throws when the largest point of a shape does not fit this machine.
    /// - Throws: `badInput` with the reason, and what `require` throws.
    public func check(_ require: (LayerPoint) throws(PerseusError) -> Void) throws(PerseusError) {
        let product = sizes.reduce(1.0) { $0 * Double($1) }
        guard product <= Double(Self.pointLimit) else {
            let number = product < 1e15 ? "\(Int(product))" : "more than 10^15"
            throw PerseusError(
                .badInput, "the grid has \(number) points, at most \(Self.pointLimit) can be run")
        }
        for (index, profile) in profiles.enumerated() {
            guard !profiles[..<index].contains(where: { $0.name == profile.name }) else {
                throw PerseusError(
                    .badInput,
                    "--profile: two profiles are called \(profile.name)",
                    hint: "give one of them a name of its own")
            }
        }
        // The axes behind the tokens, with the most proxies, do not change whether a point fits.
        let perShape = sizes[5...].reduce(1, *)
        for shape in 0..<count / perShape {
            var point = self[shape * perShape]
            point.proxyThreads = proxyThreads.max() ?? 1
            try point.checkShape()
            try require(point)
        }
    }
}

extension LayerPoint {
    /// Model, cluster and tokens for a person: `qwen3-30b, 8 nodes, 4 ranks per node, 1024 tokens`.
    public var shapeText: String {
        "\(model), \(nodes) nodes, \(ranksPerNode) ranks per node, \(tokens) tokens"
    }

    fileprivate func checkShape() throws(PerseusError) {
        guard nodes * ranksPerNode < 1 << 14 else {
            throw PerseusError(
                .badInput, "\(shapeText): a command names at most 16383 destinations")
        }
        do {
            _ = try geometry()
        } catch let error as PerseusError {
            throw PerseusError(error.kind, "\(shapeText): \(error.message)")
        } catch {
            throw PerseusError(.environment, "\(shapeText): \(error)")
        }
    }
}
