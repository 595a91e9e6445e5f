// The layer's shape as compile-time constants, from the definitions that the host passes for it.
#pragma once

#include "perseus_base.h"

namespace perseus {

/// Tiles of `width` that cover `columns`.
__host__ __device__ constexpr int tiles(int columns, int width) {
    return (columns + width - 1) / width;
}

struct Shape {
    static constexpr int kHidden = PERSEUS_HIDDEN;
    static constexpr int kIntermediate = PERSEUS_INTERMEDIATE;
    /// 0: no shared expert.
    static constexpr int kSharedIntermediate = PERSEUS_SHARED_INTERMEDIATE;
    static constexpr int kExperts = PERSEUS_EXPERTS;
    static constexpr int kTopK = PERSEUS_TOP_K;
    /// Columns of an up tile (gate and up together) and of a down tile.
    static constexpr int kUpColumns = PERSEUS_UP_COLUMNS;
    static constexpr int kDownColumns = PERSEUS_DOWN_COLUMNS;
    static constexpr int kMostColumns = kUpColumns > kDownColumns ? kUpColumns : kDownColumns;
    static constexpr int kStages = PERSEUS_STAGES;
    /// GPT-OSS: min(gate, limit), clamp(up), (up + 1) x gate x sigmoid(alpha x gate).
    static constexpr bool kIsClamped = PERSEUS_CLAMPED;
    static constexpr float kClampAlpha = PERSEUS_CLAMP_ALPHA;
    static constexpr float kClampLimit = PERSEUS_CLAMP_LIMIT;
    static constexpr bool kHasBias = PERSEUS_BIAS;
    /// Llama4: the router's weight scales the expert's input, and not its output.
    static constexpr bool kScalesInput = PERSEUS_SCALES_INPUT;

    static constexpr int kRowBytes = (kHidden * 2 + 15) & ~15;
    static constexpr int kUpTiles = tiles(2 * kIntermediate, kUpColumns);
    static constexpr int kDownTiles = tiles(kHidden, kDownColumns);
    static constexpr int kSharedUpTiles = tiles(2 * kSharedIntermediate, kUpColumns);

    static_assert(kHidden % 8 == 0 && kIntermediate % 8 == 0 && kSharedIntermediate % 8 == 0,
        "rows are stored in pieces of 16 bytes");
};

}  // namespace perseus
