// One device buffer for the many small tables of a rank.

/// Offsets of tables that lie one behind the other.
struct DeviceMemoryPlan {
    private(set) var byteCount = 0

    /// Room for `bytes`, at a multiple of 256.
    mutating func add(_ bytes: Int) -> Int {
        let offset = byteCount
        byteCount += (max(bytes, 1) + 255) & ~255
        return offset
    }
}
