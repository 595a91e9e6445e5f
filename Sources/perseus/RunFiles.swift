// The files of `perseus run`: refused before the run when they cannot be written, whole when they appear.

import Foundation
import PerseusCheckpoints
import PerseusCommandLine
import PerseusMoE
import PerseusPrimitives
import PerseusRunners

/// Where a run's output, report and trace go.
struct RunFiles {
    let output: String?
    let report: String?
    let trace: String?

    /// - Errors: `badInput` for a path that cannot be written, two files of one name, or a trace of a run that has
    ///   none. Found here, they cost nobody a long run.
    init(_ options: RunOptions) throws(PerseusError) {
        output = options.outputPath
        report = options.jsonPath
        trace = options.tracePath
        if trace != nil && options.clock != "virtual" {
            throw PerseusError(.badInput, "--trace needs --clock virtual")
        }
        var seen: [(option: String, path: String)] = []
        for (option, path) in [("--output", output), ("--json", report), ("--trace", trace)] {
            guard let path else { continue }
            if let other = seen.first(where: { $0.path == path }) {
                throw PerseusError(
                    .badInput, "\(other.option) and \(option) both write \(path); give two names")
            }
            seen.append((option, path))
            try Self.requireWritable(path, option: option)
        }
    }

    /// One of the files is the standard output: words for people go elsewhere.
    var usesStandardOutput: Bool { [output, report, trace].contains("-") }

    private static func requireWritable(
        _ path: String, option: String
    ) throws(PerseusError) {
        if path == "-" { return }
        func refusal(_ code: Int32) -> PerseusError {
            PerseusError(
                .badInput, "\(option): cannot write \(path): \(String(cString: strerror(code)))")
        }
        var status = stat()
        let exists = stat(path, &status) == 0
        if exists && status.st_mode & S_IFMT == S_IFDIR { throw refusal(EISDIR) }
        let isReplaced = !exists || status.st_mode & S_IFMT == S_IFREG
        guard access(isReplaced ? folder(of: path) : path, W_OK) == 0 else { throw refusal(errno) }
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    // MARK: Writing

    /// `output` [tokens, hidden] F32, `topk_ids` I32 and `topk_weights` F32 [tokens, topK].
    func write(_ first: FirstOutput, model: MoEModel, tokens: Int) throws {
        guard let path = output else { return }
        let routingShape = [tokens, model.topK]
        let tensors = [
            OutputTensor(
                name: "output", shape: [tokens, model.hidden], elements: .float32(first.values)),
            OutputTensor(name: "topk_ids", shape: routingShape, elements: .int32(first.ids)),
            OutputTensor(
                name: "topk_weights", shape: routingShape, elements: .float32(first.weights)),
        ]
        try AtomicFile.write(to: path) { (file) throws(PerseusError) in
            try SafetensorsWriter.serialize(tensors) { bytes throws(PerseusError) in
                try file.write(bytes)
            }
        }
    }

    func write(_ document: RunReport) throws {
        if let path = report { try writeJSON(document, to: path) }
    }

    func write(_ traces: [(scheme: String, recorder: TraceRecorder)]) throws {
        guard let path = trace else { return }
        try AtomicFile.write(Array(TraceRecorder.chromeTrace(traces).utf8), to: path)
    }
}
