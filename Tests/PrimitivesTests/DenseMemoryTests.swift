// Dense memory: aligned, apart, and given back in any order by any thread.

import PerseusPrimitives
import Testing

@Suite struct DenseMemoryTests {
    /// Tables of all sizes from several threads: each keeps its bytes while others come and go.
    @Test func tablesKeepWhatWasWrittenToThem() async {
        await withTaskGroup(of: Bool.self) { group in
            for seed in 1...4 {
                group.addTask { Self.tablesStayIntact(seed: UInt64(seed)) }
            }
            for await isIntact in group { #expect(isIntact) }
        }
    }

    private static func tablesStayIntact(seed: UInt64) -> Bool {
        var random = SeededRandom(seed: seed, stream: 5)
        var tables: [(memory: UnsafeMutableRawPointer, byteCount: Int, mark: UInt8)] = []
        var isIntact = true
        func endOne() {
            let table = tables.remove(at: random.next(below: tables.count))
            let bytes = UnsafeRawBufferPointer(start: table.memory, count: table.byteCount)
            if bytes.contains(where: { $0 != table.mark }) { isIntact = false }
            table.memory.deallocateDense()
        }
        for step in 0..<400 {
            let byteCount =
                random.chance(0.02) ? 1_500_000 + step : random.next(below: 20_000)
            let alignment = 1 << random.next(below: 8)
            let memory = UnsafeMutableRawPointer.allocateDense(
                byteCount: byteCount, alignment: alignment)
            if UInt(bitPattern: memory) % UInt(alignment) != 0 { isIntact = false }
            let mark = UInt8(truncatingIfNeeded: step)
            memory.initializeMemory(as: UInt8.self, repeating: mark, count: byteCount)
            tables.append((memory, byteCount, mark))
            while tables.count > 40 || (!tables.isEmpty && random.chance(0.3)) { endOne() }
        }
        while !tables.isEmpty { endOne() }
        return isIntact
    }

    @Test func growingKeepsTheElements() {
        var table = UnsafeMutablePointer<UInt32>.allocateDense(capacity: 4, alignment: 64)
        for index in 0..<4 { table[index] = UInt32(index) }
        table.growDense(from: 4, to: 8, alignment: 64)
        #expect(UInt(bitPattern: table) % 64 == 0)
        #expect((0..<4).allSatisfy { table[$0] == UInt32($0) })
        table.deallocateDense()
    }
}
