// `perseus run` where ranks are processes: the launcher that starts them, and one of them.

import Foundation
import PerseusCommandLine
import PerseusLaunch
import PerseusPrimitives

extension RunOptions {
    /// The launcher's number of ranks, and the rules of a job of processes.
    ///
    /// - Errors: `badInput` when the command line says otherwise.
    mutating func settle(_ launch: LaunchEnvironment) throws(PerseusError) {
        if ranksAreGiven && rankCount != launch.size {
            throw PerseusError(
                .badInput, "--ranks \(rankCount), and the launcher started \(launch.size) processes"
            )
        }
        if case .perRank(let counts) = tokens, counts.count != launch.size {
            throw PerseusError(
                .badInput, "--tokens lists \(counts.count) counts for \(launch.size) ranks")
        }
        rankCount = launch.size
        self.launch = "processes"
        try settleProcesses()
    }
}

extension RunCommand {
    /// One rank of a job: meets the others, takes its part in the layer, and says what it failed of.
    func executeRank(_ launch: LaunchEnvironment) throws {
        Interruption.watch()
        try launch.endWithLauncher()
        var group: ProcessGroup?
        do {
            let plan = try makePlan()
            // Before anybody has taken any: the ranks share this machine's memory.
            try plan.requireMemory()
            let joined = try ProcessGroup.join(
                launch, agreement: agreement(plan),
                deadline: UInt64(options.deadlineMilliseconds) * 1_000_000,
                isInterrupted: { Interruption.isAskedFor })
            group = joined
            try executeLayer(plan, group: joined)
            joined.leave(failure: nil)
        } catch let error as PerseusError {
            if Interruption.isAskedFor {
                group?.leave(failure: "interrupted")
                Interruption.endProcess()
            }
            let firstLine = error.reason.split(separator: "\n").first.map(String.init)
            group?.leave(failure: firstLine ?? error.reason)
            throw PerseusError(error.kind, "rank \(launch.rank): \(error.reason)", hint: error.hint)
        }
    }

    /// Starts a process for each rank and waits for all of them; what they print is theirs.
    func superviseRanks() throws {
        Interruption.watch()
        // What every rank would refuse is refused once, before any is started.
        try makePlan().requireMemory()
        let deadline = UInt64(options.deadlineMilliseconds) * 1_000_000
        var launcher = ProcessLauncher(
            rankCount: options.rankCount, arguments: Array(CommandLine.arguments.dropFirst()),
            environment: ProcessInfo.processInfo.environment, grace: deadline + 2_000_000_000,
            isInterrupted: { Interruption.signal })
        let ending = try launcher.run()
        if ending.wasInterrupted { Interruption.endProcess() }
        for line in ending.lines { try TextStream.error.writeLine("perseus run: \(line)") }
        if ending.status != 0 {
            fflush(nil)
            exit(ending.status)
        }
    }
}
