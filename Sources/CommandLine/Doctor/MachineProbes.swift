// Every question that is asked about the machine, as replaceable functions.

/// A shared library that some part of Perseus can use.
public enum ProbedLibrary: CaseIterable, Sendable {
    case cudaDriver
    case nvrtc
    case verbs
    case libfabric
    case pmix
    case openBLAS
}

/// What was found out about a library or a device behind it.
public enum LibraryState: Equatable, Sendable {
    case missing
    /// The library is there but its device or version call failed; the text says how.
    case unusable(String)
    /// Version or devices.
    case present(String)
}

/// The only doors from the doctor to the machine; tests replace them.
public struct MachineProbes: Sendable {
    /// Whole text of a small file, nil when it cannot be read.
    public var readFile: @Sendable (String) -> String?
    /// Names in a directory, sorted; empty when it cannot be read.
    public var listDirectory: @Sendable (String) -> [String]
    public var library: @Sendable (ProbedLibrary) -> LibraryState
    /// Path of a program in PATH.
    public var program: @Sendable (String) -> String?
    /// Free bytes of the file system that holds a path, nil when there is none.
    public var freeBytes: @Sendable (String) -> UInt64?
    /// Processors that this process may use.
    public var usableProcessorCount: @Sendable () -> Int
    /// Standard output of a program, trimmed; nil when it fails.
    public var output: @Sendable ([String]) -> String?
}
