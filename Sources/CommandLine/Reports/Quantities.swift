// Numbers as people read them: durations, byte counts, counts, ratios.

import Foundation

/// Formats quantities; the output never depends on the locale.
public enum Quantity {
    /// `850 ns`, `12.3 us`, `4.56 ms`, `7.89 s`: three significant digits.
    public static func time(_ nanoseconds: Int) -> String {
        scaled(Double(nanoseconds), step: 1000, units: ["ns", "us", "ms", "s"])
    }

    /// `0:07`, `12:30`, `100:00:05`: minutes and seconds, and hours where there are some.
    public static func clock(_ seconds: Double) -> String {
        let whole = Int(min(max(seconds, 0), 1e15).rounded())
        let (hours, minutes) = (whole / 3600, whole / 60 % 60)
        let tail = String(format: "%02d", whole % 60)
        return hours > 0
            ? "\(hours):" + String(format: "%02d", minutes) + ":\(tail)" : "\(minutes):\(tail)"
    }

    /// `512 B`, `1.50 KiB`, `2.00 GiB`: three significant digits.
    public static func bytes(_ count: Int) -> String {
        scaled(Double(count), step: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
    }

    /// `1,234,567`.
    public static func count(_ value: Int) -> String {
        let digits = Array(String(value.magnitude))
        var text = value < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return text
    }

    /// `2.41x`.
    public static func ratio(_ value: Double) -> String {
        guard value.isFinite else { return "-" }
        return significant(value) + "x"
    }

    /// `3.1e-05`, or `-` for what was not measured.
    public static func error(_ value: Double?) -> String {
        guard let value else { return "-" }
        return value == 0 ? "0" : String(format: "%.1e", value)
    }

    private static func scaled(_ value: Double, step: Double, units: [String]) -> String {
        var value = value
        var unitIndex = 0
        // Rounding to three digits must not print 1000 us where 1.00 ms is meant.
        while value.magnitude >= step * 0.9995, unitIndex < units.count - 1 {
            value /= step
            unitIndex += 1
        }
        let number = unitIndex == 0 ? String(Int(value)) : significant(value)
        return "\(number) \(units[unitIndex])"
    }

    private static func significant(_ value: Double) -> String {
        switch value.magnitude {
        case ..<9.995: String(format: "%.2f", value)
        case ..<99.95: String(format: "%.1f", value)
        default: String(format: "%.0f", value)
        }
    }
}
