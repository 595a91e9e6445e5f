// The doctor describes a machine with everything, one with nothing, and this one.

import Testing

@testable import PerseusCommandLine

extension MachineProbes {
    /// A machine that answers no question.
    static var nothing: MachineProbes {
        MachineProbes(
            readFile: { _ in nil }, listDirectory: { _ in [] }, library: { _ in .missing },
            program: { _ in nil }, freeBytes: { _ in nil }, usableProcessorCount: { 1 },
            output: { _ in nil })
    }

    /// A machine that lacks nothing.
    static var everything: MachineProbes {
        let files = [
            "/proc/cpuinfo": "model name\t: Big CPU\nflags\t\t: avx2 fma avx512f avx512bw avx512vl "
                + "avx512_bf16 amx_tile amx_bf16\n",
            "/proc/meminfo": "MemTotal: 1048576 kB\nMemAvailable: 524288 kB\nHugePages_Free: 3\n",
            "/proc/self/limits":
                "Max locked memory         unlimited            unlimited   bytes\n",
            "/sys/fs/cgroup/memory.max": "268435456\n",
        ]
        return MachineProbes(
            readFile: { files[$0] },
            listDirectory: { $0 == "/sys/class/infiniband" ? ["mlx5_0", "mlx5_1"] : [] },
            library: { _ in .present("version 9.9") }, program: { "/usr/bin/\($0)" },
            freeBytes: { _ in 1 << 30 }, usableProcessorCount: { 64 }, output: { _ in nil })
    }
}

@Suite struct DoctorTests {
    @Test func aMachineWithEverythingMissesNothing() throws {
        let findings = Doctor(.everything).examine()
        for finding in findings { #expect(finding.isPresent, "\(finding.name)") }
        let details = findings.map { "\($0.name): \($0.detail)" }
        for detail in [
            "model: Big CPU", "cores: 64 usable", "total: 1.00 GiB", "available: 512 MiB",
            "control group: 256 MiB", "huge pages: 3 free", "locked memory: unlimited",
            "RDMA devices: mlx5_0, mlx5_1", "libfabric: version 9.9", "gnuplot: /usr/bin/gnuplot",
        ] { #expect(details.contains(detail), "\(detail)") }
        #expect(Doctor.text(findings).hasSuffix("Nothing is missing.\n"))
    }

    @Test func aMachineWithNothingIsToldWhatToInstall() {
        let findings = Doctor(.nothing).examine()
        let text = Doctor.text(findings)
        for name in [
            "CUDA driver", "NVRTC", "RDMA devices", "libibverbs", "libfabric", "PMIx", "OpenBLAS",
            "gnuplot", "huge pages", "/dev/shm",
        ] {
            let finding = findings.first { $0.name == name }
            #expect(finding?.isPresent == false, "\(name)")
            #expect(finding?.remedy != nil, "\(name)")
        }
        for line in text.split(separator: "\n") where line.hasPrefix("  missing") {
            #expect(line.contains("would enable"))
        }
        #expect(text.contains("get it: sudo apt install libfabric1"))
    }

    @Test func aDriverWithoutADeviceAndASmallLimitSayWhy() {
        var probes = MachineProbes.everything
        probes.library = {
            $0 == .cudaDriver ? .unusable("cuInit failed with CUDA error 100") : .missing
        }
        probes.readFile = { path in
            path == "/proc/self/limits" ? "Max locked memory   8388608   8388608   bytes" : nil
        }
        let text = Doctor.text(Doctor(probes).examine())
        #expect(text.contains("cuInit failed with CUDA error 100; would enable"))
        #expect(text.contains("only 8.00 MiB; would enable registering arenas"))
    }

    @Test func thisMachineIsDescribedWithoutFailing() throws {
        let report = Doctor().report()
        #expect(report.results.count == Doctor(.nothing).examine().count)
        #expect(report.context.cores > 0)
        #expect(try !jsonBytes(report).isEmpty)
    }
}
