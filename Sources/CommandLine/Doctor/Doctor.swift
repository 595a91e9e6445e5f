// What this machine offers: every finding is one line, and nothing that is missing is an error.

import Foundation

/// Examines a machine through its probes.
public struct Doctor {
    private let probes: MachineProbes

    public init(_ probes: MachineProbes = .system) { self.probes = probes }

    /// Everything that was looked for, in the order in which it is printed.
    public func examine() -> [Finding] {
        processor() + memory() + gpu() + network() + tools()
    }

    public func report() -> DoctorReport {
        DoctorReport(command: "doctor", context: MachineContext(probes), results: examine())
    }

    // MARK: Processor

    private func processor() -> [Finding] {
        let description = ProcessorDescription(probes)
        let cores = probes.usableProcessorCount()
        let model = Finding(
            .processor, "model", found: description.model, enables: "naming it in reports",
            problem: "/proc/cpuinfo does not say")
        let count = Finding(
            .processor, "cores", found: "\(cores) usable",
            enables: "proxies and workers that do not share a core")
        return [model, count]
            + instructionSets.map { set in
                Finding(
                    .processor, set.name,
                    found: description.features.isSuperset(of: set.features) ? "yes" : nil,
                    enables: set.enables, problem: "not in this processor")
            }
    }

    private let instructionSets: [(name: String, features: [String], enables: String)] = [
        ("avx2", ["avx2", "fma"], "8-lane expert kernels"),
        ("avx512f", ["avx512f", "avx512bw", "avx512vl"], "16-lane expert kernels"),
        ("avx512_bf16", ["avx512_bf16"], "bfloat16 dot products in hardware"),
        ("amx_bf16", ["amx_tile", "amx_bf16"], "bfloat16 tile products in hardware"),
    ]

    // MARK: Memory

    private func memory() -> [Finding] {
        [
            Finding(
                .memory, "total", found: memoryField("MemTotal"), enables: "larger layers",
                problem: "/proc/meminfo does not say"),
            Finding(
                .memory, "available", found: memoryField("MemAvailable"),
                enables: "larger layers without swapping", problem: "/proc/meminfo does not say"),
            Finding(
                .memory, "control group", found: controlGroupLimit() ?? "no limit",
                enables: "a limit below the total bounds the ranks on this machine"),
            hugePages(), lockedMemory(), sharedMemory(),
        ]
    }

    private func memoryNumber(_ field: String) -> Int? {
        let line = probes.readFile("/proc/meminfo")?.split(separator: "\n")
            .first { $0.hasPrefix("\(field):") }
        return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
    }

    /// A field of `/proc/meminfo`, which counts KiB.
    private func memoryField(_ field: String) -> String? {
        memoryNumber(field).map { Quantity.bytes($0 << 10) }
    }

