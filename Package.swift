// swift-tools-version: 6.2
import PackageDescription

// Targets stand in the order in which a token meets them (docs/way-of-a-token.md).
// Folders carry short names and targets the prefix: a module and a type of one name cannot be told apart.

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

/// - Parameter embedded: files that the build makes byte arrays of.
func swiftTarget(
    _ name: String, _ dependencies: [Target.Dependency], embedded: [String] = []
) -> Target {
    .target(
        name: "Perseus\(name)", dependencies: dependencies, path: "Sources/\(name)",
        resources: embedded.map { .embedInCode($0) }, swiftSettings: settings)
}

func swiftTests(
    _ name: String, _ dependencies: [Target.Dependency], data: [String] = []
) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests",
        exclude: data, swiftSettings: settings)
}

let package = Package(
    name: "perseus",
    products: [
        .executable(name: "perseus", targets: ["perseus"])
    ],
    targets: [
        // Layouts of memory that more than one party sees.
        .target(name: "CPerseusABI"),
        // Pause, affinity, atomics on memory we do not own.
        .target(name: "CPerseusShims"),
        // Quantities, clock, seeded random, trace events, errors, suggestions for mistyped names.
        swiftTarget("Primitives", ["CPerseusShims"]),
        // Symmetric heap and regions.
        swiftTarget("Memory", ["CPerseusABI", "CPerseusShims", "PerseusPrimitives"]),
        // Shapes, routers, plan, combine, reference layer: stages 1-3 and 10.
        swiftTarget("MoE", ["CExpertKernels", "PerseusPrimitives"]),
        // Published checkpoints: safetensors and model configurations.
        swiftTarget("Checkpoints", ["PerseusMoE", "PerseusPrimitives"]),
        // SIMD microkernels in C, and their Swift face: stage 9.
        .target(name: "CExpertKernels"),
        swiftTarget("ExpertKernels", ["CExpertKernels", "PerseusMoE", "PerseusPrimitives"]),
        // Stage 4: commands from the kernel to the proxy.
        swiftTarget("CommandRing", ["CPerseusABI", "CPerseusShims", "PerseusPrimitives"]),
        // Stage 7: the NIC contract.
        swiftTarget("Transport", ["CPerseusABI", "CPerseusShims", "PerseusPrimitives"]),
        // Ranks as processes: starting them, the rendezvous, noticing who is gone.
        swiftTarget("Launch", ["CPerseusShims", "PerseusTransport", "PerseusPrimitives"]),
        // Stages 5 and 6: drain, order, post.
        swiftTarget(
            "Proxy",
            [
                "CPerseusABI", "CPerseusShims", "PerseusCommandRing", "PerseusTransport",
                "PerseusPrimitives",
            ]),
        // A NIC in software: the default transport.
        swiftTarget(
            "SoftNIC",
            [
                "CPerseusABI", "CPerseusShims", "PerseusCommandRing", "PerseusMemory",
                "PerseusTransport", "PerseusPrimitives",
            ]),
        // libfabric, found at run time; its headers, found when this is built, or not.
        .target(name: "CFabric"),
        swiftTarget("Libfabric", ["CFabric", "PerseusPrimitives", "PerseusTransport"]),
        // Roles of stages 1-4 and 8-10 as state machines.
        swiftTarget(
            "Megakernel",
            [
                "CExpertKernels", "CPerseusABI", "CPerseusShims", "PerseusCommandRing",
                "PerseusMemory",
                "PerseusMoE", "PerseusExpertKernels", "PerseusPrimitives",
            ]),
        // Threads and virtual time; cost model, profiles, fault plans, checkers.
        swiftTarget(
            "Runners",
            [
                "CPerseusABI", "CPerseusShims", "PerseusMegakernel", "PerseusProxy",
                "PerseusSoftNIC",
                "PerseusCommandRing", "PerseusTransport", "PerseusMemory", "PerseusMoE",
                "PerseusExpertKernels", "PerseusPrimitives",
            ],
            embedded: [
                "perlmutter-slingshot11", "h100-connectx7", "h100-connectx7-one-qp",
                "roce-adaptive", "efa-srd", "ideal",
            ].map { "Profiles/\($0).profile" }),
        // The CUDA driver and NVRTC, found at run time; the texts of the device code.
        .target(name: "CCUDA"),
        .target(name: "CDeviceKernels", exclude: ["kernels"]),
        // GPUs: driver, memory, launches; compiling device code and keeping the result.
        swiftTarget("Device", ["CCUDA", "CDeviceKernels", "PerseusPrimitives"]),
        // Layers on a GPU: the megakernel's memory, its rings, proxies and emulated NICs.
        swiftTarget(
            "DeviceRuns",
            [
                "CPerseusABI", "CPerseusShims", "PerseusCommandRing", "PerseusDevice",
                "PerseusExpertKernels", "PerseusMegakernel", "PerseusMemory", "PerseusMoE",
                "PerseusPrimitives", "PerseusProxy", "PerseusRunners", "PerseusSoftNIC",
                "PerseusTransport",
            ]),
        // Baselines in C that benchmarks are measured against.
        .target(name: "CBenchmarkBaselines", dependencies: ["CPerseusABI"]),
        swiftTarget(
            "Benchmarks",
            [
                "CBenchmarkBaselines", "CExpertKernels", "CPerseusABI", "CPerseusShims",
                "PerseusCommandRing", "PerseusDevice", "PerseusDeviceRuns", "PerseusMegakernel",
                "PerseusProxy", "PerseusRunners", "PerseusSoftNIC", "PerseusTransport",
                "PerseusMoE", "PerseusExpertKernels", "PerseusPrimitives",
            ]),
        // The paper's tables, sweeps, explanations and figures.
        swiftTarget(
            "Experiments",
            [
                "CPerseusABI", "CPerseusShims", "PerseusBenchmarks", "PerseusDevice",
                "PerseusDeviceRuns",
                "PerseusCommandRing", "PerseusLibfabric", "PerseusRunners", "PerseusMegakernel",
                "PerseusProxy",
                "PerseusSoftNIC",
                "PerseusTransport", "PerseusMoE", "PerseusPrimitives",
            ]),
        // Arguments, reports, tables, atomic files, doctor.
        swiftTarget(
            "CommandLine",
            [
                "CPerseusShims", "PerseusDevice", "PerseusLibfabric", "PerseusPrimitives",
                "PerseusProxy",
            ]),
        .executableTarget(
            name: "perseus",
            dependencies: [
                "PerseusCommandLine", "PerseusRunners", "PerseusExperiments", "PerseusBenchmarks",
                "PerseusCheckpoints", "PerseusMoE", "PerseusExpertKernels", "PerseusPrimitives",
                "PerseusMegakernel", "PerseusProxy", "PerseusSoftNIC", "PerseusTransport",
                "PerseusDevice", "PerseusDeviceRuns", "PerseusLaunch",
            ],
            path: "Sources/perseus", swiftSettings: settings),
        swiftTests("Primitives", ["PerseusPrimitives"]),
        swiftTests("MoE", ["PerseusMoE", "PerseusCheckpoints", "PerseusPrimitives"]),
        swiftTests(
            "ExpertKernels",
            [
                "PerseusExpertKernels", "CExpertKernels", "PerseusMoE",
                "PerseusPrimitives",
            ]),
        swiftTests(
            "CommandRing",
            [
                "PerseusCommandRing", "CPerseusABI", "CPerseusShims",
                "PerseusPrimitives",
            ]),
        swiftTests(
            "Libfabric",
            [
                "CPerseusShims", "PerseusCommandRing", "PerseusLibfabric", "PerseusPrimitives",
                "PerseusProxy", "PerseusTransport",
            ]),
        swiftTests(
            "Proxy",
            [
                "PerseusProxy", "PerseusCommandRing", "PerseusTransport", "CPerseusABI",
                "CPerseusShims",
                "PerseusPrimitives",
            ]),
        swiftTests("Launch", ["PerseusLaunch", "PerseusTransport", "PerseusPrimitives"]),
        swiftTests(
            "SoftNIC", ["PerseusSoftNIC", "PerseusTransport", "CPerseusABI", "PerseusPrimitives"]),
        swiftTests(
            "Runners",
            [
                "CPerseusABI", "CPerseusShims", "PerseusRunners", "PerseusMegakernel",
                "PerseusProxy",
                "PerseusSoftNIC", "PerseusTransport", "PerseusCheckpoints", "PerseusMoE",
                "PerseusExpertKernels", "PerseusPrimitives",
            ]),
        swiftTests("Device", ["PerseusDevice", "PerseusPrimitives"]),
        swiftTests(
            "DeviceRuns",
            [
                "CPerseusABI", "PerseusDevice", "PerseusDeviceRuns", "PerseusMegakernel",
                "PerseusMoE", "PerseusPrimitives", "PerseusProxy", "PerseusRunners",
            ]),
        swiftTests(
            "Benchmarks",
            [
                "CPerseusABI", "CPerseusShims", "PerseusBenchmarks", "PerseusCommandRing",
                "PerseusMoE", "PerseusPrimitives", "PerseusRunners", "PerseusSoftNIC",
            ]),
        swiftTests(
            "Experiments",
            [
                "PerseusExperiments", "PerseusLibfabric", "PerseusRunners", "PerseusProxy",
                "PerseusSoftNIC", "PerseusPrimitives",
            ], data: ["Golden"]),
        swiftTests(
            "CommandLine", ["PerseusCommandLine", "PerseusPrimitives"], data: ["Golden"]),
        // Depends on the executable so that it is built; the tests start it as a person would.
        swiftTests("EndToEnd", ["perseus"]),
        swiftTests("Tidy", [], data: ["imports.txt"]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu17
)
