// Headers that lie, files that end early, and a writer that leaves nothing behind.

import Foundation
import Glibc
import PerseusMoE
import PerseusPrimitives
import Testing

@testable import PerseusCheckpoints

struct SafetensorsTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    /// The error for a file with one tensor `t` described by `entry`, followed by 8 bytes.
    func fault(_ entry: String) throws -> String? {
        let file = try folder.safetensors("t", header: "{\"t\":\(entry)}", dataByteCount: 8)
        return failureMessage { _ = try SafetensorsFile(path: file) }?
            .replacingOccurrences(of: folder.path + "/t: ", with: "")
    }

    func entry(_ type: String, _ shape: String, _ offsets: String) -> String {
        "{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}"
    }

    @Test func wrongEntriesNameTheTensor() throws {
        #expect(try fault(entry("F32", "[2]", "[0,8]")) == nil)
        let cases = [
            (entry("F33", "[2]", "[0,8]"), "has the unknown dtype 'F33'"),
            (entry("F32", "[3]", "[0,8]"), "has 8 bytes, which is not F32 of shape [3]"),
            (entry("F32", "[-2]", "[0,8]"), "has no valid shape"),
            (entry("F32", "[0.5]", "[0,8]"), "has no valid shape"),
            (entry("F32", "[2]", "[0]"), "has no valid data_offsets"),
            (
                entry("F32", "[4]", "[0,16]"),
                "has data_offsets [0, 16], outside the 8 data bytes (truncated file?)"
            ),
            (
                entry("F32", "[1]", "[8,4]"),
                "has data_offsets [8, 4], outside the 8 data bytes (truncated file?)"
            ),
            (
                entry("F32", "[4611686018427387904, 4]", "[0,8]"),
                "has 8 bytes, which is not F32 of shape [4611686018427387904, 4]"
            ),
            ("{\"shape\":[2]}", "has no dtype"), ("7", "has no dtype"),
        ]
        for (entry, message) in cases {
            #expect(try fault(entry) == "tensor 't' \(message)")
        }
    }

    @Test func overlapIsRefused() throws {
        let header =
            "{\"a\":\(entry("F32", "[1]", "[0,4]")),\"b\":\(entry("F32", "[1]", "[2,6]"))}"
        let file = try folder.safetensors("o", header: header, dataByteCount: 8)
        let message = failureMessage { _ = try SafetensorsFile(path: file) }
        #expect(message == "\(file): tensor 'b' overlaps tensor 'a'")
    }

    @Test func filesThatAreNoSafetensorsAreRefused() throws {
        func message(_ file: String) -> String {
            failureMessage { _ = try SafetensorsFile(path: file) } ?? "accepted"
        }
        #expect(
            message(folder.path + "/none").hasSuffix("cannot be opened: No such file or directory"))
        #expect(message(folder.path).hasSuffix("not a regular file"))
        #expect(message(try folder.write("e", "")).hasSuffix("0 bytes, truncated header"))
        #expect(message(try folder.write("s", "1234567")).hasSuffix("7 bytes, truncated header"))
        #expect(
            message(try folder.write("x", "12345678{}")).contains(
                "not a safetensors file, or truncated"))
        #expect(
            message(try folder.safetensors("j", header: "{\"a\":")).hasSuffix(
                "header is not a JSON object"))
        #expect(
            message(try folder.safetensors("l", header: "[1]")).hasSuffix(
                "header is not a JSON object"))
    }

    @Test func everyTruncationOfAFileIsRefused() throws {
        let file = try folder.zeros("whole", [("t", "BF16", [3]), ("u", "I64", [1])])
        let whole = try Data(contentsOf: URL(fileURLWithPath: file))
        _ = try SafetensorsFile(path: file)
        for length in 0..<whole.count {
            let cut = try folder.write("cut", whole.prefix(length))
            #expect(throws: PerseusError.self) { try SafetensorsFile(path: cut) }
        }
    }

    @Test func writtenTensorsAreReadBack() throws {
        let file = folder.path + "/w.safetensors"
        let halves = BFloat16Buffer(count: 3) { $0[2] = 0x4049 }
        try SafetensorsWriter().write(
            [
                OutputTensor(name: "b", shape: [3], elements: .bfloat16(halves)),
                OutputTensor(name: "quote\"\\\n", shape: [1, 2], elements: .float32([1.5, -0.0])),
                OutputTensor(name: "i", shape: [2], elements: .int32([-1, 7])),
                OutputTensor(name: "none", shape: [0, 4], elements: .float32([])),
            ], to: file)
        let read = try SafetensorsFile(path: file)
        #expect(read.names == ["b", "i", "none", "quote\"\\\n"])
        #expect(read.tensor("b")?.elements(UInt16.self) == [0, 0, 0x4049])
        #expect(read.tensor("i")?.elements(Int32.self) == [-1, 7])
        #expect(read.tensor("none")?.shape == [0, 4])
        let floats = try read.tensor("quote\"\\\n")?.floats()
        #expect(floats?.map(\.bitPattern) == [1.5, -0.0].map { Float($0).bitPattern })
        #expect(folder.names == ["w.safetensors"])
    }

    @Test(arguments: [0, 8, 20, 100])
    func aFullDiskLeavesTheOldFileAndNothingElse(capacity: Int) throws {
        let file = try folder.write("out", "old")
        nonisolated(unsafe) var room = capacity
        let writer = SafetensorsWriter { descriptor, bytes, count in
            if room == 0 {
                errno = ENOSPC
                return -1
            }
            let accepted = Glibc.write(descriptor, bytes, min(room, count))
            room -= accepted
            return accepted
        }
        let tensor = OutputTensor(
            name: "t", shape: [64], elements: .float32([Float](repeating: 1, count: 64)))
        #expect(
            throws: PerseusError(
                .environment, "cannot write \(file): No space left on device")
        ) {
            try writer.write([tensor], to: file)
        }
        #expect(folder.names == ["out"])
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "old")
    }

    @Test func aWriteInPiecesIsWhole() throws {
        let file = folder.path + "/pieces"
        let writer = SafetensorsWriter { Glibc.write($0, $1, min(3, $2)) }
        try writer.write(
            [OutputTensor(name: "t", shape: [2], elements: .int32([5, 6]))], to: file)
        #expect(try SafetensorsFile(path: file).tensor("t")?.elements(Int32.self) == [5, 6])
    }

    /// Renaming over a device, as a superuser may, would replace it with a file.
    @Test func aDeviceIsWrittenToAndNotReplaced() throws {
        let tensor = OutputTensor(name: "a", shape: [1], elements: .int32([7]))
        try SafetensorsWriter().write([tensor], to: "/dev/null")
        var status = stat()
        #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    }

    @Test func targetsThatCannotBeWrittenAreReported() throws {
        let tensor = OutputTensor(name: "t", shape: [1], elements: .int32([5]))
        let absent = folder.path + "/none/out"
        #expect(
            throws: PerseusError(
                .badInput, "cannot write \(absent): No such file or directory")
        ) {
            try SafetensorsWriter().write([tensor], to: absent)
        }
        // A folder in the target's place makes the rename fail, after everything was written.
        let blocked = folder.path + "/folder"
        try FileManager.default.createDirectory(
            atPath: blocked, withIntermediateDirectories: false)
        #expect(throws: PerseusError.self) {
            try SafetensorsWriter().write([tensor], to: blocked)
        }
        #expect(folder.names == ["folder"])
    }
}
