// What goes wrong on the fabric during a run: parsed from one line, printed as one line, replayed from one seed.

import PerseusPrimitives

/// Faults that the soft NIC injects. Every choice is drawn from `seed`, so a plan replays exactly.
///
/// | item | meaning |
/// |---|---|
/// | `seed=N` | the stream of choices |
/// | `delay=P@T` | with probability P a request arrives up to T later |
/// | `drop=P` | with probability P a request is lost once and sent again after the NIC's retransmit time |
/// | `reorder=P@T` | where the NIC may reorder: with probability P a fragment lands up to T later than the rest |
/// | `jitter=T` | every request arrives up to T later |
/// | `clog=R@A..B` | nothing reaches rank R from time A to B; it arrives at B |
/// | `kill=R@T` | rank R dies at time T: it neither sends, receives nor computes any more; one that is a process is killed |
/// | `random=N` | a plan drawn from seed N (without kills) |
public struct FaultPlan: Equatable, Sendable {
    public struct Clog: BitwiseCopyable, Equatable, Sendable {
        public var rank: Int
        public var from: UInt64
        public var to: UInt64
    }

    public struct Kill: Equatable, Sendable {
        public var rank: Int
        public var at: UInt64

        public init(rank: Int, at: UInt64) {
            self.rank = rank
            self.at = at
        }
    }

    public var seed: UInt64 = 0
    public var delayChance = 0.0
    public var delayNanoseconds: UInt64 = 0
    public var dropChance = 0.0
    public var reorderChance = 0.0
    public var reorderNanoseconds: UInt64 = 0
    public var jitterNanoseconds: UInt64 = 0
    public var clogs: [Clog] = []
    public var kills: [Kill] = []

    public init() {}

    public var isEmpty: Bool {
        delayChance == 0 && dropChance == 0 && reorderChance == 0 && jitterNanoseconds == 0
            && clogs.isEmpty && kills.isEmpty
    }

    /// A plan in the manner of a swarm test: each kind of fault is on or off at random, then its strength.
    public static func random(seed: UInt64, rankCount: Int) -> FaultPlan {
        var random = SeededRandom(seed: seed, stream: 0xFA17)
        var plan = FaultPlan()
        plan.seed = seed
        if random.chance(0.6) {
            plan.delayChance = random.nextUnit() * 0.5
            plan.delayNanoseconds = 1 + UInt64(random.next(below: 50_000))
        }
        if random.chance(0.5) { plan.dropChance = random.nextUnit() * 0.2 }
        if random.chance(0.7) {
            plan.reorderChance = random.nextUnit()
            plan.reorderNanoseconds = 1 + UInt64(random.next(below: 30_000))
        }
        if random.chance(0.5) { plan.jitterNanoseconds = 1 + UInt64(random.next(below: 5_000)) }
        if random.chance(0.3) {
            for _ in 0...random.next(below: 2) {
                let from = UInt64(random.next(below: 100_000))
                plan.clogs.append(
                    Clog(
                        rank: random.next(below: rankCount), from: from,
                        to: from + 1 + UInt64(random.next(below: 200_000))))
            }
        }
        return plan
    }
}

// MARK: - Text

extension FaultPlan: CustomStringConvertible {
    /// The plan in the syntax that `init(parsing:rankCount:)` reads.
    public var description: String {
        var items = ["seed=\(seed)"]
        if delayChance > 0 { items.append("delay=\(delayChance)@\(delayNanoseconds)ns") }
        if dropChance > 0 { items.append("drop=\(dropChance)") }
        if reorderChance > 0 { items.append("reorder=\(reorderChance)@\(reorderNanoseconds)ns") }
        if jitterNanoseconds > 0 { items.append("jitter=\(jitterNanoseconds)ns") }
        items += clogs.map { "clog=\($0.rank)@\($0.from)ns..\($0.to)ns" }
        items += kills.map { "kill=\($0.rank)@\($0.at)ns" }
        return items.joined(separator: ",")
    }

