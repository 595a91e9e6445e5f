// The instruction sets an expert kernel exists for, and which of them this machine runs.

import CExpertKernels

/// One implementation of the expert kernels.
///
/// All of them are row-invariant (see `PackedExperts`). `avx512f` and `avx2` produce the same bits;
/// `portable` produces the same bits on every machine; `avx512bf16` adds products in pairs and
/// agrees within rounding.
public enum ExpertKernelVariant: String, CaseIterable, Sendable {
    case avx512bf16, avx512f, avx2, portable

    /// The variants that processor, operating system and build allow, best first. Never empty.
    public static var available: [ExpertKernelVariant] {
        allCases.filter { $0.kernel != nil }
    }

    public static var best: ExpertKernelVariant { available[0] }

    /// Entry points of the variant; nil when this machine cannot run it.
    public var kernel: UnsafePointer<perseus_expert_kernel>? {
        perseus_expert_kernel(code)
    }

    private var code: perseus_expert_variant {
        switch self {
        case .avx512bf16: PERSEUS_VARIANT_AVX512BF16
        case .avx512f: PERSEUS_VARIANT_AVX512F
        case .avx2: PERSEUS_VARIANT_AVX2
        case .portable: PERSEUS_VARIANT_PORTABLE
        }
    }
}
