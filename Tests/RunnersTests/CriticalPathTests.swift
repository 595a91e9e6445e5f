// The chain of waits that decided when a modelled layer ended: its parts add up, and each cost is in its own part.

import PerseusMegakernel
import PerseusMoE
import PerseusProxy
import Testing

@testable import PerseusRunners
@testable import PerseusSoftNIC

/// A Qwen3 layer with modelled compute on 8 ranks, two of a node.
private func modelledLayer(tokens: Int = 32) throws -> LayerWorkload {
    let model = MoEModel.preset("qwen3-30b")!
    return LayerWorkload(
        geometry: try LayerGeometry(
            model: model, rankCount: 8, ranksPerNode: 2,
            tokensPerRank: Array(repeating: tokens, count: 8), heapByteLimit: .max),
        input: JobInput(
            hidden: nil,
            routing: .synthetic(
                SyntheticRouting(
                    expertCount: model.expertCount, topK: model.topK, seed: 1, zipfExponent: 0))),
        compute: nil)
}

@Suite struct CriticalPathTests {
    private func run(
        _ scheme: Scheme, _ profile: String, finds: Bool = true,
        _ change: (inout RunSettings) -> Void = { _ in }
    ) throws -> SchemeRun {
        var settings = RunSettings(profile: Profile.named(profile)!)
        settings.findsCriticalPath = finds
        change(&settings)
        let run = try runScheme(scheme, modelledLayer(), settings)
        #expect(run.outcome.failure == nil)
        return run
    }