    private func controlGroupLimit() -> String? {
        let paths = [
            "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ]
        let texts = paths.compactMap { probes.readFile($0) }
            .map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
        // Version 1 says "no limit" as the largest number of pages.
        return texts.compactMap { Int($0) }.first { $0 < 1 << 60 }.map(Quantity.bytes)
    }

    private func hugePages() -> Finding {
        let reserved = memoryNumber("HugePages_Free").flatMap { $0 > 0 ? "\($0) free" : nil }
        let mode = probes.readFile("/sys/kernel/mm/transparent_hugepage/enabled") ?? ""
        let transparent =
            mode.contains("[always]") || mode.contains("[madvise]") ? "transparent" : nil
        return Finding(
            .memory, "huge pages", found: reserved ?? transparent,
            enables: "fewer address translations in large arenas",
            remedy: "sudo sysctl -w vm.nr_hugepages=512")
    }

    private func lockedMemory() -> Finding {
        let line = probes.readFile("/proc/self/limits")?.split(separator: "\n")
            .first { $0.hasPrefix("Max locked memory") }
        // The fourth word is the soft limit in bytes, or `unlimited`.
        let limit = line?.split(separator: " ").dropFirst(3).first.flatMap { Int($0) }
        let isEnough = limit.map { $0 >= 1 << 30 } ?? true
        let detail = limit.map(Quantity.bytes) ?? "unlimited"
        return Finding(
            .memory, "locked memory", found: isEnough ? detail : nil,
            enables: "registering arenas with a NIC",
            remedy: "ulimit -l unlimited", problem: "only \(detail)")
    }

    private func sharedMemory() -> Finding {
        let free = probes.freeBytes("/dev/shm")
        let isEnough = (free ?? 0) >= 256 << 20
        let detail = free.map { "\(Quantity.bytes(Int(clamping: $0))) free" }
        return Finding(
            .memory, "/dev/shm", found: isEnough ? detail : nil,
            enables: "ranks in processes of their own on one machine",
            remedy: "sudo mount -o remount,size=4G /dev/shm",
            problem: detail.map { "only \($0)" } ?? "not mounted")
    }

    // MARK: Devices and libraries

    private func gpu() -> [Finding] {
        [
            library(
                .cudaDriver, .gpu, "CUDA driver", enables: "the megakernel on a GPU",
                remedy: "sudo apt install nvidia-driver"),
            library(
                .nvrtc, .gpu, "NVRTC", enables: "compiling device code for the exact shape",
                remedy: "pip install nvidia-cuda-nvrtc, and name its lib folder in PERSEUS_NVRTC",
                problem: "neither NVRTC nor nvcc found"),
        ]
    }

    private func network() -> [Finding] {
        let adapters = probes.listDirectory("/sys/class/infiniband")
        return [
            Finding(
                .network, "RDMA devices",
                found: adapters.isEmpty ? nil : adapters.joined(separator: ", "),
                enables: "real queue pairs",
                remedy: "sudo modprobe rdma_rxe && sudo rdma link add rxe0 type rxe netdev eth0"),
            library(
                .verbs, .network, "libibverbs", enables: "the verbs transport",
                remedy: "sudo apt install libibverbs1 ibverbs-providers"),
            library(
                .libfabric, .network, "libfabric",
                enables: "the libfabric transport: tcp, shm, efa, cxi",
                remedy: "sudo apt install libfabric1"),
            library(
                .pmix, .network, "PMIx", enables: "starting ranks with mpirun or srun",
                remedy: "sudo apt install libpmix2"),
        ]
    }

    private func tools() -> [Finding] {
        [
            library(
                .openBLAS, .tools, "OpenBLAS", enables: "a second opinion on matrix products",
                remedy: "sudo apt install libopenblas0"),
            Finding(
                .tools, "gnuplot", found: probes.program("gnuplot"),
                enables: "plots of sweeps", remedy: "sudo apt install gnuplot-nox"),
        ]
    }

    private func library(
        _ library: ProbedLibrary, _ area: Finding.Area, _ name: String, enables: String,
        remedy: String, problem: String = "not found"
    ) -> Finding {
        switch probes.library(library) {
        case .present(let detail): Finding(area, name, found: detail, enables: enables)
        case .missing:
            Finding(area, name, found: nil, enables: enables, remedy: remedy, problem: problem)
        case .unusable(let problem):
            Finding(area, name, found: nil, enables: enables, remedy: remedy, problem: problem)
        }
    }
}

extension Doctor {
    /// The findings for a person: `ok` with what was found, `missing` with what it enables and how
    /// to get it.
    public static func text(_ findings: [Finding]) -> String {
        let nameWidth = findings.reduce(0) { max($0, displayWidth($1.name)) }
        var text = ""
        for area in Finding.Area.allCases {
            text += "\(area.rawValue)\n"
            for finding in findings where finding.area == area.rawValue {
                text += line(finding, nameWidth: nameWidth)
            }
        }
        let missing = findings.count { !$0.isPresent }
        return text
            + (missing == 0
                ? "\nNothing is missing.\n"
                : "\n\(missing) absent; perseus run needs none of them.\n")
    }

    private static func line(_ finding: Finding, nameWidth: Int) -> String {
        let padding = String(repeating: " ", count: nameWidth - displayWidth(finding.name))
        let start = "\(finding.isPresent ? "ok     " : "missing")  \(finding.name)\(padding)  "
        if finding.isPresent { return "  \(start)\(finding.detail)\n" }
        let remedy = finding.remedy.map { "; get it: \($0)" } ?? ""
        return "  \(start)\(finding.detail); would enable \(finding.enables)\(remedy)\n"
    }
}
