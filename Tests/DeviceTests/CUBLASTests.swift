// Where cuBLAS is looked for, and how its version is told.

import Testing

@testable import PerseusDevice

@Suite struct CUBLASTests {
    @Test func aFolderOrALibraryMayBeNamed() {
        let isFolder = { (path: String) in path == "/cu13/lib" }
        #expect(
            CUBLAS.candidates(named: "/cu13/lib", isFolder: isFolder)
                == ["/cu13/lib/libcublas.so.13", "/cu13/lib/libcublas.so.12"])
        #expect(CUBLAS.candidates(named: "/x/mine.so", isFolder: isFolder) == ["/x/mine.so"])
        for named in [nil, ""] {
            #expect(
                CUBLAS.candidates(named: named, isFolder: isFolder).prefix(2)
                    == ["libcublas.so.13", "libcublas.so.12"])
        }
    }

    @Test func versionsReadAsTheyAreWritten() {
        #expect(CUBLAS.text(ofVersion: 130_002) == "13.0.2")
        #expect(CUBLAS.text(ofVersion: 120_804) == "12.8.4")
    }
}
