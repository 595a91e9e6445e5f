// `perseus bench`: runs one benchmark and prints its ratios.

import PerseusCommandLine
import PerseusPrimitives

func executeBench(_ options: BenchOptions) throws {
    throw PerseusError(.environment, "bench \(options.benchmark)")
}
