// The state that the explorer walks: ring words, producers in mid-push, a consumer in mid-read.
@testable import PerseusCommandRing

/// How the stores of one producer may become visible.
enum StoreModel {
    /// CPU producers: a first word is released behind everything its producer stored before; a
    /// second word may become visible at any time after the claim.
    case released
    /// GPU producers: both halves of every slot are unordered, as torn relaxed 16-byte stores are.
    case unordered
}

/// What a run may break on purpose, to prove that the explorer would notice.
enum Defect: CaseIterable {
    /// The consumer trusts the first word's parity alone, while stores are unordered.
    case secondParityUnchecked
    /// The consumer takes operand slots without looking at their parity.
    case operandsUnchecked
    /// The consumer frees the slots of a command before it has read all of them.
    case retireBeforeCopyOut
    /// Every lap uses the parity of lap 0.
    case parityNeverFlipped
    /// Producers claim without looking at the credit.
    case creditIgnored
    /// A put and its signal are claimed one after the other.
    case pairClaimedApart
}

/// One push of a producer's script.
struct ScriptedPush: Equatable {
    /// Whether a `putSignal` stands before the signalBlock, or a plain put alone.
    var hasPut: Bool
    /// Signal words; 0 for no signalBlock.
    var wordCount: Int

    static let put = ScriptedPush(hasPut: true, wordCount: 0)
    static func signal(_ wordCount: Int) -> ScriptedPush {
        ScriptedPush(hasPut: false, wordCount: wordCount)
    }
    static func putSignal(_ wordCount: Int) -> ScriptedPush {
        ScriptedPush(hasPut: true, wordCount: wordCount)
    }
}

/// A header and its operands, as delivered or as expected.
struct DeliveredCommand: Equatable {
    var header: Command
    var operands: [UInt64]
}

/// One store that a producer has still to make visible.
struct PendingStore: Hashable {
    var position: UInt64
    var isFirstWord: Bool
    var word: UInt64
}

struct ProducerState: Hashable {
    enum Phase: Hashable {
        case idle
        case readCredit(retired: UInt64)
        case readCursor(retired: UInt64, claimed: UInt64)
    }
    /// Claims made so far; names the next one.
    var claimIndex = 0
    var phase = Phase.idle
    /// In program order.
    var pending: [PendingStore] = []
}

struct ConsumerState: Hashable {
    var position: UInt64
    var retired: UInt64
    /// Words read of the command at `position`, parity clear.
    var words: [UInt64] = []
    /// Commands delivered so far, by producer.
    var deliveredCounts: [Int]
    /// The producer whose signal has to come next, because its putSignal just came.
    var awaitsSignalOf: Int?
}

/// Everything that a step reads or writes.
struct RingWorld: Hashable {
    /// `claimed`, `retired`, then two words for each slot.
    var ringWords: [UInt64]
    var producers: [ProducerState]
    var consumer: ConsumerState
}

/// A small scope: what is pushed, by whom, into what.
struct Scenario {
    var capacity: Int
    var scripts: [[ScriptedPush]]
    var storeModel = StoreModel.released
    /// First position; not 0 to cross the wrap of the lap or of 64 bits.
    var start: UInt64 = 0
    /// Stores that may still be pending when a producer starts its next push.
    var lookahead = 0
    var defect: Defect?

    /// The slots of one claim.
    typealias Claim = [Command]

    /// The claims that `producer` makes, each as the slots it fills.
    func claims(of producer: Int) -> [Claim] {
        var claims: [Claim] = []
        for (index, push) in scripts[producer].enumerated() {
            let commands = Scenario.commands(push, producer: producer, index: index)
            let slots = commands.map(Scenario.slots)
            if defect == .pairClaimedApart {
                claims += slots
            } else {
                claims.append(slots.flatMap { $0 })
            }
        }
        return claims
    }

    /// The commands that `producer` must be seen to send, in order.
    func expectedCommands(of producer: Int) -> [DeliveredCommand] {
        scripts[producer].enumerated().flatMap { index, push in
            Scenario.commands(push, producer: producer, index: index)
        }
    }

    static func commands(_ push: ScriptedPush, producer: Int, index: Int) -> [DeliveredCommand] {
        var commands: [DeliveredCommand] = []
        let source = HeapLocation(.data, byteOffset: (index + 1) * 16)
        if push.hasPut {
            let encode = push.wordCount > 0 ? Command.putSignal : Command.put
            let header = encode(
                producer, source, HeapLocation(.data, byteOffset: index * 16), 16, [])
            commands.append(DeliveredCommand(header: header, operands: []))
        }
        if push.wordCount > 0 {
            let header = Command.signalBlock(
                destination: producer, target: HeapLocation(.signal, byteOffset: index * 8),
                wordCount: push.wordCount)
            let words = (0..<push.wordCount).map { UInt64(producer * 1000 + index * 100 + $0 + 7) }
            commands.append(DeliveredCommand(header: header, operands: words))
        }
        return commands
    }

    private static func slots(_ command: DeliveredCommand) -> [Command] {
        var slots = [command.header]
        for index in stride(from: 0, to: command.operands.count, by: 2) {
            let second = index + 1 < command.operands.count ? command.operands[index + 1] : 0
            slots.append(Command(first: command.operands[index], second: second))
        }
        return slots
    }
}
