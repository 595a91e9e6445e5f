// The result of a compilation, and what the assembler said about each kernel.

/// Device code for one GPU architecture.
public struct CompiledKernels: Equatable, Sendable {
    public var cubin: [UInt8]
    /// The compiler's messages, with the assembler's account of resources.
    public var log: String

    public init(cubin: [UInt8], log: String) {
        self.cubin = cubin
        self.log = log
    }

    /// What each kernel uses, in the order of the log.
    public var resources: [KernelResources] { KernelResources.parse(log) }
}

/// What one kernel uses.
public struct KernelResources: Equatable, Sendable {
    public var name: String
    public var registers = 0
    /// Bytes of a thread's stack.
    public var stackBytes = 0
    /// Bytes of registers that a thread stores to and loads from its stack.
    public var spillStoreBytes = 0
    public var spillLoadBytes = 0
    /// Shared memory that does not depend on the launch.
    public var sharedBytes = 0

    public var spills: Bool { spillStoreBytes > 0 || spillLoadBytes > 0 }

    /// Reads the lines that `-v` makes the assembler write, which differ little between versions:
    /// a line names the kernel, and numbers stand before the words that explain them. What a
    /// function that was not inlined spills counts for the kernel above it.
    static func parse(_ log: String) -> [KernelResources] {
        var kernels: [KernelResources] = []
        for line in log.split(separator: "\n") where !line.contains("warning") {
            if line.contains("Compiling entry function") {
                let quoted = line.split(separator: "'", omittingEmptySubsequences: false)
                guard quoted.count > 1 else { continue }
                kernels.append(KernelResources(name: String(quoted[1])))
            }
            guard !kernels.isEmpty else { continue }
            let fields: [(words: String, field: WritableKeyPath<KernelResources, Int>)] = [
                (" bytes stack frame", \.stackBytes), (" bytes spill stores", \.spillStoreBytes),
                (" bytes spill loads", \.spillLoadBytes), (" registers", \.registers),
                (" bytes smem", \.sharedBytes),
            ]
            for (words, field) in fields {
                guard let value = number(before: words, in: line) else { continue }
                kernels[kernels.count - 1][keyPath: field] += value
            }
        }
        return kernels
    }

    private static func number(before words: String, in line: Substring) -> Int? {
        guard let range = line.firstRange(of: words) else { return nil }
        let digits = line[..<range.lowerBound].reversed().prefix { $0.isNumber }.reversed()
        return Int(String(digits))
    }
}
