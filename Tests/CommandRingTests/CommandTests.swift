// Encoding of commands and signal words: every field at its limits, and the traps outside of them.
import CPerseusABI
import PerseusCommandRing
import PerseusPrimitives
import Testing

struct CommandTests {
    @Test func putRoundTripsAtItsLimits() {
        let limits = [(0, 16), ((1 << 39) - 16, (1 << 24) - 16)]
        for (offset, byteCount) in limits {
            for destination in [0, 0x3FFE] {
                let source = HeapLocation(.data, byteOffset: offset)
                let target = HeapLocation(.signalShadow, byteOffset: (1 << 39) - 16 - offset)
                let command = Command.putSignal(
                    destination: destination, source: source, target: target,
                    byteCount: byteCount, flags: [.lastOfGroup, .combine])
                #expect(command.opcode == .putSignal)
                #expect(command.destination == destination)
                #expect(command.source == source)
                #expect(command.target == target)
                #expect(command.byteCount == byteCount)
                #expect(command.flags == [.lastOfGroup, .combine])
                #expect(command.operandSlotCount == 0)
                #expect((command.first | command.second) >> 63 == 0)
            }
        }
    }

    @Test func signalBlockCountsItsOperandSlots() {
        for (wordCount, slots) in [(1, 1), (2, 1), (3, 2), (1022, 511), (1023, 512)] {
            let target = HeapLocation(.signal, byteOffset: (1 << 38) - 8)
            let command = Command.signalBlock(
                destination: 5, target: target, wordCount: wordCount)
            #expect(command.opcode == .signalBlock)
            #expect(command.wordCount == wordCount)
            #expect(command.byteCount == wordCount * 8)
            #expect(command.operandSlotCount == slots)
            #expect(command.target == target)
        }
    }

    @Test func atomicAddAndQuietRoundTrip() {
        let target = HeapLocation(.signal, byteOffset: 24)
        let add = Command.atomicAdd(destination: 3, target: target, addend: (1 << 35) - 1)
        #expect(add.opcode == .atomicAdd && add.addend == (1 << 35) - 1 && add.target == target)
        let quiet = Command.quiet(boardIndex: 77)
        #expect(quiet.opcode == .quiet && quiet.boardIndex == 77)
        #expect(quiet.destination == Command.everyDestination)
    }

    @Test func putOfUnalignedSizeTraps() async {
        await #expect(processExitsWith: .failure) {
            let place = HeapLocation(.data, byteOffset: 0)
            _ = Command.put(destination: 0, source: place, target: place, byteCount: 24)
        }
    }

    @Test func putToTheReservedDestinationTraps() async {
        await #expect(processExitsWith: .failure) {
            let place = HeapLocation(.data, byteOffset: 0)
            _ = Command.put(destination: 0x3FFF, source: place, target: place, byteCount: 16)
        }
    }

    @Test func signalWordKeepsItsFieldsAndBit63Free() {
        let word = perseus_signal_make(0x7FFF, 0xFF_FFFF, 0xFF_FFFE)
        #expect(word >> 63 == 0)
        #expect(perseus_signal_epoch(word) == 0x7FFF)
        #expect(perseus_signal_first_row(word) == 0xFF_FFFF)
        #expect(perseus_signal_rows(word) == 0xFF_FFFE)
        #expect(perseus_epoch_distance(1, 0x7FFF) == 2)
        #expect(perseus_epoch_distance(0x7FFF, 1) == -2)
        #expect(perseus_epoch_distance(0x4000, 0) == -0x4000)
        #expect(perseus_signal_reached(0, 0) == 0)
    }

    /// Return words rise strictly along the packed order and stay below their count.
    @Test func returnWordsNeverCollide() {
        let seed: UInt64 = 11
        var random = SeededRandom(seed: seed)
        for round in 0..<200 {
            let experts = 1 + random.next(below: 20)
            var row: UInt64 = 0
            var last: UInt64?
            for expert in 0..<experts {
                let rows = UInt64(random.next(below: 200))
                for block in stride(from: 0, to: rows, by: 64) {
                    let index = perseus_return_word_index(row + block, UInt32(expert))
                    #expect(last.map { $0 < index } ?? true, "seed \(seed), round \(round)")
                    last = index
                }
                row += rows
            }
            #expect((last ?? 0) < perseus_return_word_count(row, UInt32(experts)))
        }
    }
}
