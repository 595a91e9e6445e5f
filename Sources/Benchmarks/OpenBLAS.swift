// OpenBLAS as a baseline, found at run time; the package neither builds nor links against it.

import Glibc

/// The single-threaded sgemm of the system's `libopenblas.so.0`.
struct OpenBLAS {
    /// Of cblas_sgemm: layout, transpositions, sizes, alpha, A, lda, B, ldb, beta, C, ldc.
    private typealias Multiply =
        @convention(c) (
            Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>, Int32,
            UnsafePointer<Float>, Int32, Float, UnsafeMutablePointer<Float>, Int32
        ) -> Void

    private let multiply: Multiply

    /// Nil when the library is not installed or lacks one of its functions.
    init?() {
        guard let library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL),
            let multiply = dlsym(library, "cblas_sgemm"),
            let setThreads = dlsym(library, "openblas_set_num_threads")
        else { return nil }
        unsafeBitCast(setThreads, to: (@convention(c) (Int32) -> Void).self)(1)
        self.multiply = unsafeBitCast(multiply, to: Multiply.self)
    }

    /// c[m, n] = Σ_k a[m, k] · b[n, k] on row-major matrices without gaps.
    func multiplyTransposed(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into c: UnsafeMutablePointer<Float>,
        m: Int, n: Int, k: Int
    ) {
        let rowMajor: Int32 = 101
        let plain: Int32 = 111
        let transposed: Int32 = 112
        let (m, n, k) = (Int32(m), Int32(n), Int32(k))
        multiply(rowMajor, plain, transposed, m, n, k, 1, a, k, b, k, 0, c, n)
    }
}
