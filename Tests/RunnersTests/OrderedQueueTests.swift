// Jobs of different lengths come back in order, as many at a time as their needs allow.

import Glibc
import PerseusPrimitives
import PerseusRunners
import Synchronization
import Testing

/// The squares of 0 ..< `count`, each after another time.
private func squares(_ count: Int) -> OrderedQueue<Int>.Jobs {
    OrderedQueue.Jobs(
        mayStart: { $0 < count },
        run: { index in
            usleep(UInt32(SeededRandom.mix(UInt64(index)) % 1500))
            return index * index
        }, endsBehind: { _ in false })
}

/// Everything that can be taken.
private func results<Value>(_ jobs: OrderedQueue<Value>.Jobs, threads: Int) throws -> [Value] {
    let queue = OrderedQueue(jobs)
    try queue.start(threadCount: threads)
    defer {
        queue.close()
        queue.join()
    }
    var values: [Value] = []
    while let value = queue.take(values.count) { values.append(value) }
    return values
}

@Suite struct OrderedQueueTests {
    @Test(arguments: [1, 2, 16])
    func resultsComeInOrder(threads: Int) throws {
        #expect(try results(squares(60), threads: threads) == (0..<60).map { $0 * $0 })
        #expect(try results(squares(0), threads: threads).isEmpty)
    }

    @Test(arguments: [1, 4])
    func nothingStartsBehindTheEnd(threads: Int) throws {
        var jobs = squares(1000)
        jobs.endsBehind = { $0 == 49 }
        let values = try results(jobs, threads: threads)
        #expect(7 < values.count && values.count < 1000)
        #expect(values == values.indices.map { $0 * $0 })
    }

    /// Needs 0 to 4 of a budget of 5; and of 3, which the largest exceed alone.
    @Test(arguments: [5, 3])
    func needsStayWithinTheBudget(budget: Int) throws {
        struct Load {
            var sum = 0
            var count = 0
            var worst = 0
            var worstCount = 0
        }
        let load = Mutex(Load())
        var jobs = squares(200)
        jobs.need = { $0 % 5 }
        jobs.budget = budget
        let run = jobs.run
        jobs.run = { index in
            load.withLock {
                $0.sum += index % 5
                $0.count += 1
                $0.worst = max($0.worst, $0.count == 1 ? 0 : $0.sum)
                $0.worstCount = max($0.worstCount, $0.count)
            }
            defer {
                load.withLock {
                    $0.sum -= index % 5
                    $0.count -= 1
                }
            }
            return run(index)
        }
        #expect(try results(jobs, threads: 8).count == 200)
        let seen = load.withLock { $0 }
        #expect(seen.worst <= budget && seen.worstCount > 1)
    }
}
