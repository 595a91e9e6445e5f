// Reads the facts about machine, build and checkout that every report carries.

import Foundation

extension BenchmarkContext {
    /// The context of this process, read now; facts that cannot be read become `unknown` or nil.
    public static func current() -> BenchmarkContext {
        let commit = git(["rev-parse", "--short=12", "HEAD"])
        let changes = git(["status", "--porcelain", "--untracked-files=no"])
        return BenchmarkContext(
            commit: commit ?? "unknown",
            dirty: changes.map { !$0.isEmpty } ?? false,
            host: ProcessInfo.processInfo.hostName,
            cpu: processorName(),
            cores: ProcessInfo.processInfo.activeProcessorCount,
            swift: compilerVersion,
            flags: buildConfiguration,
            governor: firstLine(of: "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            addressRandomization: firstLine(of: "/proc/sys/kernel/randomize_va_space").map {
                $0 != "0"
            },
            date: Date().formatted(.iso8601))
    }

    private static var compilerVersion: String {
        #if compiler(>=6.4)
            return "6.4 or later"
        #elseif compiler(>=6.3)
            return "6.3"
        #else
            return "6.2"
        #endif
    }

    private static var buildConfiguration: String {
        #if DEBUG
            return "debug"
        #else
            return "release"
        #endif
    }

    /// Output of a git command in the working directory; nil when git fails or is absent.
    private static func git(_ arguments: [String]) -> String? {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["git"] + arguments
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return nil }
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { return nil }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// "model name" of /proc/cpuinfo (x86), else the machine's architecture.
    private static func processorName() -> String {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        for line in text.split(separator: "\n") where line.hasPrefix("model name") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        #if arch(arm64)
            return "arm64"
        #else
            return "unknown"
        #endif
    }

    private static func firstLine(of path: String) -> String? {
        let text = try? String(contentsOfFile: path, encoding: .utf8)
        return text?.split(separator: "\n").first.map(String.init)
    }
}
