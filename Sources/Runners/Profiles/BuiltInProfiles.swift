// The profiles that come with the program: files in this folder, embedded by the build.

import PerseusPrimitives

extension ProfileDocument {
    /// All built-in profiles, the default first; each file may be based on those before it.
    public static let builtIn: [ProfileDocument] = {
        let files = [
            ("perlmutter-slingshot11", PackageResources.perlmutter_slingshot11_profile),
            ("h100-connectx7", PackageResources.h100_connectx7_profile),
            ("roce-adaptive", PackageResources.roce_adaptive_profile),
            ("efa-srd", PackageResources.efa_srd_profile),
            ("ideal", PackageResources.ideal_profile),
            ("h100-connectx7-one-qp", PackageResources.h100_connectx7_one_qp_profile),
        ]
        var documents: [ProfileDocument] = []
        for (name, bytes) in files {
            do {
                documents.append(
                    try ProfileParser.parse(bytes, file: "\(name).profile", bases: documents))
            } catch {
                preconditionFailure("ProfileDocument: \(error)")
            }
        }
        return documents
    }()

    /// The built-in profile called `name`, nil when there is none.
    public static func builtIn(named name: String) -> ProfileDocument? {
        builtIn.first { $0.profile.name == name }
    }
}

extension Profile {
    /// All built-in profiles, the default first.
    public static let builtIn = ProfileDocument.builtIn.map(\.profile)

    public static func named(_ name: String) -> Profile? { builtIn.first { $0.name == name } }
}
