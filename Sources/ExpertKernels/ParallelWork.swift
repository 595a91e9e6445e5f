// Start-up work divided over a few threads.

import PerseusPrimitives

/// What one thread of `runOnThreads` does, and how it ended.
private final class Worker {
    let items: StrideTo<Int>
    let body: (StrideTo<Int>) -> (Int, any Error)?
    var failure: (item: Int, error: any Error)?

    init(items: StrideTo<Int>, body: @escaping (StrideTo<Int>) -> (Int, any Error)?) {
        self.items = items
        self.body = body
    }

    func run() {
        failure = body(items).map { (item: $0.0, error: $0.1) }
    }
}

/// Gives thread `t` the items t, t + threads, … of `itemCount` and waits for all threads.
///
/// - Parameter body: runs once per thread; returns the item at which it gave up and why, or nil.
/// - Throws: the failure at the lowest item, whatever the threads' timing.
package func runOnThreads(
    _ threads: Int, itemCount: Int, body: @escaping (StrideTo<Int>) -> (Int, any Error)?
) throws {
    let workers = (0..<threads).map { thread in
        Worker(items: stride(from: thread, to: itemCount, by: threads), body: body)
    }
    // The calling thread is the first worker; one that cannot be started is run here as well.
    var started: [WorkerThread] = []
    for worker in workers.dropFirst() {
        if let thread = WorkerThread(worker.run) { started.append(thread) } else { worker.run() }
    }
    workers[0].run()
    for thread in started { thread.join() }
    let failures = workers.compactMap(\.failure)
    if let first = failures.min(by: { $0.item < $1.item }) { throw first.error }
}
