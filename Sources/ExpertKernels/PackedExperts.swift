// Stage 9 of 10 — multiply: the experts of one rank in the layout of one kernel variant.
// Upstream:   Processor.swift
// Downstream: Processor+Combine.swift

import CExpertKernels
import PerseusMoE
import PerseusPrimitives

/// Computes y = W_down · act(W_gate · x, W_up · x) for rows of bfloat16.
///
/// Numbers: binary32 accumulation over ascending k; the activated intermediate and the output are
/// rounded once each, to nearest even. NaN inputs give NaN outputs in their row.
///
/// **Row invariance:** the bits of an output row depend on that row, its expert and the variant
/// only: not on how many rows are multiplied together, on the row's position, or on what the other
/// rows hold.
///
/// Threading: immutable after `init`; `multiply` may run on any number of threads, each with its
/// own scratch.
public final class PackedExperts: @unchecked Sendable {
    /// Most rows of one multiplication: two segments of 64.
    public static let maximumRows = Int(PERSEUS_EXPERT_MAX_ROWS)

    public let variant: ExpertKernelVariant
    public let expertCount: Int
    public let dimensions: ExpertDimensions
    public let activation: ExpertActivation
    /// Bytes of scratch one caller needs, to be aligned to 64 bytes.
    public let scratchByteCount: Int

    /// Those that were packed; the others cannot be multiplied.
    private let packedRange: Range<Int>
    private let memory: MappedMemory
    private let expertByteCount: Int
    private let kernel: UnsafePointer<perseus_expert_kernel>
    private let shape: UnsafeMutablePointer<perseus_expert_shape>

    /// Bytes of all packed experts.
    public var byteCount: Int { memory.byteCount }

    /// Loads and packs every expert of `source`, or those of `experts`.
    ///
    /// - Parameters:
    ///   - threads: how many experts are loaded and packed at once; no effect on the result.
    ///   - experts: of a rank that owns these only; their numbers stay those of `source`.
    /// - Throws: `.badInput` for sizes that are not multiples of 8; `.environment` when the machine
    ///   lacks the variant or the memory (checked before any is taken); whatever the source throws,
    ///   for the lowest expert that failed.
    public convenience init(
        source: some ExpertWeightSource, activation: ExpertActivation,
        variant: ExpertKernelVariant = .best, threads: Int = 2, experts: Range<Int>? = nil
    ) throws {
        try self.init(
            source: source, activation: activation, variant: variant, threads: threads,
            experts: experts, availableByteCount: availableMemory())
    }

    init(
        source: some ExpertWeightSource, activation: ExpertActivation, variant: ExpertKernelVariant,
        threads: Int, experts: Range<Int>? = nil, availableByteCount: Int
    ) throws {
        precondition(threads >= 1, "PackedExperts: threads must be positive")
        let packedRange = experts ?? 0..<source.expertCount
        precondition(
            packedRange.lowerBound >= 0 && packedRange.upperBound <= source.expertCount,
            "PackedExperts: no such experts")
        try source.dimensions.validate()
        guard let kernel = variant.kernel else {
            throw PerseusError(
                .environment, "this machine cannot run the \(variant.rawValue) expert kernels")
        }
        var shape = perseus_expert_shape(source.dimensions, activation)
        let expertByteCount = kernel.pointee.packed_byte_count(&shape)
        let workers = max(1, min(threads, packedRange.count))
        let total = max(1, packedRange.count) * expertByteCount
        let staging = ExpertWeightBuffer.byteCount(source.dimensions, hasBias: source.hasBias)
        try requireMemory(
            total + workers * staging, available: availableByteCount, purpose: "expert weights")
        memory = try MappedMemory(byteCount: total, purpose: "expert weights")
        self.variant = variant
        self.expertCount = source.expertCount
        self.packedRange = packedRange
        self.dimensions = source.dimensions
        self.activation = activation
        self.kernel = kernel
        self.expertByteCount = expertByteCount
        self.scratchByteCount = kernel.pointee.scratch_byte_count(&shape)
        self.shape = .allocate(capacity: 1)
        self.shape.initialize(to: shape)
        try packExperts(of: source, threads: workers)
    }

    deinit {
        shape.deallocate()
    }

