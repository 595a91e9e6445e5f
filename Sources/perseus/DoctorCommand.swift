// `perseus doctor`: what this machine offers, and what each missing thing would need.

import PerseusCommandLine
import PerseusPrimitives

func executeDoctor(_ options: DoctorOptions) throws {
    let doctor = Doctor()
    print(Doctor.text(doctor.examine()), terminator: "")
    if let path = options.jsonPath { try writeJSON(doctor.report(), to: path) }
}
