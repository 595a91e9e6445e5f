// The data of a figure as comma-separated values: one line for each point.

extension Figure {
    /// `series,x,y` with the axes' labels in the first line, and the category's name for `x` where there is one.
    ///
    /// Numbers read back as equal values; lines end in a line feed, and fields are quoted as RFC 4180 says.
    var table: String {
        var lines = [["series", x.label, y.label]]
        for one in series {
            for point in one.points {
                let place = categories.map { $0[Int(point.x)] } ?? plainNumber(point.x)
                lines.append([one.name, place, plainNumber(point.y)])
            }
        }
        return lines.map { $0.map(quoted).joined(separator: ",") + "\n" }.joined()
    }
}

private func quoted(_ field: String) -> String {
    guard field.utf8.contains(where: { ",\"\r\n".utf8.contains($0) }) else { return field }
    return "\"\(field.replacing("\"", with: "\"\""))\""
}

/// The shortest decimal that reads back as `value`: `8`, `0.25`, `1e-05`.
func plainNumber(_ value: Double) -> String {
    let text = "\(value)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}
