// The machine and the build behind a measurement: a number without them means nothing.

import Foundation

/// Context of every report that depends on the machine; null is what could not be found out.
public struct MachineContext: Codable, Equatable, Sendable {
    public var version = perseusVersion
    /// Commit of the checkout that holds the executable.
    @Nullable public var commit: String?
    /// Whether that checkout has changes that are not committed.
    @Nullable public var dirty: Bool?
    @Nullable public var host: String?
    @Nullable public var cpu: String?
    /// Processors that this process may use.
    public var cores: Int
    /// Frequency governor of the first processor.
    @Nullable public var governor: String?
    @Nullable public var aslr: Bool?
    public var swift = compilerVersion
    /// `release` or `debug`.
    public var flags = buildConfiguration
    @Nullable public var gpu: String?
    @Nullable public var nic: String?
    public var numaNodes: Int
    /// UTC, ISO 8601, to the second.
    public var date: String

    /// Asks `probes` about this machine.
    public init(_ probes: MachineProbes = .system, date: Date = Date()) {
        func line(_ path: String) -> String? {
            probes.readFile(path)?.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let folder =
            (CommandLine.arguments.first.map { URL(filePath: $0) })?
            .resolvingSymlinksInPath().deletingLastPathComponent().path ?? "."
        let git = ["git", "-C", folder]
        _commit = Nullable(wrappedValue: probes.output(git + ["rev-parse", "HEAD"]))
        _dirty = Nullable(
            wrappedValue: probes.output(git + ["status", "--porcelain"]).map { !$0.isEmpty })
        _host = Nullable(wrappedValue: line("/proc/sys/kernel/hostname"))
        _cpu = Nullable(wrappedValue: ProcessorDescription(probes).model)
        cores = probes.usableProcessorCount()
        _governor = Nullable(
            wrappedValue: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
        _aslr = Nullable(
            wrappedValue: line("/proc/sys/kernel/randomize_va_space").map { $0 != "0" })
        var devices: String?
        if case .present(let names) = probes.library(.cudaDriver) { devices = names }
        _gpu = Nullable(wrappedValue: devices)
        let adapters = probes.listDirectory("/sys/class/infiniband")
        _nic = Nullable(
            wrappedValue: adapters.isEmpty ? nil : adapters.joined(separator: ","))
        numaNodes =
            probes.listDirectory("/sys/devices/system/node")
            .filter { $0.hasPrefix("node") && $0.dropFirst(4).allSatisfy(\.isNumber) }.count
        self.date = date.formatted(.iso8601)
    }
}

/// What `/proc/cpuinfo` says about the first processor.
struct ProcessorDescription {
    let model: String?
    /// Instruction sets as the kernel spells them.
    let features: Set<String>

    init(_ probes: MachineProbes) {
        var fields: [String: String] = [:]
        let text = probes.readFile("/proc/cpuinfo") ?? ""
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let key = parts[0].trimmingCharacters(in: .whitespaces)
            if fields[key] == nil { fields[key] = parts[1].trimmingCharacters(in: .whitespaces) }
        }
        model = fields["model name"] ?? fields["CPU part"]
        let features = fields["flags"] ?? fields["Features"] ?? ""
        self.features = Set(features.split(separator: " ").map(String.init))
    }
}

#if DEBUG
    private let buildConfiguration = "debug"
#else
    private let buildConfiguration = "release"
#endif

#if compiler(>=6.4)
    private let compilerVersion = "6.4 or newer"
#elseif compiler(>=6.3)
    private let compilerVersion = "6.3"
#else
    private let compilerVersion = "6.2"
#endif
