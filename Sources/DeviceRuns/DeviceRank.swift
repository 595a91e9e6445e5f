// A rank whose roles run on a device, as a runner of proxies sees it.

import CPerseusABI
import CPerseusShims
import PerseusMegakernel

/// Stands for a rank of the megakernel: it pushes and observes by itself, and its end shows in memory that it writes.
final class DeviceRank: DispatchOnlyKernel {
    /// The end of the last round; zero until then. In memory that the device writes.
    private let end: UnsafeMutablePointer<UInt64>
    private let rank: Int

    init(rank: Int, end: UnsafeMutablePointer<UInt64>) {
        self.rank = rank
        self.end = end
    }

    var isDone: Bool { perseus_load_acquire(end) != 0 }
    var missing: String? { isDone ? nil : "end of its last round on the device" }

    func dispatch() -> RoleStep { RoleStep() }
}
