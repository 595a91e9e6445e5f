// Writes figures as pictures and as tables; each file is complete or does not change.

import Glibc
import PerseusPrimitives

/// Draws figures into one directory with gnuplot.
///
/// Make it before the work whose results it draws: it refuses at once where gnuplot or the directory is missing.
public struct FigureWriter: Sendable {
    public let directory: String
    private let gnuplot: Gnuplot

    /// Finds gnuplot and makes `directory` where it does not exist; its parent must.
    ///
    /// - Parameter searchPath: directories that may have gnuplot, separated by colons; nil: those of `PATH`.
    /// - Throws: `environment` without gnuplot; `badInput` for a directory that cannot be written.
    public init(directory: String, searchPath: String? = nil) throws(PerseusError) {
        let path =
            searchPath ?? getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin"
        gnuplot = try Gnuplot(searchPath: path)
        self.directory = directory
        if mkdir(directory, 0o777) != 0 && errno != EEXIST { throw unwritable(directory, errno) }
        var status = stat()
        guard stat(directory, &status) == 0 else { throw unwritable(directory, errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw unwritable(directory, ENOTDIR) }
        guard access(directory, W_OK | X_OK) == 0 else { throw unwritable(directory, errno) }
    }

    /// Writes `<stem>.csv`, `<stem>.svg` and `<stem>.png`. Nothing is written before both pictures are drawn.
    ///
    /// - Returns: paths of the three files.
    /// - Throws: `badInput` for a figure that cannot be drawn, `environment` with what gnuplot or the disk says.
    @discardableResult
    public func write(_ figure: Figure) throws(PerseusError) -> [String] {
        try figure.check()
        let script = FigureScript(figure).text
        var files = [(ending: "csv", bytes: Array(figure.table.utf8))]
        for format in Gnuplot.Format.allCases {
            do {
                files.append((format.rawValue, try gnuplot.render(script, as: format)))
            } catch {
                throw PerseusError(error.kind, "figure \(figure.stem): \(error.message)")
            }
        }
        var paths: [String] = []
        for file in files {
            paths.append("\(directory)/\(figure.stem).\(file.ending)")
            try AtomicFile.write(file.bytes, to: paths[paths.count - 1])
        }
        return paths
    }
}

private func unwritable(_ directory: String, _ code: CInt) -> PerseusError {
    PerseusError(
        .badInput, "cannot write figures to \(directory): \(String(cString: strerror(code)))")
}
