// Stage 1 of 10 — route: the role of stages 1 to 4, tokens into commands, step by step.
// Upstream:   Router.swift
// Downstream: DispatchPlan.swift

import CPerseusABI
import CPerseusShims
import PerseusCommandRing
import PerseusMemory
import PerseusMoE
import PerseusPrimitives

/// Stages ① to ④ of one rank: route, plan, pack, push.
///
/// A round starts when the one before it is over on both of the rank's sides: its own tokens are combined, and
/// everything that its experts owed to others is on the way. That is also why arenas are reused without a quiet:
/// results came back, so the rows that they were computed from have been consumed.
///
/// - Threading: the rank's own thread.
public struct Dispatcher: ~Copyable {
    enum Phase {
        case beginRound, route, plan, pack, signalGroup, waitQuiet, returnRows, waitRound, done
    }

    let state: RankState
    let port: any CommandPort
    var phase = Phase.beginRound
    /// Tokens of the round that are routed.
    var routedTokens = 0
    /// Experts in sending order.
    let order: UnsafeMutablePointer<Int32>
    var nextTransfer = 0
    /// [rank]: experts of that rank that are not packed yet: the group counter.
    let remaining: UnsafeMutablePointer<Int32>
    /// Signals of a closed group that are still to be pushed: experts, in `group[groupNext ..< groupCount]`.
    let group: UnsafeMutablePointer<Int32>
    var groupCount = 0
    var groupNext = 0
    /// The last words written, for signals that are added.
    let lastWords: UnsafeMutablePointer<UInt64>
    let words: UnsafeMutablePointer<UInt64>
    /// The next transfer is packed and found no room in the ring yet.
    var isPacked = false
    var staged = StagedReturn()
    var quietFollows = Phase.waitRound
    var hasAskedQuiet = false
    var routerScratch: RouterScratch?

    public init(state: RankState, port: any CommandPort) {
        self.state = state
        self.port = port
        let experts = state.geometry.model.expertCount
        let ranks = state.geometry.rankCount
        order = .allocateDense(capacity: experts)
        remaining = .allocateDense(capacity: ranks)
        group = .allocateDense(capacity: experts + ranks)
        words = .allocateDense(capacity: Int(PERSEUS_MAX_SIGNAL_WORDS))
        lastWords = .allocateDense(capacity: experts + ranks)
        lastWords.initialize(repeating: 0, count: experts + ranks)
        if case .router(let router) = state.shared.routing {
            routerScratch = RouterScratch(model: router.model)
        } else {
            routerScratch = nil
        }
        for (index, expert) in state.program.sendingOrder(of: state.rank, state.geometry)
            .enumerated()
        {
            order[index] = expert
        }
    }

    deinit {
        order.deallocateDense()
        remaining.deallocateDense()
        group.deallocateDense()
        words.deallocateDense()
        lastWords.deallocateDense()
    }

    /// Tokens routed by one step.
    static let routeBatch = 64

    /// One bounded piece of work. Never blocks; a step without work changes nothing.
    public mutating func step() -> RoleStep {
        var outcome = RoleStep()
        switch phase {
        case .beginRound: beginRound(&outcome)
        case .route: route(&outcome)
        case .plan: makePlan(&outcome)
        case .pack: packNext(&outcome)
        case .signalGroup: signalGroup(&outcome)
        case .waitQuiet: waitQuiet(&outcome)
        case .returnRows: returnRows(&outcome)
        case .waitRound: waitRound(&outcome)
        case .done: break
        }
        return outcome
    }

    private mutating func beginRound(_ outcome: inout RoleStep) {
        state.epoch = state.program.epoch(ofRound: state.round)
        state.isPlanned = false
        routedTokens = 0
        if !state.keepsRouting { state.plan.pointee.beginCount() }
        nextTransfer = 0
        isPacked = false
        groupCount = 0
        groupNext = 0
        prepareReturnWords()
        for rank in 0..<state.geometry.rankCount {
            remaining[rank] = Int32(state.geometry.dispatchWordCount(of: rank))
        }
        phase = .route
        outcome.hasWorked = true
    }

    /// Return words that a round may match by accident are cleared while nobody can be writing them: before this
    /// round's tokens leave, and after all of the last round's results were seen.
    private func prepareReturnWords() {
        // Signals that are added need zeros to add to; others are cleared before the 15-bit epoch can repeat.
        let isScrubDue = (state.program.firstRound + state.round) & 0x1FFF == 0x1FFF
        guard state.program.addsSignals || isScrubDue else { return }
        let first = state.signalWords + state.layout.firstReturnWord
        for index in 0..<state.returnWordCount { perseus_store_release(first + index, 0) }
    }

