// Runs the ring's production micro-steps in every order that the memory model allows.
@testable import PerseusCommandRing

/// What went wrong, and the steps that led there.
struct RingViolation: Error, CustomStringConvertible {
    var message: String
    var schedule: [String]

    var description: String { "\(message)\nschedule: " + schedule.joined(separator: " | ") }
}

/// Depth-first search over schedules; a state seen before is not entered again.
///
/// Every load and store of the ring is made by the production micro-step of that name, on real ring
/// memory that is restored before each step. Only the order of steps is the explorer's.
final class RingExplorer {
    let scenario: Scenario
    let ring: CommandRing
    private let memory: UnsafeMutableRawPointer
    private var visited: Set<RingWorld> = []
    private var schedule: [String] = []
    let claims: [[Scenario.Claim]]
    let expected: [[DeliveredCommand]]

    init(_ scenario: Scenario) {
        self.scenario = scenario
        memory = .allocate(
            byteCount: CommandRing.byteCount(capacity: scenario.capacity), alignment: 128)
        ring = CommandRing.initialize(at: memory, capacity: scenario.capacity)
        claims = scenario.scripts.indices.map(scenario.claims)
        expected = scenario.scripts.indices.map(scenario.expectedCommands)
    }

    deinit { memory.deallocate() }

    /// Distinct states of a complete search.
    ///
    /// - Throws: the first violation found.
    func run() throws -> Int {
        try explore(initialWorld())
        return visited.count
    }

    private func initialWorld() -> RingWorld {
        var world = RingWorld(
            ringWords: [], producers: scenario.scripts.map { _ in ProducerState() },
            consumer: ConsumerState(
                position: scenario.start, retired: scenario.start,
                deliveredCounts: scenario.scripts.map { _ in 0 }))
        ring.claimedWord.pointee = scenario.start
        ring.retiredWord.pointee = scenario.start
        if scenario.start != 0 {
            // What the lap before left behind: slots of commands that were long delivered.
            for back in 1...UInt64(scenario.capacity) {
                let stale = Command.put(
                    destination: 99, source: HeapLocation(.data, byteOffset: 0),
                    target: HeapLocation(.data, byteOffset: 0), byteCount: 16)
                ring.publish(
                    first: stale.first, second: stale.second, at: scenario.start &- back)
            }
        }
        save(into: &world)
        return world
    }

    private func explore(_ world: RingWorld) throws {
        guard visited.insert(world).inserted else { return }
        try checkCredits(world)
        var isFinal = true
        for step in RingStep.all(in: world, explorer: self) {
            var next = world
            load(world)
            schedule.append(step.label)
            try perform(step, &next)
            save(into: &next)
            if next != world {
                isFinal = false
                try explore(next)
            }
            schedule.removeLast()
        }
        if isFinal { try checkFinal(world) }
    }

    private func load(_ world: RingWorld) {
        ring.claimedWord.pointee = world.ringWords[0]
        ring.retiredWord.pointee = world.ringWords[1]
        for index in 0..<scenario.capacity * 2 { ring.slots[index] = world.ringWords[index + 2] }
    }

    private func save(into world: inout RingWorld) {
        world.ringWords = [ring.claimedPosition, ring.retiredPosition]
        for index in 0..<scenario.capacity * 2 { world.ringWords.append(ring.slots[index]) }
    }

    func fail(_ message: String) -> RingViolation {
        RingViolation(message: message, schedule: schedule)
    }
}

// MARK: - Invariants

extension RingExplorer {
    /// `retired <= claimed <= retired + capacity`, by wrapping difference.
    private func checkCredits(_ world: RingWorld) throws {
        let used = world.ringWords[0] &- world.ringWords[1]
        guard used <= UInt64(scenario.capacity) else {
            throw fail("credits: \(used) slots in use of \(scenario.capacity)")
        }
    }

    /// Where no step changes anything, everything has been delivered and every slot given back.
    private func checkFinal(_ world: RingWorld) throws {
        let wanted = expected.map(\.count)
        guard world.consumer.deliveredCounts == wanted else {
            throw fail("lost: delivered \(world.consumer.deliveredCounts) of \(wanted)")
        }
        let slotCount = claims.joined().reduce(0) { $0 + $1.count }
        let end = scenario.start &+ UInt64(slotCount)
        guard world.ringWords[0] == end, world.ringWords[1] == end else {
            throw fail(
                "credits: claimed and retired end at \(world.ringWords.prefix(2)), not \(end)")
        }
    }

    /// The next command of its producer, whole, and a putSignal's own signal right behind it.
    func checkDelivery(_ command: DeliveredCommand, _ consumer: inout ConsumerState) throws {
        let producer = command.header.destination
        guard producer < expected.count else { throw fail("stale or torn: \(command)") }
        let index = consumer.deliveredCounts[producer]
        guard index < expected[producer].count else { throw fail("duplicate: \(command)") }
        guard command == expected[producer][index] else {
            throw fail("torn, lost or out of order: \(command), not \(expected[producer][index])")
        }
        if let awaited = consumer.awaitsSignalOf, awaited != producer {
            throw fail("pair: a command of \(producer) behind the putSignal of \(awaited)")
        }
        consumer.awaitsSignalOf = command.header.opcode == .putSignal ? producer : nil
        consumer.deliveredCounts[producer] += 1
    }
}
