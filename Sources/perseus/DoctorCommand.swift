// `perseus doctor`: what this machine offers, and what each missing thing would need.

import PerseusCommandLine
import PerseusPrimitives

/// A report on the standard output stands there alone.
func executeDoctor(_ options: DoctorOptions) throws {
    let doctor = Doctor()
    let text = options.jsonPath == "-" ? TextStream.error : .output
    try text.write(Doctor.text(doctor.examine()))
    if let path = options.jsonPath { try writeJSON(doctor.report(), to: path) }
}
