// Records what roles do and writes it in the Chrome trace format, which Perfetto shows.

import PerseusMegakernel
import PerseusPrimitives
import PerseusProxy
import PerseusSoftNIC

/// The part of a rank that an event belongs to: one row of the picture.
public enum TraceTrack: Sendable, Equatable {
    case dispatcher
    case proxy(Int)
    case wire
    case subscriber
    case processor(Int)

    var number: Int {
        switch self {
        case .dispatcher: 0
        case .proxy(let thread): 10 + thread
        case .wire: 100
        case .subscriber: 200
        case .processor(let index): 300 + index
        }
    }

    var name: String {
        switch self {
        case .dispatcher: "1-4 dispatcher"
        case .proxy(let thread): "5-7 proxy \(thread)"
        case .wire: "7 NIC wire"
        case .subscriber: "8 subscriber"
        case .processor(let index): "9-10 processor \(index)"
        }
    }
}

/// One slice (or instant, when it has no length) of a trace.
public struct TraceSlice: Sendable {
    public var rank: Int
    public var track: TraceTrack
    public var name: String
    public var from: UInt64
    public var to: UInt64
    /// Shown when the slice is selected.
    public var arguments: [(String, Int)]
}

/// Collects the slices of one run.
///
/// - Threading: the virtual-time runner, or one per thread of the real one.
public final class TraceRecorder {
    public private(set) var slices: [TraceSlice] = []
    /// Slices beyond this are counted and left out, so that a trace stays loadable.
    public static let limit = 400_000
    public private(set) var omittedCount = 0

    public init() {}

    func append(
        _ rank: Int, _ track: TraceTrack, _ name: String, from: UInt64, to: UInt64,
        _ arguments: [(String, Int)] = []
    ) {
        guard slices.count < Self.limit else {
            omittedCount += 1
            return
        }
        slices.append(
            TraceSlice(
                rank: rank, track: track, name: name, from: from, to: to, arguments: arguments))
    }

    func record(_ rank: Int, _ track: TraceTrack, _ work: ModelledWork, from: UInt64, to: UInt64) {
        switch work {
        case .none: break
        case .route(let tokens):
            append(rank, track, "route", from: from, to: to, [("tokens", tokens)])
        case .plan(let rows): append(rank, track, "plan", from: from, to: to, [("rows", rows)])
        case .pack(let bytes, let toPeer):
            append(
                rank, track, toPeer ? "pack to local peer" : "pack and push", from: from, to: to,
                [("bytes", bytes)])
        case .signal: append(rank, track, "push signals", from: from, to: to)
        case .stage: append(rank, track, "stage barrier", from: from, to: to)
        case .expert(let first, let second, _):
            append(rank, track, "multiply", from: from, to: to, [("rows", first + second)])
        case .shared(let rows):
            append(rank, track, "multiply shared", from: from, to: to, [("rows", rows)])
        case .combine(let tokens):
            append(rank, track, "combine", from: from, to: to, [("tokens", tokens)])
        }
    }

    func mark(_ rank: Int, _ track: TraceTrack, at time: UInt64) {
        append(rank, track, "observe", from: time, to: time)
    }

    /// The picture that the project is about: the proxy stands still until the NIC has drained.
    func recordStall(_ rank: Int, thread: Int, from: UInt64, to: UInt64) {
        append(rank, .proxy(thread), "STALL: drain before signal", from: from, to: to)
    }

    func recordPosts(_ rank: Int, thread: Int, step: ProxyStep, from: UInt64, to: UInt64) {
        append(
            rank, .proxy(thread), "post", from: from, to: to,
            [("commands", Int(step.drained)), ("requests", Int(step.posted))])
    }

    func recordWire(_ rank: Int, _ notice: NICNotice) {
        append(
            rank, .wire, notice.isFenced ? "to \(notice.rank) (fence flag)" : "to \(notice.rank)",
            from: notice.first, to: notice.time, [("bytes", Int(notice.count))])
    }
}

extension TraceRecorder {
    /// Several runs as one Chrome trace: a process per scheme and rank, a thread per role, times in microseconds.
    public static func chromeTrace(_ runs: [(scheme: String, recorder: TraceRecorder)]) -> String {
        var text = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
        var isFirst = true
        func add(_ event: String) {
            if !isFirst { text += ",\n" }
            isFirst = false
            text += event
        }
        for (index, run) in runs.enumerated() {
            var named: Set<Int> = []
            for slice in run.recorder.slices {
                let process = index * 100_000 + slice.rank
                let key = slice.rank << 20 | slice.track.number
                if named.insert(key).inserted {
                    add(
                        "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":\(process),"
                            + "\"args\":{\"name\":\"\(run.scheme) rank \(slice.rank)\"}}")
                    add(
                        "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":\(process),\"tid\":\(slice.track.number),"
                            + "\"args\":{\"name\":\"\(slice.track.name)\"}}")
                }
                add(event(slice, process: process))
            }
        }
        return text + "\n]}\n"
    }

    private static func event(_ slice: TraceSlice, process: Int) -> String {
        let arguments = slice.arguments.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",")
        let place = "\"name\":\"\(slice.name)\",\"pid\":\(process),\"tid\":\(slice.track.number)"
        let start = microseconds(slice.from)
        if slice.to <= slice.from { return "{\"ph\":\"i\",\"s\":\"t\",\(place),\"ts\":\(start)}" }
        return
            "{\"ph\":\"X\",\(place),\"ts\":\(start),\"dur\":\(microseconds(slice.to - slice.from)),"
            + "\"args\":{\(arguments)}}"
    }

    private static func microseconds(_ nanoseconds: UInt64) -> String {
        let fraction = String(nanoseconds % 1000)
        return "\(nanoseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count)
            + fraction
    }
}
