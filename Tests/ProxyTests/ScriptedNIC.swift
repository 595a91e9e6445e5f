// A NIC that does what a test says: it records every request and completes on demand.

import CPerseusABI
import PerseusTransport

/// One recorded request, with a copy of its inline payload.
struct RecordedPost {
    let request: WorkRequest
    let words: [UInt64]
    /// The proxy has been given a completion that covers this request.
    var isCovered = false
    /// The queue pair's slot was given back.
    var isRetired = false

    var peer: Int { Int(request.peer) }
    var isMarker: Bool { request.byteCount == 0 }
    /// Carries signal words of the fetch-add kind or inline.
    var isSignal: Bool { request.isInline || request.operation == .fetchAdd }
    var isData: Bool { !isSignal && !isMarker }
}

/// What happened at the NIC, in order; the checkers read it.
enum NICHappening {
    /// Index of the post.
    case posted(Int)
    /// The proxy polled a completion that covers these posts.
    case covered([Int])
}

/// The state behind a `ScriptedNIC`, shared with the test.
///
/// - Threading: one thread.
final class NICScript {
    var guarantees: OrderingGuarantees
    let queueCount: Int
    let queueDepth: Int
    let inlineCapacityByteCount: Int
    private(set) var posts: [RecordedPost] = []
    private(set) var happenings: [NICHappening] = []
    private(set) var doorbellCount = 0
    private(set) var refusedCount = 0
    /// How many more posts are taken before `.full`; nil: as many as the queues hold.
    var acceptableCount: Int?
    private var occupied: [Int]
    private var completions: [(post: Int, status: WorkCompletion.Status)] = []
    private var receives: [ReceiveCompletion] = []

    init(
        completesInOrder: Bool = true, fenceScope: FenceScope = .peer, queueCount: Int = 1,
        queueDepth: Int = 1024, inlineWords: Int = 32
    ) {
        guarantees = OrderingGuarantees(
            promises: [], completesInOrder: completesInOrder, fenceScope: fenceScope)
        self.queueCount = queueCount
        self.queueDepth = queueDepth
        inlineCapacityByteCount = inlineWords * 8
        occupied = Array(repeating: 0, count: queueCount)
    }

    // MARK: The test's side

    /// Posts that are not covered by a polled completion.
    var openPosts: [Int] { posts.indices.filter { !posts[$0].isCovered } }

    /// Queues the completion of one post; with a success an unsignaled one gets none.
    func complete(_ post: Int, status: WorkCompletion.Status = .success) {
        completions.append((post, status))
    }

    /// Queues completions of all open signaled posts in posting order.
    func completeAll() {
        let queued = Set(completions.map(\.post))
        for post in openPosts where posts[post].request.isSignaled && !queued.contains(post) {
            complete(post)
        }
    }

    func deliver(source: Int, immediate: UInt32) {
        receives.append(ReceiveCompletion(source: UInt32(source), immediate: immediate))
    }

    /// The posts as text from `first` on, see `RecordedPost.description`.
    func log(from first: Int = 0) -> [String] { posts[first...].map(\.description) }

    // MARK: The proxy's side

    func post(_ request: WorkRequest) -> PostOutcome {
        let queue = Int(request.queue)
        guard acceptableCount != 0, occupied[queue] < queueDepth else {
            refusedCount += 1
            return .full
        }
        acceptableCount = acceptableCount.map { $0 - 1 }
        occupied[queue] += 1
        let wordCount = request.isInline ? Int(request.byteCount) / 8 : 0
        let words = (0..<wordCount).map { request.payload![$0] }
        posts.append(RecordedPost(request: request, words: words))
        happenings.append(.posted(posts.count - 1))
        return .accepted
    }

    func ringDoorbell() { doorbellCount += 1 }

    func poll(_ buffer: UnsafeMutablePointer<WorkCompletion>, limit: Int) -> Int {
        let count = min(limit, completions.count)
        for index in 0..<count {
            let (post, status) = completions[index]
            buffer[index] = WorkCompletion(
                identifier: posts[post].request.identifier, status: status)
            cover(post)
        }
        completions.removeFirst(count)
        return count
    }

    private func cover(_ post: Int) {
        let inOrder = guarantees.completesInOrder
        let covered = (0...post).filter { index in
            let isOpen = !posts[index].isRetired
            return isOpen && (index == post || inOrder && posts[index].peer == posts[post].peer)
        }
        for index in covered {
            posts[index].isCovered = true
            posts[index].isRetired = true
            occupied[Int(posts[index].request.queue)] -= 1
        }
        happenings.append(.covered(covered))
    }

    func pollReceive(_ buffer: UnsafeMutablePointer<ReceiveCompletion>, limit: Int) -> Int {
        let count = min(limit, receives.count)
        for index in 0..<count { buffer[index] = receives[index] }
        receives.removeFirst(count)
        return count
    }
}

extension RecordedPost: CustomStringConvertible {
    /// `put 2 @64 x32`, `signal 2 @5 [7 8]`, `add 2 @5 +7`, `marker 2`; `!` flagged, `~` unsignaled, `#` immediate.
    var description: String {
        var text: String
        if isMarker {
            text = "marker \(peer)"
        } else if request.operation == .fetchAdd {
            text = "add \(peer) @\(request.remoteOffset / 8) +\(request.localOffset)"
        } else if request.isInline {
            let list = words.map(String.init).joined(separator: " ")
            text = "signal \(peer) @\(request.remoteOffset / 8) [\(list)]"
        } else {
            text = "put \(peer) @\(request.remoteOffset) x\(request.byteCount)"
        }
        if request.isFenced { text += " !" }
        if !request.isSignaled { text += " ~" }
        if request.operation == .writeWithImmediate {
            text += " #" + String(request.immediate, radix: 16)
        }
        return text
    }
}

/// The `Transport` that a proxy under test owns.
struct ScriptedNIC: Transport, ~Copyable {
    let script: NICScript

    var guarantees: OrderingGuarantees { script.guarantees }
    var queueCount: Int { script.queueCount }
    var queueDepth: Int { script.queueDepth }
    var inlineCapacityByteCount: Int { script.inlineCapacityByteCount }

    mutating func post(_ request: WorkRequest) -> PostOutcome { script.post(request) }

    mutating func ringDoorbell() { script.ringDoorbell() }

    mutating func poll(_ completions: UnsafeMutablePointer<WorkCompletion>, limit: Int) -> Int {
        script.poll(completions, limit: limit)
    }

    mutating func pollReceive(
        _ completions: UnsafeMutablePointer<ReceiveCompletion>, limit: Int
    ) -> Int {
        script.pollReceive(completions, limit: limit)
    }
}
