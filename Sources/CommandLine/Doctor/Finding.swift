// One thing that a machine has or lacks, and what to type to get it.

/// The report of `perseus doctor`.
public typealias DoctorReport = Report<MachineContext, Finding>

/// A line of the doctor.
public struct Finding: Codable, Equatable, Sendable {
    /// Heading under which it stands.
    public var area: String
    public var name: String
    public var isPresent: Bool
    /// What was found: a version, a size, a number of devices, or why it cannot be used.
    public var detail: String
    /// What it makes possible.
    public var enables: String
    /// The command that gets it; null when nothing is missing or nothing can be installed.
    @Nullable public var remedy: String?

    init(
        _ area: Area, _ name: String, found detail: String?, enables: String, remedy: String? = nil,
        problem: String = "not found"
    ) {
        self.area = area.rawValue
        self.name = name
        isPresent = detail != nil
        self.detail = detail ?? problem
        self.enables = enables
        _remedy = Nullable(wrappedValue: detail == nil ? remedy : nil)
    }

    enum Area: String, CaseIterable {
        case processor = "Processor"
        case memory = "Memory"
        case gpu = "GPU"
        case network = "Network"
        case tools = "Tools"
    }
}
