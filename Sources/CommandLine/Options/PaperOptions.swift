// The values of `perseus simulate paper` and `perseus simulate calibrate`.

import PerseusPrimitives

/// Everything `perseus simulate paper` or `calibrate` was told.
public struct PaperOptions: Equatable, Sendable {
    /// nil: one per core.
    public var threadCount: Int?
    /// What each part of `perseus-plus` buys, too; never for `calibrate`.
    public var goesBeyond: Bool
    public var jsonPath: String?
    /// Directory of the figures; nil: none are drawn. `calibrate` has none.
    public var plotsPath: String?

    init(_ given: ParsedArguments) throws(PerseusError) {
        threadCount = try given.value(of: PaperDeclaration.threads)
        goesBeyond = given.isGiven(PaperDeclaration.beyond)
        jsonPath = try given.value(of: CommonOptions.json)
        plotsPath = try given.value(of: PaperDeclaration.plots)
    }
}

/// Declares `perseus simulate paper` and `perseus simulate calibrate`.
enum PaperDeclaration {
    static let threads = CommandOption(
        "threads", .integer(in: 1...4096), absent: "one per core",
        help: "Points that are simulated at the same time.")

    static let beyond = CommandFlag(
        "beyond",
        help:
            "Also what each part of perseus-plus buys over the paper's system, at 2 to 256 nodes; "
            + "takes a minute or two more.")

    static let plots = CommandOption(
        "plots", .directory,
        help: "Also draw the experiments as figures: DIR gets an SVG, a PNG and a CSV of each, and "
            + "is made where it does not exist. Needs gnuplot; takes about a minute more.")

    static let command = CommandDeclaration(
        path: "perseus simulate paper",
        summary: "every number that the paper reports beside ours, and every trend",
        discussion: "Runs the paper's experiments on the virtual clock and prints the reported "
            + "value, ours and their ratio; which rows were fitted to, which are predictions, and "
            + "which settings are our assumption. Exits with 1 when the prediction is worse than "
            + "it promises.",
        groups: [
            OptionGroup(
                title: "Options",
                entries: [
                    beyond.entry, plots.entry, threads.entry, CommonOptions.json.entry,
                ])
        ],
        examples: [
            CommandExample(purpose: "The comparison:", line: "perseus simulate paper"),
            CommandExample(
                purpose: "With its figures:", line: "perseus simulate paper --plots figures"),
            CommandExample(
                purpose: "Kept as JSON:", line: "perseus simulate paper --json paper.json"),
        ])

    static let calibration = CommandDeclaration(
        path: "perseus simulate calibrate",
        summary: "redo the fit of the profiles to eight reported numbers",
        discussion: "Changes one parameter for each of eight numbers of the paper until they come "
            + "out as reported, and prints the values. The built-in profiles hold the result; "
            + "nothing is written to them.",
        groups: [
            OptionGroup(title: "Options", entries: [threads.entry, CommonOptions.json.entry])
        ],
        examples: [
            CommandExample(purpose: "Redo the fit:", line: "perseus simulate calibrate"),
            CommandExample(
                purpose: "With exact values, as JSON:",
                line: "perseus simulate calibrate --json fit.json"),
            CommandExample(
                purpose: "On one core, beside other work:",
                line: "perseus simulate calibrate --threads 1"),
        ])
}