    @Test(
        arguments: Scheme.allCases, ["perlmutter-slingshot11", "h100-connectx7", "ideal"])
    func thePartsAddUpToTheLayer(_ scheme: Scheme, _ profile: String) throws {
        let run = try run(scheme, profile)
        let path = try #require(run.criticalPath)
        #expect(path.total == run.outcome.layerNanoseconds)
        #expect(path.stepCount > 10)
        // What the walk cannot explain it would call time of a proxy; where kernels post there is none.
        if scheme == .gpuDirect { #expect(path.ring == 0 && path.proxy == 0) }
        #expect(path.compute > 0 && path.compute <= run.outcome.layerNanoseconds)
        // The acknowledgement of a put, at least.
        if scheme == .coupled { #expect(path.drain >= 1000) }
    }

    @Test(arguments: Scheme.allCases)
    func lookingChangesNothing(_ scheme: Scheme) throws {
        let seen = try run(scheme, "perlmutter-slingshot11")
        let unseen = try run(scheme, "perlmutter-slingshot11", finds: false)
        #expect(unseen.criticalPath == nil)
        #expect(seen.outcome.layerNanoseconds == unseen.outcome.layerNanoseconds)
        #expect(seen.outcome.stepCount == unseen.outcome.stepCount)
        #expect("\(seen.outcome.counters)" == "\(unseen.outcome.counters)")
    }

    @Test func drainsCostWhatCompletionsCost() throws {
        func share(_ change: (inout RunSettings) -> Void) throws -> Double {
            let path = try run(.coupled, "perlmutter-slingshot11", change).criticalPath!
            return Double(path.drain) / Double(path.total)
        }
        #expect(try share { _ in } > 0.3)
        // What is left is the round trip of the acknowledgement.
        let withoutCompletions = try share {
            $0.profile.fabric.completionNanoseconds = 0
            $0.profile.fabric.completionPerDestinationNanoseconds = 0
            $0.profile.fabric.refillNanoseconds = 0
        }
        #expect(withoutCompletions < 0.02)
    }
}

/// Two ranks with one proxy and one processor each, and chains that are put down by hand.
@Suite struct CauseLogTests {
    private static let roles = RoleNumbers(proxies: 1, processors: 1)
    private let dispatcher = roles.dispatcher
    private let nic = roles.nic
    private let proxy = roles.firstProxy
    /// Of rank 1.
    private let subscriber = roles.perRank + roles.subscriber
    private let processor = roles.perRank + roles.firstProcessor
    private let peerDispatcher = roles.perRank + roles.dispatcher

    private func makeLog(isDirect: Bool = false) -> CauseLog {
        let log = CauseLog()
        log.begin(roles: Self.roles, roleCount: 2 * Self.roles.perRank, isDirect: isDirect)
        return log
    }

    private func notice(
        posted: UInt64, started: UInt64, sent: UInt64, refill: UInt64 = 0, isFenced: Bool = false
    ) -> NICNotice {
        var notice = NICNotice(.signalWords, rank: 1, endpoint: 0, isFenced: isFenced)
        notice.postedAt = posted
        notice.startedAt = started
        notice.sentAt = sent
        notice.refill = refill
        return notice
    }

    private func step(
        _ log: CauseLog, _ role: Int, _ begin: UInt64, _ end: UInt64, pushes: Bool = false
    ) {
        log.beginStep(of: role, at: begin)
        log.endStep(at: end, hasPushed: pushes)
    }

    /// A push, a put, its completion, a signal, and the task that it makes possible.
    @Test(arguments: [false, true])
    func everyPartIsWhatItWasPutDownAs(_ isFenced: Bool) {
        let log = makeLog()
        log.noteWake(of: dispatcher, reason: .start, request: -1)
        step(log, dispatcher, 0, 100, pushes: true)
        log.noteWake(of: proxy, reason: .command, request: -1)
        step(log, proxy, 50, 90, pushes: true)
        log.noteWake(of: nic, reason: .task, request: -1)
        step(log, nic, 480, 480)
        let put = log.noteCompletion(
            notice(posted: 80, started: 85, sent: 200, refill: 30), rank: 0)
        log.noteWake(of: proxy, reason: .completion, request: put)
        #expect(log.nextCompletion(of: proxy) == put)
        step(log, proxy, 510, 540, pushes: true)
        log.endProxyStep(of: proxy, completed: 1)
        #expect(log.nextCompletion(of: proxy) == -1)
        log.noteWake(of: nic, reason: .task, request: -1)
        step(log, nic, 1000, 1000)
        let signal = log.noteRequest(
            notice(posted: 530, started: 600, sent: 610, isFenced: isFenced), rank: 0)
        log.noteWake(of: subscriber, reason: .signal, request: signal)
        step(log, subscriber, 1050, 1050)
        log.noteWake(of: processor, reason: .task, request: -1)
        step(log, processor, 1050, 1250)
        log.noteWake(of: processor, reason: .ownStep, request: -1)
        step(log, processor, 1250, 1250)
        log.noteWake(of: peerDispatcher, reason: .task, request: -1)
        log.beginStep(of: peerDispatcher, at: 1250)
        log.noteEnd()

        var expected = CriticalPath()
        expected.ring = 50
        expected.proxy = 30 + 20
        expected.drain = 310 + (isFenced ? 70 : 0)
        expected.refill = 30
        expected.wire = 85
        expected.signal = 450
        expected.queueing = 5 + (isFenced ? 0 : 70)
        expected.compute = 200
        expected.stepCount = 7
        #expect(log.criticalPath() == expected)
        #expect(expected.total == 1250)
    }

    @Test func aKernelThatPostsItselfPacksAndPosts() {
        let log = makeLog(isDirect: true)
        log.noteWake(of: dispatcher, reason: .start, request: -1)
        step(log, dispatcher, 0, 100, pushes: true)
        step(log, nic, 170, 170)
        let signal = log.noteRequest(
            notice(posted: 60, started: 65, sent: 75), rank: 0)
        log.noteWake(of: subscriber, reason: .signal, request: signal)
        log.beginStep(of: subscriber, at: 180)
        log.noteEnd()
        let path = log.criticalPath()
        #expect(path.pack == 60 && path.queueing == 5 && path.signal == 115)
        #expect(path.total == 180)
    }

    /// A kernel that posts itself leaves what found no slot to its rank's poller.
    @Test func whatThePollerPostedForTheKernelIsItsOwn() {
        let log = makeLog(isDirect: true)
        log.noteWake(of: dispatcher, reason: .start, request: -1)
        step(log, dispatcher, 0, 100, pushes: true)
        step(log, nic, 250, 250)
        let put = log.noteCompletion(notice(posted: 20, started: 20, sent: 150), rank: 0)
        log.noteWake(of: proxy, reason: .completion, request: put)
        step(log, proxy, 300, 350, pushes: true)
        step(log, nic, 430, 430)
        let signal = log.noteRequest(
            notice(posted: 320, started: 320, sent: 330), rank: 0)
        log.noteWake(of: subscriber, reason: .signal, request: signal)
        log.beginStep(of: subscriber, at: 440)
        log.noteEnd()
        let path = log.criticalPath()
        #expect(path.signal == 120 && path.proxy == 20)
        #expect(path.drain == 150 && path.wire == 130 && path.pack == 20)
        #expect(path.total == 440)
    }

    /// Where nothing takes time a request may be over when it is posted, and its poster is not its consequence.
    @Test func aPathWithoutTimeEnds() {
        let log = makeLog()
        log.noteWake(of: dispatcher, reason: .start, request: -1)
        step(log, dispatcher, 0, 0, pushes: true)
        log.noteWake(of: proxy, reason: .command, request: -1)
        step(log, proxy, 50, 50, pushes: true)
        step(log, nic, 50, 50)
        let marker = log.noteCompletion(
            notice(posted: 50, started: 50, sent: 50), rank: 0)
        log.noteWake(of: proxy, reason: .completion, request: marker)
        log.beginStep(of: proxy, at: 50)
        log.noteEnd()
        let path = log.criticalPath()
        #expect(path.ring == 50 && path.total == 50 && path.stepCount == 3)
    }
}