    /// - Throws: `badInput` that names the item that could not be read.
    public init(parsing text: String, rankCount: Int) throws {
        self.init()
        for item in text.split(separator: ",") {
            let parts = item.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { throw Self.bad(item, "expected NAME=VALUE") }
            try apply(String(parts[0]), String(parts[1]), item: item, rankCount: rankCount)
        }
    }

    private mutating func apply(
        _ name: String, _ value: String, item: Substring, rankCount: Int
    ) throws {
        switch name {
        case "seed": seed = try Self.seed(value, item)
        case "random": self = .random(seed: try Self.seed(value, item), rankCount: rankCount)
        case "delay": (delayChance, delayNanoseconds) = try Self.chanceAndTime(value, item)
        case "drop": dropChance = try Self.chance(value, item)
        case "reorder": (reorderChance, reorderNanoseconds) = try Self.chanceAndTime(value, item)
        case "jitter": jitterNanoseconds = try Self.time(value, item)
        case "clog":
            let (rank, rest) = try Self.rankAndRest(value, item, rankCount: rankCount)
            let bounds = rest.components(separatedByDots: ())
            guard bounds.count == 2 else { throw Self.bad(item, "expected RANK@FROM..TO") }
            let from = try Self.time(bounds[0], item)
            let to = try Self.time(bounds[1], item)
            guard from < to else { throw Self.bad(item, "FROM must be before TO") }
            clogs.append(Clog(rank: rank, from: from, to: to))
        case "kill":
            let (rank, rest) = try Self.rankAndRest(value, item, rankCount: rankCount)
            kills.append(Kill(rank: rank, at: try Self.time(rest, item)))
        default:
            throw Self.bad(
                item, "unknown fault; known: seed, delay, drop, reorder, jitter, clog, kill, random"
            )
        }
    }

    private static func bad(_ item: Substring, _ reason: String) -> PerseusError {
        PerseusError(.badInput, "--faults: '\(item)': \(reason)")
    }

    private static func seed(_ text: String, _ item: Substring) throws -> UInt64 {
        let value =
            text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
        guard let value else { throw bad(item, "expected a seed") }
        return value
    }

    private static func chance(_ text: String, _ item: Substring) throws -> Double {
        guard let value = Double(text), value >= 0, value <= 1 else {
            throw bad(item, "expected a probability from 0 to 1")
        }
        return value
    }

    private static func chanceAndTime(_ text: String, _ item: Substring) throws -> (Double, UInt64)
    {
        let parts = text.split(separator: "@", maxSplits: 1)
        guard parts.count == 2 else { throw bad(item, "expected PROBABILITY@TIME") }
        return (try chance(String(parts[0]), item), try time(String(parts[1]), item))
    }

    private static func rankAndRest(
        _ text: String, _ item: Substring, rankCount: Int
    ) throws -> (Int, String) {
        let parts = text.split(separator: "@", maxSplits: 1)
        guard parts.count == 2, let rank = Int(parts[0]) else {
            throw bad(item, "expected RANK@TIME")
        }
        guard rank >= 0 && rank < rankCount else {
            throw bad(item, "there are \(rankCount) ranks, counted from 0")
        }
        return (rank, String(parts[1]))
    }

    private static func time(_ text: String, _ item: Substring) throws -> UInt64 {
        let units: [(String, Double)] = [("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)]
        for (unit, scale) in units where text.hasSuffix(unit) {
            if let value = Double(text.dropLast(unit.count)), value >= 0, value * scale < 1e18 {
                return UInt64(value * scale)
            }
        }
        throw bad(item, "expected a time such as 20us")
    }
}

extension String {
    /// The parts around the first "..".
    fileprivate func components(separatedByDots: ()) -> [String] {
        guard let range = firstRange(of: "..") else { return [self] }
        return [String(self[..<range.lowerBound]), String(self[range.upperBound...])]
    }
}