    private func packExperts(of source: some ExpertWeightSource, threads: Int) throws {
        try runOnThreads(threads, itemCount: packedRange.count) { items in
            let storage = ExpertWeightStorage(
                dimensions: source.dimensions, hasBias: source.hasBias)
            let buffer = storage.buffer
            for item in items {
                let expert = self.packedRange.lowerBound + item
                do {
                    try source.load(expert: expert, into: buffer)
                } catch {
                    return (item, error)
                }
                var published = buffer.published
                self.kernel.pointee.pack(self.shape, &published, self.packed(expert))
            }
            return nil
        }
    }

    private func packed(_ expert: Int) -> UnsafeMutableRawPointer {
        memory.address + (expert - packedRange.lowerBound) * expertByteCount
    }

    // MARK: Hot path

    /// Multiplies contiguous rows; allocates nothing.
    ///
    /// - Parameters:
    ///   - input: [rows, hidden], rows `inputStride` elements apart.
    ///   - rows: 1 ... `maximumRows`.
    ///   - output: [rows, hidden], rows `outputStride` elements apart; overlaps no input.
    ///   - scratch: `scratchByteCount` bytes aligned to 64, of this caller alone; contents
    ///     irrelevant.
    public func multiply(
        expert: Int, input: UnsafePointer<BFloat16Bits>, inputStride: Int, rows: Int,
        output: UnsafeMutablePointer<BFloat16Bits>, outputStride: Int,
        scratch: UnsafeMutableRawPointer
    ) {
        check(expert: expert, rows: rows, scratch: scratch)
        perseus_expert_multiply_contiguous(
            kernel, shape, packed(expert), input, inputStride, Int32(truncatingIfNeeded: rows),
            output,
            outputStride, scratch)
    }

    /// Multiplies rows that lie anywhere, for example two segments of different sources: the
    /// weights are streamed once for all of them. Allocates nothing.
    ///
    /// - Parameters:
    ///   - rowPointers: `rows` addresses of [hidden] inputs.
    ///   - rows: 1 ... `maximumRows`.
    ///   - outputPointers: `rows` addresses of [hidden] outputs; they overlap neither inputs nor
    ///     each other.
    ///   - scratch: `scratchByteCount` bytes aligned to 64, of this caller alone; contents
    ///     irrelevant.
    public func multiply(
        expert: Int, rowPointers: UnsafePointer<UnsafePointer<BFloat16Bits>>, rows: Int,
        outputPointers: UnsafePointer<UnsafeMutablePointer<BFloat16Bits>>,
        scratch: UnsafeMutableRawPointer
    ) {
        check(expert: expert, rows: rows, scratch: scratch)
        // C's pointers may be null and ours may not; in memory they are the same.
        let inputs = UnsafeRawPointer(rowPointers)
            .assumingMemoryBound(to: UnsafePointer<BFloat16Bits>?.self)
        let outputs = UnsafeRawPointer(outputPointers)
            .assumingMemoryBound(to: UnsafeMutablePointer<BFloat16Bits>?.self)
        perseus_expert_multiply_rows(
            kernel, shape, packed(expert), inputs, Int32(truncatingIfNeeded: rows), outputs, scratch
        )
    }

    private func check(expert: Int, rows: Int, scratch: UnsafeMutableRawPointer) {
        precondition(packedRange.contains(expert), "PackedExperts: no such expert")
        precondition(
            rows >= 1 && rows <= Int(PERSEUS_EXPERT_MAX_ROWS), "PackedExperts: 1 to 128 rows")
        precondition(
            UInt(bitPattern: scratch) % 64 == 0, "PackedExperts: scratch is not aligned to 64")
    }
}

extension perseus_expert_shape {
    /// The C form of a layer's sizes and activation.
    public init(_ dimensions: ExpertDimensions, _ activation: ExpertActivation) {
        self.init()
        hidden = Int32(dimensions.hidden)
        intermediate = Int32(dimensions.intermediate)
        switch activation {
        case .silu:
            self.activation = Int32(PERSEUS_ACTIVATION_SILU.rawValue)
        case .clampedSwiGLU(let alpha, let limit):
            self.activation = Int32(PERSEUS_ACTIVATION_CLAMPED_SWIGLU.rawValue)
            self.alpha = alpha
            self.limit = limit
        }
    }
}
