// Tensors by name over one file, several files, or a model directory with its index.

import Foundation
import PerseusPrimitives
import Synchronization

/// A set of safetensors files seen as one.
///
/// Files of an indexed model directory are opened when the first of their tensors is asked for,
/// because a large checkpoint has hundreds of files and a layer lives in a few.
///
/// Threading: any.
public final class TensorStore: Sendable {
    /// What errors call this store: a file or a directory.
    public let path: String
    /// For each tensor, the file that holds it.
    private let fileOfTensor: [String: String]
    private let opened: Mutex<[String: SafetensorsFile]>

    /// Opens a safetensors file, or a directory with `model.safetensors.index.json`, or a directory
    /// of safetensors files.
    public convenience init(path: String) throws(PerseusError) {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw PerseusError(.badInput, "\(path): no such file or directory")
        }
        guard isDirectory.boolValue else {
            try self.init(path: path, files: [path])
            return
        }
        let index = path + "/model.safetensors.index.json"
        if FileManager.default.fileExists(atPath: index) {
            self.init(path: path, map: try TensorStore.readIndex(index, directory: path))
            return
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        let files = names.filter { $0.hasSuffix(".safetensors") }.sorted()
        guard !files.isEmpty else {
            throw PerseusError(.badInput, "\(path): no safetensors file in this directory")
        }
        try self.init(path: path, files: files.map { path + "/" + $0 })
    }

    /// Opens the given files; no tensor may be in two of them.
    public init(path: String, files: [String]) throws(PerseusError) {
        var map: [String: String] = [:]
        var opened: [String: SafetensorsFile] = [:]
        for file in files {
            let contents = try SafetensorsFile(path: file)
            opened[file] = contents
            for name in contents.names {
                if let other = map.updateValue(file, forKey: name) {
                    throw PerseusError(.badInput, "\(file): tensor '\(name)' is also in \(other)")
                }
            }
        }
        self.path = path
        fileOfTensor = map
        self.opened = Mutex(opened)
    }

    private init(path: String, map: [String: String]) {
        self.path = path
        fileOfTensor = map
        opened = Mutex([:])
    }

    /// Whether a tensor of this name exists.
    public func contains(_ name: String) -> Bool { fileOfTensor[name] != nil }

    /// The tensor called `name`.
    ///
    /// - Errors: `badInput` when there is none, or its file cannot be used.
    public func tensor(_ name: String) throws(PerseusError) -> Tensor {
        guard let file = fileOfTensor[name] else {
            throw PerseusError(.badInput, "\(path): no tensor '\(name)'")
        }
        guard let tensor = try open(file).tensor(name) else {
            throw PerseusError(
                .badInput, "\(file): no tensor '\(name)', although the index says it is here")
        }
        return tensor
    }

    private func open(_ file: String) throws(PerseusError) -> SafetensorsFile {
        if let known = opened.withLock({ $0[file] }) { return known }
        // Two threads may both map the file; the first one registered is the one that stays.
        let contents = try SafetensorsFile(path: file)
        return opened.withLock { files in
            if let known = files[file] { return known }
            files[file] = contents
            return contents
        }
    }

    /// Reads `weight_map` of an index file.
    private static func readIndex(
        _ path: String, directory: String
    ) throws(PerseusError) -> [String: String] {
        let index = try JSONObject(path: path)
        guard let map = index.fields["weight_map"] as? [String: String] else {
            throw PerseusError(.badInput, "\(path): field 'weight_map' is missing or malformed")
        }
        // A shard's name is a plain file name; anything else could reach outside of the directory.
        if let name = map.values.sorted().first(where: { $0.contains("/") || $0.isEmpty }) {
            throw PerseusError(.badInput, "\(path): '\(name)' is not a plain file name")
        }
        return map.mapValues { directory + "/" + $0 }
    }
}
