// Typed fields of a JSON file, with errors that name the file and the field.

import Foundation
import PerseusPrimitives

/// A JSON object and the name by which errors call it.
struct JSONObject {
    let path: String
    let fields: [String: Any]

    /// Reads a file that must hold one JSON object.
    init(path: String) throws(PerseusError) {
        var status = stat()
        guard stat(path, &status) == 0 else { throw JSONObject.unreadable(path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw PerseusError(.badInput, "\(path): not a regular file")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw JSONObject.unreadable(path, errno)
        }
        guard let fields = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] else {
            throw PerseusError(.badInput, "\(path): is not a JSON object")
        }
        self.path = path
        self.fields = fields
    }

    private static func unreadable(_ path: String, _ code: Int32) -> PerseusError {
        PerseusError(.badInput, "\(path): cannot be read: \(String(cString: strerror(code)))")
    }

    private init(path: String, fields: [String: Any]) {
        self.path = path
        self.fields = fields
    }

    /// The object in field `name`.
    func object(_ name: String) throws(PerseusError) -> JSONObject {
        guard let nested = fields[name] as? [String: Any] else { throw missing(name, "an object") }
        return JSONObject(path: path, fields: nested)
    }

    /// A field's value, `fallback` when it is absent or null, an error when it has another type.
    func value<Value>(
        _ name: String, _ type: Value.Type = Value.self, fallback: Value? = nil, kind: String
    ) throws(PerseusError) -> Value {
        if fields[name] == nil || fields[name] is NSNull {
            if let fallback { return fallback }
            throw PerseusError(.badInput, "\(path): field '\(name)' is missing")
        }
        guard let value = fields[name] as? Value else { throw missing(name, kind) }
        return value
    }

    func integer(_ name: String, fallback: Int? = nil) throws(PerseusError) -> Int {
        try value(name, fallback: fallback, kind: "an integer")
    }

    func number(_ name: String, fallback: Double? = nil) throws(PerseusError) -> Double {
        try value(name, fallback: fallback, kind: "a number")
    }

    func boolean(_ name: String, fallback: Bool? = nil) throws(PerseusError) -> Bool {
        try value(name, fallback: fallback, kind: "true or false")
    }

    func string(_ name: String, fallback: String? = nil) throws(PerseusError) -> String {
        try value(name, fallback: fallback, kind: "a string")
    }

    private func missing(_ name: String, _ kind: String) -> PerseusError {
        PerseusError(.badInput, "\(path): field '\(name)' is not \(kind)")
    }
}
