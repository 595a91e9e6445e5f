// The cache believes only what it wrote: damaged entries are compiled anew, and writers do not disturb each other.

import Foundation
import PerseusPrimitives
import Testing

@testable import PerseusDevice

/// A cache in a fresh folder, removed at the end of the test that owns it.
private final class ScratchCache: Sendable {
    let folder: URL
    let cache: KernelCache

    init() {
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("perseus-cache-\(UUID().uuidString)")
        // The cache makes its folders itself.
        cache = KernelCache(directory: folder.path + "/below/it")
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func bytes(_ key: KernelCacheKey) throws -> [UInt8] {
        try #require(cache.path(of: key).flatMap { readFile($0) })
    }

    func replace(_ key: KernelCacheKey, _ bytes: [UInt8]) throws {
        let path = try #require(cache.path(of: key))
        try Data(bytes).write(to: URL(filePath: path))
    }
}

private func key(
    _ defines: [(String, String)] = [], options: [String] = ["-a"], compiler: String = "C 1",
    text: String = "code"
) -> KernelCacheKey {
    KernelCacheKey(
        DeviceProgram(source: "a.cu", defines: defines), sources: [("a.cu", text)],
        options: options, compiler: compiler)
}

private let sample = CompiledKernels(
    cubin: (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 7) }, log: "ptxas says nothing")

@Suite struct KernelCacheTests {
    @Test func anEntryIsCompiledOnceAndReadBack() throws {
        let scratch = ScratchCache()
        var compilations = 0
        for _ in 0..<3 {
            let kernels = try scratch.cache.compiled(key()) { () throws(PerseusError) in
                compilations += 1
                return sample
            }
            #expect(kernels == sample)
        }
        #expect(compilations == 1)
    }

    @Test func everyDamagedByteIsNoticedAndTheEntryReplaced() throws {
        let scratch = ScratchCache()
        scratch.cache.store(sample, under: key())
        let good = try scratch.bytes(key())
        // Magic, key, checksum, length of the log, log, cubin, last byte.
        for position in [0, 9, 45, 72, 79, 85, 200, good.count - 1] {
            var bad = good
            bad[position] ^= 0x10
            try scratch.replace(key(), bad)
            #expect(scratch.cache.entry(key()) == nil, "byte \(position)")
            #expect(try scratch.cache.compiled(key()) { sample } == sample)
            #expect(try scratch.bytes(key()) == good, "byte \(position)")
        }
    }

    @Test func aTruncatedEntryIsNoticedAndReplaced() throws {
        let scratch = ScratchCache()
        scratch.cache.store(sample, under: key())
        let good = try scratch.bytes(key())
        for count in [0, 1, 8, 40, 71, 72, 79, 80, 100, good.count - 1] {
            try scratch.replace(key(), Array(good[..<count]))
            #expect(scratch.cache.entry(key()) == nil, "\(count) bytes")
        }
        try scratch.replace(key(), good + [0])
        #expect(scratch.cache.entry(key()) == nil)
        #expect(try scratch.cache.compiled(key()) { sample } == sample)
        #expect(try scratch.bytes(key()) == good)
    }

    @Test func anEntryUnderAnotherNameIsNotBelieved() throws {
        let scratch = ScratchCache()
        scratch.cache.store(sample, under: key())
        let other = key([("A", "1")])
        try scratch.replace(other, scratch.bytes(key()))
        #expect(scratch.cache.entry(other) == nil)
    }

    /// Writers and readers of one entry at once see nothing or all of it.
    @Test func writersAtOnceLeaveOneGoodEntryAndNothingElse() async throws {
        let scratch = ScratchCache()
        let cache = scratch.cache
        let entryKey = key()
        let wrongCount = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    (0..<20).count { _ in
                        cache.store(sample, under: entryKey)
                        return cache.entry(entryKey) != sample
                    }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(wrongCount == 0)
        let names = try FileManager.default.contentsOfDirectory(
            atPath: scratch.folder.path + "/below/it")
        #expect(names == ["\(key().text).kernels"])
    }

    @Test func aFolderThatCannotBeWrittenOnlyKeepsNothing() throws {
        for directory in [nil, "/proc/perseus", "/dev/null/perseus"] {
            let cache = KernelCache(directory: directory)
            #expect(try cache.compiled(key()) { sample } == sample)
            #expect(cache.entry(key()) == nil)
        }
    }

    @Test func everythingThatTheCodeDependsOnIsInTheKey() {
        let keys = [
            key(), key([("A", "1")]), key([("A", "2")]), key([("A", ""), ("1", "")]),
            key([("A1", "")]), key(options: ["-b"]), key(options: ["-a", "-b"]),
            key(compiler: "C 2"), key(text: "code "),
        ]
        #expect(Set(keys).count == keys.count)
        #expect(key().text.count == 64)
        #expect(key([("A", "1")]) == key([("A", "1")]))
    }

    @Test func variablesNameTheFolder() {
        func folder(_ variables: [String: String]) -> String? {
            KernelCache.standard { variables[$0] }.directory
        }
        #expect(folder(["PERSEUS_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"]) == "/a")
        #expect(folder(["XDG_CACHE_HOME": "/b", "HOME": "/c"]) == "/b/perseus")
        #expect(folder(["HOME": "/c"]) == "/c/.cache/perseus")
        #expect(folder([:]) == nil)
    }

    /// The examples of FIPS 180-4, and lengths around a block.
    @Test func digestsAreThoseOfTheStandard() {
        func hex(_ text: String) -> String {
            SHA256.digest(Array(text.utf8)).map { String(format: "%02x", $0) }.joined()
        }
        #expect(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
                == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        #expect(
            hex(String(repeating: "a", count: 1_000_000).prefix(1000).description)
                == "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3")
    }
}
