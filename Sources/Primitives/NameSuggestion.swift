// The nearest known name for a mistyped one, by edit distance.

/// Finds what a person probably meant.
public enum NameSuggestion {
    /// The candidate nearest to `word`, or nil when none is near enough to be worth proposing.
    ///
    /// A candidate that `word` abbreviates (three letters or more) counts as one edit away; ties go
    /// to the candidate that stands first.
    public static func nearest(to word: String, among candidates: [String]) -> String? {
        let allowedEdits = max(2, word.count / 3)
        var best: (candidate: String, edits: Int)?
        for candidate in candidates {
            var edits = editDistance(word.lowercased(), candidate.lowercased())
            if word.count >= 3, candidate.lowercased().hasPrefix(word.lowercased()) {
                edits = min(edits, 1)
            }
            // A word that shares nothing with a short candidate must not "mean" it.
            guard edits <= allowedEdits, edits < candidate.count else { continue }
            if edits < (best?.edits ?? Int.max) { best = (candidate, edits) }
        }
        return best?.candidate
    }

    /// `; did you mean X?`, or the whole list when nothing is near.
    public static func clause(for word: String, among candidates: [String]) -> String {
        if let nearest = nearest(to: word, among: candidates) {
            return "; did you mean \(nearest)?"
        }
        return candidates.isEmpty ? "" : "; known are \(candidates.joined(separator: ", "))"
    }

    /// Insertions, deletions, substitutions and swaps of neighbours that turn `left` into `right`.
    static func editDistance(_ left: String, _ right: String) -> Int {
        let left = Array(left)
        let right = Array(right)
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for row in 0..<left.count {
            var current = [row + 1]
            for column in 0..<right.count {
                let substitution = previous[column] + (left[row] == right[column] ? 0 : 1)
                var edits = min(substitution, previous[column + 1] + 1, current[column] + 1)
                let isSwap =
                    row > 0 && column > 0 && left[row] == right[column - 1]
                    && left[row - 1] == right[column]
                if isSwap { edits = min(edits, beforePrevious[column - 1] + 1) }
                current.append(edits)
            }
            beforePrevious = previous
            previous = current
        }
        return previous[right.count]
    }
}
