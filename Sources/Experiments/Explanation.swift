// Where the time of one modelled layer goes, and what would make it shorter.

import PerseusPrimitives
import PerseusProxy
import PerseusRunners
import PerseusSoftNIC
import PerseusTransport

/// The layer again with one thing different.
public struct WhatIf: Codable, Equatable, Sendable {
    public enum Kind: String, Codable, Sendable {
        /// Something that a user can choose.
        case choice
        /// A parameter of the cluster: shows what a cost is worth, whether or not it can be had.
        case cluster
    }

    public var kind: Kind
    public var change: String
    public var layerNanoseconds: UInt64
    /// Time saved, nanoseconds; negative where the change costs time.
    public var savedNanoseconds: Int
    /// Layer time over the changed layer's.
    public var speedup: Double
}

/// One layer explained.
public struct Explanation: Sendable {
    public var point: LayerPoint
    public var ordering: SignalOrdering
    public var layerNanoseconds: UInt64
    public var computeNanoseconds: UInt64
    public var path: CriticalPath
    /// What saves most comes first.
    public var changes: [WhatIf]
    /// Changes that the fabric cannot honour, with the reason.
    public var refused: [String]

    /// - Throws: `badInput` for a point that cannot be run.
    public init(
        _ point: LayerPoint, profile: Profile,
        makeLaboratory: ([Profile]) -> Laboratory
    ) throws {
        self.point = point
        var settings = point.settings(profile)
        settings.findsCriticalPath = true
        let run = try runScheme(point.scheme, point.workload(), settings)
        if let failure = run.outcome.failure { throw PerseusError(.deadline, "\(failure)") }
        ordering = run.setup.ordering
        layerNanoseconds = run.outcome.layerNanoseconds
        computeNanoseconds = run.outcome.computeNanoseconds
        path = run.criticalPath ?? CriticalPath()
        (changes, refused) = try Self.changes(
            of: point, ordering: run.setup.ordering, profile: profile,
            nanoseconds: run.outcome.layerNanoseconds, makeLaboratory: makeLaboratory)
    }

    private static func changes(
        of point: LayerPoint, ordering: SignalOrdering, profile: Profile, nanoseconds: UInt64,
        makeLaboratory: ([Profile]) -> Laboratory
    ) throws -> ([WhatIf], [String]) {
        var candidates = choices(point, ordering, profile) + clusterChanges(point, profile)
        var refused: [String] = []
        candidates.removeAll { candidate in
            guard let reason = candidate.refusal() else { return false }
            refused.append("\(candidate.name): \(reason)")
            return true
        }
        let laboratory = makeLaboratory(candidates.map(\.profile))
        let times = try laboratory.evaluate { lab in
            candidates.map { lab.measure($0.point).nanoseconds }
        }
        let changes = zip(candidates, times).map { candidate, time in
            WhatIf(
                kind: candidate.kind, change: candidate.name, layerNanoseconds: time,
                savedNanoseconds: Int(nanoseconds) - Int(time),
                speedup: Double(nanoseconds) / Double(max(1, time)))
        }
        return (changes.sorted { $0.savedNanoseconds > $1.savedNanoseconds }, refused)
    }

    /// A change before it has run: its own profile, under a name of its own.
    private struct Candidate {
        var kind: WhatIf.Kind
        var name: String
        var point: LayerPoint
        var profile: Profile
        /// The profile's name for a person.
        private let ownName: String

        init(
            _ kind: WhatIf.Kind, _ name: String, _ point: LayerPoint, _ profile: Profile
        ) {
            self.kind = kind
            self.name = name
            self.point = point
            self.profile = profile
            ownName = profile.name
            self.profile.name = name
            self.point.profile = name
        }

        /// Why the fabric cannot honour it; nil when it can.
        func refusal() -> String? {
            do {
                var named = profile
                named.name = ownName
                _ = try SchemeSetup(
                    point.scheme, profile: named, geometry: point.workload().geometry,
                    options: point.settings(named).options)
                return nil
            } catch {
                return "\(error)"
            }
        }
    }

    /// Other schemes, orderings, thread counts and groups.
    private static func choices(
        _ point: LayerPoint, _ ordering: SignalOrdering, _ profile: Profile
    ) -> [Candidate] {
        func choice(_ name: String, _ changed: LayerPoint) -> Candidate {
            Candidate(.choice, name, changed, profile)
        }
        var candidates = Scheme.allCases.filter { $0 != point.scheme }.map { scheme in
            choice(
                "--scheme \(scheme.rawValue)",
                point.with(\.scheme, scheme).with(\.ordering, nil).with(\.groupSize, nil))
        }
        if point.scheme != .collective {
            candidates += SignalOrdering.allCases.filter { $0 != .none && $0 != ordering }.map {
                choice("--ordering \($0.rawValue)", point.with(\.ordering, $0))
            }
        }
        if point.scheme.path == .proxy {
            candidates += [2, 4].map { factor in
                let threads = point.proxyThreads * factor
                return choice("--proxy-threads \(threads)", point.with(\.proxyThreads, threads))
            }
            if point.combineGroupSize == nil {
                candidates.append(
                    choice("--combine-group-size 4", point.with(\.combineGroupSize, 4)))
            }
        }
        return candidates
    }

    /// What single costs of the cluster are worth.
    private static func clusterChanges(_ point: LayerPoint, _ profile: Profile) -> [Candidate] {
        func change(_ name: String, _ edit: (inout Profile) -> Void) -> Candidate {
            var changed = profile
            edit(&changed)
            return Candidate(.cluster, name, point, changed)
        }
        var candidates = [
            change("completions are seen at once") {
                $0.fabric.completionNanoseconds = 0
                $0.fabric.completionPerDestinationNanoseconds = 0
            },
            change("restarting an idle NIC costs nothing") { $0.fabric.refillNanoseconds = 0 },
            change("twice the bandwidth") { $0.fabric.bytesPerNanosecond *= 2 },
            change("half the one-way latency") { $0.fabric.latencyNanoseconds /= 2 },
            change("posting costs nothing") {
                $0.posting = PostingCosts()
                $0.directPosting = PostingCosts()
            },
            change("the ring and the polls cost nothing") {
                $0.ringNanoseconds = 0
                $0.proxyPollNanoseconds = 0
                $0.observeNanoseconds = 0
            },
            change("twice the expert rate") { $0.flopsPerNanosecond *= 2 },
        ]
        if profile.fabric.fenceScope != .peer {
            candidates.append(
                change("a fence flag holds back one peer only") { $0.fabric.fenceScope = .peer })
        }
        return candidates
    }
}