    private mutating func route(_ outcome: inout RoleStep) {
        let tokens = state.roundTokenRange
        let begin = tokens.lowerBound + routedTokens
        let count = min(Self.routeBatch, tokens.upperBound - begin)
        if count > 0 { routeTokens(begin..<begin + count) }
        routedTokens += max(0, count)
        if begin + count >= tokens.upperBound { phase = .plan }
        outcome.hasWorked = true
        outcome.work = .route(tokens: max(0, count))
    }

    private mutating func routeTokens(_ tokens: Range<Int>) {
        let model = state.geometry.model
        let ids = state.ids + (state.keepsRouting ? tokens.lowerBound * model.topK : 0)
        let weights = state.weights.map { $0 + tokens.lowerBound * model.topK }
        switch state.shared.routing {
        case .router(let router):
            guard let hidden = state.hidden, let weights else {
                preconditionFailure("Dispatcher: no hidden states")
            }
            router.route(
                hidden: hidden + tokens.lowerBound * model.hidden, tokens: tokens.count, ids: ids,
                weights: weights, scratch: &routerScratch!)
        case .external(let table):
            let first = (state.shared.firstTokens[state.rank] + tokens.lowerBound) * model.topK
            for index in 0..<tokens.count * model.topK {
                ids[index] = table.ids[first + index]
                weights?[index] = table.weights[first + index]
            }
        case .synthetic(let synthetic):
            let first = state.shared.firstTokens[state.rank]
            synthetic.route(
                tokens: first + tokens.lowerBound..<first + tokens.upperBound, ids: ids,
                weights: weights)
        }
        if !state.keepsRouting { state.plan.pointee.count(ids: ids, tokens: tokens.count) }
    }

    /// Stage ②: rows, offsets, and the list of blocks that will come back.
    private mutating func makePlan(_ outcome: inout RoleStep) {
        let tokens = state.roundTokenRange
        if state.keepsRouting {
            state.plan.pointee.rebuild(
                ids: state.ids + tokens.lowerBound * state.geometry.model.topK, tokens: tokens.count
            )
        } else {
            state.plan.pointee.finishCount()
        }
        listReturnBlocks()
        phase = .pack
        outcome.hasWorked = true
        outcome.work = .plan(rows: tokens.count * state.geometry.model.topK)
    }

    private func listReturnBlocks() {
        for index in 0..<state.returnBlockCount {
            state.blockOfWord[
                Int(state.returnBlocks[index].wordIndex) - state.layout.firstReturnWord] = -1
        }
        var count = 0
        for expert in 0..<state.geometry.model.expertCount {
            var row = Int(state.plan.pointee.firstRow[expert])
            let end = row + Int(state.plan.pointee.rows[expert])
            while row < end {
                let rows = min(LayerGeometry.blockRows, end - row)
                let word = state.layout.returnWord(row: row, expert: expert)
                state.returnBlocks[count] = ReturnBlock(
                    wordIndex: Int32(word), expert: Int32(expert), firstRow: Int32(row),
                    rows: Int32(rows))
                state.blockOfWord[word - state.layout.firstReturnWord] = Int32(count)
                count += 1
                row += rows
            }
        }
        state.returnBlockCount = count
        state.observedReturnBlocks = 0
        perseus_store_release(state.finished + RankState.sharedCounter, 0)
        perseus_store_release(state.finished + RankState.combineCounter, 0)
        state.isPlanned = true
    }

    /// The round is over when both sides of the rank are; then the next one begins, or the layer is done.
    private mutating func waitRound(_ outcome: inout RoleStep) {
        guard state.isOwnerSideDone && state.isExpertSideDone else { return }
        outcome.hasWorked = true
        if state.round + 1 >= state.geometry.roundCount {
            state.isLayerDone = true
            phase = .done
            return
        }
        if state.program.quietsBetweenRounds && quietFollows != .beginRound {
            askQuiet(then: .beginRound)
            return
        }
        advanceRound()
    }

    mutating func advanceRound() {
        quietFollows = .waitRound
        state.advanceRound()
        phase = .beginRound
    }

    mutating func askQuiet(then next: Phase) {
        quietFollows = next
        hasAskedQuiet = false
        phase = .waitQuiet
    }

    private mutating func waitQuiet(_ outcome: inout RoleStep) {
        if !hasAskedQuiet {
            guard port.tryPushQuiet() else {
                outcome.isBlocked = true
                return
            }
            hasAskedQuiet = true
            outcome.hasPushed = true
            outcome.hasWorked = true
            return
        }
        guard port.isQuiet else { return }
        outcome.hasWorked = true
        if quietFollows == .beginRound { advanceRound() } else { phase = quietFollows }
        quietFollows = .waitRound
    }
}
