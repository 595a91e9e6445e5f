// Tables for people: aligned columns of plain text.

/// A table with a header; columns whose cells are all numbers are aligned at the right.
public struct TextTable: Sendable {
    private let header: [String]
    private var rows: [[String]] = []

    public init(_ header: [String]) { self.header = header }

    /// - Precondition: one cell for each column.
    public mutating func addRow(_ cells: [String]) {
        precondition(cells.count == header.count, "TextTable: a row has another number of cells")
        rows.append(cells)
    }

    /// The lines of the table, each ending with a newline; two spaces between columns.
    public func render() -> String {
        let widths = header.indices.map { column in
            rows.map { displayWidth($0[column]) }.reduce(displayWidth(header[column]), max)
        }
        let isNumeric = header.indices.map { column in rows.allSatisfy { looksNumeric($0[column]) }
        }
        return ([header] + rows).map { cells in
            var line = ""
            for column in cells.indices {
                let padding = String(
                    repeating: " ", count: widths[column] - displayWidth(cells[column]))
                if column > 0 { line += "  " }
                line += isNumeric[column] ? padding + cells[column] : cells[column] + padding
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    /// A number with or without a unit, or a dash for a missing one.
    private func looksNumeric(_ cell: String) -> Bool {
        guard let first = cell.drop(while: { "+-.".contains($0) }).first else { return true }
        return first.isASCII && first.isNumber
    }
}

/// Columns that a terminal uses for `text`.
func displayWidth(_ text: String) -> Int {
    text.reduce(0) { $0 + displayWidth($1) }
}

/// A character is as wide as its widest scalar: marks add nothing, ideographs and emoji take two
/// columns.
private func displayWidth(_ character: Character) -> Int {
    character.unicodeScalars.reduce(0) { max($0, displayWidth($1)) }
}

private func displayWidth(_ scalar: Unicode.Scalar) -> Int {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format, .control: return 0
    default: break
    }
    let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
        0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x20000...0x3FFFD,
    ]
    let isWide =
        scalar.properties.isEmojiPresentation || wide.contains { $0.contains(scalar.value) }
    return isWide ? 2 : 1
}
