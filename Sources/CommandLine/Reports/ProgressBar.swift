// How far long work is and how long it may still take, as one line of text.

/// `[##########----------] 48 of 96, 1:20, about 1:10 left`
public struct ProgressBar {
    public var done: Int
    public var total: Int
    /// Share of the work, 0 to 1; the rest is estimated from it.
    public var share: Double
    public var elapsedSeconds: Double

    public init(done: Int, total: Int, share: Double, elapsedSeconds: Double) {
        self.done = done
        self.total = total
        self.share = share
        self.elapsedSeconds = elapsedSeconds
    }

    private static let width = 20

    public var text: String {
        let filled = total > 0 ? done * Self.width / total : 0
        let bar =
            String(repeating: "#", count: filled)
            + String(repeating: "-", count: Self.width - filled)
        let rest =
            share > 0 ? ", about \(Quantity.clock(elapsedSeconds * (1 / share - 1))) left" : ""
        return "[\(bar)] \(Quantity.count(done)) of \(Quantity.count(total)),"
            + " \(Quantity.clock(elapsedSeconds))\(rest)"
    }
}
