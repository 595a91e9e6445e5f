// The receiving half of immediates: a word is shown once its data has come, whichever comes first.

import CPerseusABI
import PerseusCommandRing
import PerseusTransport
import Testing

@testable import PerseusProxy

/// A signal region, its shadow and a receiver: 2 ranks, 128 rows of 32 bytes, 3 experts per rank.
private final class ReceiverRig {
    let layout = perseus_arena_layout_make(2, 128, 32, 3, 6)
    let words: UnsafeMutablePointer<UInt64>
    let shadow: UnsafeMutablePointer<UInt64>
    var receiver: ImmediateReceiver

    init(countsData: Bool = true) {
        let count = Int(layout.signal_byte_count) / 8
        words = .allocate(capacity: count)
        shadow = .allocate(capacity: count)
        words.initialize(repeating: 0, count: count)
        shadow.initialize(repeating: 0, count: count)
        receiver = ImmediateReceiver(
            words: words, shadow: shadow, layout: layout, countsData: countsData)
    }

    deinit {
        words.deallocate()
        shadow.deallocate()
    }

    func word(firstRow: Int, rows: Int) -> UInt64 {
        perseus_signal_make(1, UInt64(firstRow), UInt64(rows))
    }

    /// A run of words arrives in the shadow, then its immediate.
    func signal(_ index: Int, _ run: [UInt64]) {
        for (offset, word) in run.enumerated() { shadow[index + offset] = word }
        receiver.receive(
            source: 1, immediate: Immediate.signal(wordIndex: UInt64(index), count: run.count))
    }

    func dispatchData(source: Int, row: Int) {
        data(at: perseus_arena_dispatch_row(withLayout: layout, source, row))
    }

    func returnData(row: Int) {
        data(at: layout.return_data + UInt64(row) * UInt64(layout.row_stride))
    }

    private func data(at offset: UInt64) {
        receiver.receive(source: 1, immediate: Immediate.data(remoteUnits: offset / 16))
    }

    private func perseus_arena_dispatch_row(
        withLayout layout: perseus_arena_layout, _ source: Int, _ row: Int
    ) -> UInt64 {
        let index = UInt64(source) * UInt64(layout.rows_per_source) + UInt64(row)
        return layout.dispatch_data + index * UInt64(layout.row_stride)
    }
}

@Suite struct ImmediateReceiverTests {
    @Test func aWordWaitsForItsData() {
        let rig = ReceiverRig()
        let word = rig.word(firstRow: 5, rows: 2)
        rig.signal(4, [word])
        #expect(rig.words[4] == 0)
        rig.dispatchData(source: 1, row: 6)
        #expect(rig.words[4] == 0, "that was the data of another word")
        rig.dispatchData(source: 1, row: 5)
        #expect(rig.words[4] == word)
    }

    @Test func dataMayComeFirst() {
        let rig = ReceiverRig()
        let word = rig.word(firstRow: 5, rows: 2)
        rig.dispatchData(source: 1, row: 5)
        #expect(rig.words[4] == 0)
        rig.signal(4, [word])
        #expect(rig.words[4] == word)
    }

    @Test func aWordOfNoRowsWaitsForNothing() {
        let rig = ReceiverRig()
        let word = rig.word(firstRow: 5, rows: 0)
        rig.signal(3, [word])
        #expect(rig.words[3] == word)
    }

    @Test func theSameRowOfTwoSourcesIsTwoRows() {
        let rig = ReceiverRig()
        let word = rig.word(firstRow: 9, rows: 1)
        rig.signal(0, [word])
        rig.signal(3, [word])
        rig.dispatchData(source: 1, row: 9)
        #expect(rig.words[0] == 0 && rig.words[3] == word)
        rig.dispatchData(source: 0, row: 9)
        #expect(rig.words[0] == word)
    }

    @Test func wordsOfOneRunAreShownOneByOne() {
        let rig = ReceiverRig()
        let run = [
            rig.word(firstRow: 0, rows: 2), rig.word(firstRow: 2, rows: 0),
            rig.word(firstRow: 2, rows: 3),
        ]
        rig.dispatchData(source: 1, row: 2)
        rig.signal(3, run)
        #expect([rig.words[3], rig.words[4], rig.words[5]] == [0, run[1], run[2]])
        rig.dispatchData(source: 1, row: 0)
        #expect(rig.words[3] == run[0])
    }

    @Test func returnWordsWaitForTheirBlocks() {
        let rig = ReceiverRig()
        let first = Int(rig.layout.return_words) / 8
        let run = [rig.word(firstRow: 0, rows: 64), rig.word(firstRow: 64, rows: 10)]
        rig.signal(first + 2, run)
        rig.returnData(row: 64)
        #expect(rig.words[first + 2] == 0 && rig.words[first + 3] == run[1])
        rig.returnData(row: 0)
        #expect(rig.words[first + 2] == run[0])
        // The dispatch row of the same number is another one.
        rig.signal(0, [run[0]])
        #expect(rig.words[0] == 0)
    }

    @Test func aRowIsUsedAgainInTheNextEpoch() {
        let rig = ReceiverRig()
        for epoch in 1...3 as ClosedRange<UInt64> {
            let word = perseus_signal_make(epoch, 7, 1)
            if epoch % 2 == 0 { rig.dispatchData(source: 1, row: 7) }
            rig.signal(3, [word])
            if epoch % 2 == 1 {
                #expect(rig.words[3] != word)
                rig.dispatchData(source: 1, row: 7)
            }
            #expect(rig.words[3] == word)
        }
    }

    @Test func withoutCountingAnImmediateShowsItsWords() {
        let rig = ReceiverRig(countsData: false)
        let word = rig.word(firstRow: 5, rows: 2)
        rig.signal(4, [word])
        #expect(rig.words[4] == word)
    }

    @Test func theProxyHandsArrivalsToTheReceiver() {
        let memory = ReceiverRig()
        let receiver = ImmediateReceiver(
            words: memory.words, shadow: memory.shadow, layout: memory.layout, countsData: true)
        let rig = ProxyRig(.countedImmediate, receiver: receiver)
        let word = memory.word(firstRow: 5, rows: 2)
        memory.shadow[4] = word
        rig.nic.deliver(source: 1, immediate: Immediate.signal(wordIndex: 4, count: 1))
        let offset = memory.layout.dispatch_data + (128 + 5) * 32
        rig.nic.deliver(source: 1, immediate: Immediate.data(remoteUnits: offset / 16))
        #expect(rig.step().received == 2)
        #expect(memory.words[4] == word)
        #expect(rig.counters.receiveCompletions == 2)
    }
}
