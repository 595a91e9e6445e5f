// One micro-step of a producer or of the consumer, and when it may happen.
@testable import PerseusCommandRing

enum RingStep {
    /// Reads the credit, then the cursor, then tries to claim: three steps.
    case claim(producer: Int)
    /// Makes a pending store visible.
    case store(producer: Int, pendingIndex: Int)
    /// Loads the next word of the command at the consumer's position.
    case observe
    /// Gives the slots that were copied out back.
    case retire

    var label: String {
        switch self {
        case .claim(let producer): "claim p\(producer)"
        case .store(let producer, let index): "store p\(producer) #\(index)"
        case .observe: "observe"
        case .retire: "retire"
        }
    }

    /// The steps that the memory model and each party's program order allow.
    static func all(in world: RingWorld, explorer: RingExplorer) -> [RingStep] {
        var steps: [RingStep] = []
        for (producer, state) in world.producers.enumerated() {
            let hasClaimLeft = state.claimIndex < explorer.claims[producer].count
            if hasClaimLeft, state.pending.count <= explorer.scenario.lookahead {
                steps.append(.claim(producer: producer))
            }
            for index in state.pending.indices {
                let isReleaseBehindOthers = state.pending[index].isFirstWord && index > 0
                if explorer.scenario.storeModel == .released, isReleaseBehindOthers { continue }
                steps.append(.store(producer: producer, pendingIndex: index))
            }
        }
        steps.append(.observe)
        // Batches of every size: after any whole command, retiring may happen or wait.
        if world.consumer.words.isEmpty, world.consumer.position != world.consumer.retired {
            steps.append(.retire)
        }
        return steps
    }
}

extension RingExplorer {
    func perform(_ step: RingStep, _ world: inout RingWorld) throws {
        switch step {
        case .claim(let producer):
            advanceClaim(&world.producers[producer], claims[producer])
        case .store(let producer, let pendingIndex):
            store(world.producers[producer].pending.remove(at: pendingIndex))
        case .observe:
            try observeNextWord(&world.consumer)
        case .retire:
            retire(&world.consumer)
        }
    }

    private func advanceClaim(_ producer: inout ProducerState, _ claims: [Scenario.Claim]) {
        let slots = claims[producer.claimIndex]
        switch producer.phase {
        case .idle:
            producer.phase = .readCredit(retired: ring.retiredPosition)
        case .readCredit(let retired):
            let claimed = ring.claimedPosition
            let hasRoom = ring.hasRoom(slots.count, claimed: claimed, retired: retired)
            producer.phase =
                hasRoom || scenario.defect == .creditIgnored
                ? .readCursor(retired: retired, claimed: claimed) : .idle
        case .readCursor(_, let claimed):
            producer.phase = .idle
            guard ring.claim(slots.count, at: claimed) else { return }
            producer.claimIndex += 1
            for (index, slot) in slots.enumerated() {
                let position = claimed &+ UInt64(index)
                producer.pending.append(
                    PendingStore(position: position, isFirstWord: false, word: slot.second))
                producer.pending.append(
                    PendingStore(position: position, isFirstWord: true, word: slot.first))
            }
        }
    }

    private func store(_ store: PendingStore) {
        let position = parityPosition(store.position)
        if store.isFirstWord {
            ring.publishFirstWord(store.word, at: position)
        } else {
            ring.writeSecondWord(store.word, at: position)
        }
    }

    /// One load. A word of another lap ends the attempt, which starts again at the header.
    private func observeNextWord(_ consumer: inout ConsumerState) throws {
        let index = consumer.words.count
        let position = parityPosition(consumer.position &+ UInt64(index / 2))
        let isFirstWord = index % 2 == 0
        let word =
            isFirstWord
            ? ring.observeFirstWord(at: position) : ring.observeSecondWord(at: position)
        let isTrusted =
            scenario.defect == .operandsUnchecked && index >= 2
            || scenario.defect == .secondParityUnchecked && !isFirstWord
        guard isTrusted || ring.isPublished(word, at: position) else {
            consumer.words = []
            return
        }
        consumer.words.append(word & ~(1 << 63))
        if scenario.defect == .retireBeforeCopyOut, index == 0 {
            let slotCount = Command(first: consumer.words[0]).slotCount
            ring.retire(upTo: consumer.position &+ UInt64(slotCount))
        }
        try deliverIfComplete(&consumer)
    }

    private func deliverIfComplete(_ consumer: inout ConsumerState) throws {
        guard consumer.words.count >= 2 else { return }
        let header = Command(first: consumer.words[0], second: consumer.words[1])
        guard consumer.words.count == header.slotCount * 2 else { return }
        let operands = Array(consumer.words[2...].prefix(header.wordCount))
        let isBlock = header.opcode == .signalBlock
        try checkDelivery(
            DeliveredCommand(header: header, operands: isBlock ? operands : []), &consumer)
        consumer.position &+= UInt64(header.slotCount)
        consumer.words = []
    }

    private func retire(_ consumer: inout ConsumerState) {
        ring.retire(upTo: consumer.position)
        consumer.retired = consumer.position
    }

    /// The position whose parity is used: with the defect, always the one of lap 0.
    private func parityPosition(_ position: UInt64) -> UInt64 {
        scenario.defect == .parityNeverFlipped
            ? position & UInt64(scenario.capacity - 1) : position
    }
}
