// The expert kernel, written once. The including file names the instruction set:
//   KERNEL_NAME, LANES (floats per vector), BLOCK_ROWS (rows that fit the registers),
//   K_STEP (elements of k per operand), OPERATIONS_PER_LANE (of one multiply_accumulate),
//   the types floats, weights and operand, and make_operand, load_weights, multiply_accumulate.
//
// Packed weights: panels of PANEL_COLUMNS columns; inside a panel k runs in steps of K_STEP, and a
// step holds K_STEP elements of each column. A gate-and-up panel has LANES gate columns and then
// the LANES up columns of the same intermediate elements, so that the activation happens where the
// sums are.

#include "expert_vector_math.h"
#include "perseus_expert_kernels.h"

#define PANEL_COLUMNS (2 * LANES)

VECTOR_FUNCTION int divide_up(int value, int divisor) { return (value + divisor - 1) / divisor; }

VECTOR_FUNCTION size_t align_up(size_t byte_count) { return (byte_count + 63) & ~(size_t)63; }

// MARK: Layout

/// Where the parts of one packed expert lie; counts of elements, offsets in bytes.
struct layout {
    int gate_up_panels;
    int down_panels;
    /// Elements of one panel.
    size_t gate_up_stride;
    size_t down_stride;
    size_t down_offset;
    size_t gate_up_bias_offset;
    size_t down_bias_offset;
    size_t byte_count;
};

static struct layout make_layout(const struct perseus_expert_shape *shape) {
    struct layout layout;
    layout.gate_up_panels = divide_up(shape->intermediate, LANES);
    layout.down_panels = divide_up(shape->hidden, PANEL_COLUMNS);
    layout.gate_up_stride = (size_t)shape->hidden * PANEL_COLUMNS;
    layout.down_stride = (size_t)shape->intermediate * PANEL_COLUMNS;
    layout.down_offset = align_up(layout.gate_up_panels * layout.gate_up_stride * sizeof(uint16_t));
    layout.gate_up_bias_offset =
        layout.down_offset + align_up(layout.down_panels * layout.down_stride * sizeof(uint16_t));
    layout.down_bias_offset = layout.gate_up_bias_offset
        + align_up((size_t)layout.gate_up_panels * PANEL_COLUMNS * sizeof(float));
    layout.byte_count = layout.down_bias_offset
        + align_up((size_t)layout.down_panels * PANEL_COLUMNS * sizeof(float));
    return layout;
}

static size_t packed_byte_count(const struct perseus_expert_shape *shape) {
    return make_layout(shape).byte_count;
}

// MARK: Packing

/// Copies up to `count` rows of `source` [rows, k_count] into columns of a panel from
/// `first_column`.
static void pack_columns(
    const uint16_t *source, int count, int k_count, int first_column, uint16_t *panel) {
    // 32 elements of k at a time: one cache line of each row is read whole.
    for (int k_tile = 0; k_tile < k_count; k_tile += 32) {
        int k_end = k_tile + 32 < k_count ? k_tile + 32 : k_count;
        for (int column = 0; column < count; column++) {
            const uint16_t *row = source + (size_t)column * k_count;
            for (int k = k_tile; k < k_end; k += K_STEP) {
                uint16_t *step = panel + (size_t)k * PANEL_COLUMNS;
                memcpy(step + (first_column + column) * K_STEP, row + k, K_STEP * sizeof *row);
            }
        }
    }
}

static void pack_bias(const float *source, int count, float *target) {
    if (source != NULL) {
        memcpy(target, source, count * sizeof *target);
    }
}

static void pack(
    const struct perseus_expert_shape *shape, const struct perseus_expert_weights *published,
    void *packed) {
    struct layout layout = make_layout(shape);
    memset(packed, 0, layout.byte_count);
    uint16_t *gate_up = packed;
    uint16_t *down = (uint16_t *)((char *)packed + layout.down_offset);
    float *gate_up_bias = (float *)((char *)packed + layout.gate_up_bias_offset);
    float *down_bias = (float *)((char *)packed + layout.down_bias_offset);
    for (int panel = 0; panel < layout.gate_up_panels; panel++) {
        int first = panel * LANES;
        int count = shape->intermediate - first < LANES ? shape->intermediate - first : LANES;
        size_t offset = (size_t)first * shape->hidden;
        uint16_t *target = gate_up + panel * layout.gate_up_stride;
        pack_columns(published->gate + offset, count, shape->hidden, 0, target);
        pack_columns(published->up + offset, count, shape->hidden, LANES, target);
        float *bias = gate_up_bias + panel * PANEL_COLUMNS;
        pack_bias(published->gate_bias ? published->gate_bias + first : NULL, count, bias);
        pack_bias(published->up_bias ? published->up_bias + first : NULL, count, bias + LANES);
    }
    for (int panel = 0; panel < layout.down_panels; panel++) {
        int first = panel * PANEL_COLUMNS;
        int count = shape->hidden - first < PANEL_COLUMNS ? shape->hidden - first : PANEL_COLUMNS;
        const uint16_t *source = published->down + (size_t)first * shape->intermediate;
        pack_columns(source, count, shape->intermediate, 0, down + panel * layout.down_stride);
    }
    pack_bias(published->down_bias, shape->hidden, down_bias);
}

// MARK: Row blocks

/// Rows are divided into as few blocks as the registers allow, all of nearly one size.
VECTOR_FUNCTION int block_count(int row_count) { return divide_up(row_count, BLOCK_ROWS); }

VECTOR_FUNCTION int block_start(int block, int row_count) {
    return block * row_count / block_count(row_count);
}

/// Left operands of one block: for each step of k, one operand per row.
static void pack_block(
    const uint16_t *const *rows, int row_count, int step_count, operand *restrict block) {
    for (int tile = 0; tile < step_count; tile += 16) {
        int tile_end = tile + 16 < step_count ? tile + 16 : step_count;
        for (int row = 0; row < row_count; row++) {
            const uint16_t *source = rows[row];
            for (int step = tile; step < tile_end; step++) {
                block[(size_t)step * row_count + row] = make_operand(source + step * K_STEP);
            }
        }
    }
}

static void pack_rows(const uint16_t *const *rows, int row_count, int step_count, operand *packed) {
    for (int block = 0; block < block_count(row_count); block++) {
        int first = block_start(block, row_count);
        int last = block_start(block + 1, row_count);
        pack_block(rows + first, last - first, step_count, packed + (size_t)first * step_count);
    }
}

// MARK: Hot path

/// sums[row, column] = Σ_k left[row, k] · panel[k, column], k ascending. `row_count` is a constant
/// wherever this is inlined, so the sums live in registers.
VECTOR_FUNCTION void accumulate(
    const operand *restrict left, int row_count, const uint16_t *restrict panel, int step_count,
    floats (*restrict sums)[2]) {
    floats registers[BLOCK_ROWS][2];
#pragma clang loop unroll(full)
    for (int row = 0; row < row_count; row++) {
        registers[row][0] = registers[row][1] = (floats)0.0f;
    }
    for (int step = 0; step < step_count; step++) {
        weights right0 = load_weights(panel);
        weights right1 = load_weights(panel + LANES * K_STEP);
#pragma clang loop unroll(full)
        for (int row = 0; row < row_count; row++) {
            registers[row][0] = multiply_accumulate(registers[row][0], left[row], right0);
            registers[row][1] = multiply_accumulate(registers[row][1], left[row], right1);
        }
        left += row_count;
        panel += PANEL_COLUMNS * K_STEP;
    }
#pragma clang loop unroll(full)
    for (int row = 0; row < row_count; row++) {
        sums[row][0] = registers[row][0];
        sums[row][1] = registers[row][1];
    }
}

#define ACCUMULATE_CASE(rows)                                                                      \
    case rows:                                                                                     \
        accumulate(left, rows, panel, step_count, sums);                                           \
        break;

/// One block of 1 ... BLOCK_ROWS rows against one panel.
static void accumulate_block(
    const operand *left, int row_count, const uint16_t *panel, int step_count, floats (*sums)[2]) {
    switch (row_count) {
        ACCUMULATE_CASE(1)
        ACCUMULATE_CASE(2)
        ACCUMULATE_CASE(3)
        ACCUMULATE_CASE(4)
        ACCUMULATE_CASE(5)
        ACCUMULATE_CASE(6)
#if BLOCK_ROWS == 13
        ACCUMULATE_CASE(7)
        ACCUMULATE_CASE(8)
        ACCUMULATE_CASE(9)
        ACCUMULATE_CASE(10)
        ACCUMULATE_CASE(11)
        ACCUMULATE_CASE(12)
        ACCUMULATE_CASE(13)
#endif
    }
}

VECTOR_FUNCTION floats load_bias(const float *bias) {
    floats value;
    memcpy(&value, bias, sizeof value);
    return value;
}

/// Bias, activation, rounding: LANES intermediate elements of each row of a block.
static void activate_block(
    const struct perseus_expert_shape *shape, floats (*sums)[2], int row_count, const float *bias,
    uint16_t *target, size_t target_stride) {
    floats gate_bias = load_bias(bias), up_bias = load_bias(bias + LANES);
    for (int row = 0; row < row_count; row++) {
        floats gate = sums[row][0] + gate_bias, up = sums[row][1] + up_bias;
        floats value = shape->activation == PERSEUS_ACTIVATION_SILU
            ? activate_silu(gate, up)
            : activate_clamped(gate, up, shape->alpha, shape->limit);
        halves rounded = round_to_bfloat16(value);
        memcpy(target + row * target_stride, &rounded, sizeof rounded);
    }
}

/// Bias, rounding: `column_count` output elements of each row of a block, from `first_column`.
static void store_block(
    floats (*sums)[2], int row_count, const float *bias, uint16_t *const *outputs, int first_column,
    int column_count) {
    floats bias0 = load_bias(bias), bias1 = load_bias(bias + LANES);
    for (int row = 0; row < row_count; row++) {
        halves rounded[2] = {
            round_to_bfloat16(sums[row][0] + bias0), round_to_bfloat16(sums[row][1] + bias1)};
        if (column_count == PANEL_COLUMNS) {
            memcpy(outputs[row] + first_column, rounded, sizeof rounded);
        } else {
            memcpy(outputs[row] + first_column, rounded, column_count * sizeof(uint16_t));
        }
    }
}

/// Intermediate [rows, gate_up_panels * LANES] from the packed input rows.
static void multiply_gate_up(
    const struct perseus_expert_shape *shape, const struct layout *layout, const void *packed,
    const operand *left, int row_count, uint16_t *intermediate) {
    const uint16_t *panel = packed;
    const float *bias = (const float *)((const char *)packed + layout->gate_up_bias_offset);
    size_t stride = (size_t)layout->gate_up_panels * LANES;
    int step_count = shape->hidden / K_STEP;
    for (int index = 0; index < layout->gate_up_panels; index++) {
        for (int block = 0; block < block_count(row_count); block++) {
            int first = block_start(block, row_count);
            int count = block_start(block + 1, row_count) - first;
            floats sums[BLOCK_ROWS][2];
            accumulate_block(left + (size_t)first * step_count, count, panel, step_count, sums);
            uint16_t *target = intermediate + first * stride + index * LANES;
            activate_block(shape, sums, count, bias, target, stride);
        }
        panel += layout->gate_up_stride;
        bias += PANEL_COLUMNS;
    }
}

/// Output rows from the packed intermediate rows.
static void multiply_down(
    const struct perseus_expert_shape *shape, const struct layout *layout, const void *packed,
    const operand *left, int row_count, uint16_t *const *outputs) {
    const uint16_t *panel = (const uint16_t *)((const char *)packed + layout->down_offset);
    const float *bias = (const float *)((const char *)packed + layout->down_bias_offset);
    int step_count = shape->intermediate / K_STEP;
    for (int index = 0; index < layout->down_panels; index++) {
        int column = index * PANEL_COLUMNS;
        int left_over = shape->hidden - column;
        int columns = left_over < PANEL_COLUMNS ? left_over : PANEL_COLUMNS;
        for (int block = 0; block < block_count(row_count); block++) {
            int first = block_start(block, row_count);
            int count = block_start(block + 1, row_count) - first;
            floats sums[BLOCK_ROWS][2];
            accumulate_block(left + (size_t)first * step_count, count, panel, step_count, sums);
            store_block(sums, count, bias, outputs + first, column, columns);
        }
        panel += layout->down_stride;
        bias += PANEL_COLUMNS;
    }
}

/// Operands of one packed row: the input's and later the intermediate's.
VECTOR_FUNCTION size_t operand_byte_count(const struct perseus_expert_shape *shape) {
    int widest = shape->hidden > shape->intermediate ? shape->hidden : shape->intermediate;
    return align_up((size_t)PERSEUS_EXPERT_MAX_ROWS * (widest / K_STEP) * sizeof(operand));
}

static size_t scratch_byte_count(const struct perseus_expert_shape *shape) {
    size_t width = (size_t)divide_up(shape->intermediate, LANES) * LANES;
    return operand_byte_count(shape) + align_up(PERSEUS_EXPERT_MAX_ROWS * width * sizeof(uint16_t));
}

static void multiply(
    const struct perseus_expert_shape *shape, const void *packed, const uint16_t *const *rows,
    uint16_t *const *outputs, int row_count, void *scratch) {
    struct layout layout = make_layout(shape);
    operand *left = scratch;
    uint16_t *intermediate = (uint16_t *)((char *)scratch + operand_byte_count(shape));
    pack_rows(rows, row_count, shape->hidden / K_STEP, left);
    multiply_gate_up(shape, &layout, packed, left, row_count, intermediate);
    const uint16_t *intermediate_rows[PERSEUS_EXPERT_MAX_ROWS];
    for (int row = 0; row < row_count; row++) {
        intermediate_rows[row] = intermediate + (size_t)row * layout.gate_up_panels * LANES;
    }
    pack_rows(intermediate_rows, row_count, shape->intermediate / K_STEP, left);
    multiply_down(shape, &layout, packed, left, row_count, outputs);
}

// MARK: Peak

/// Hides a vector's origin from the compiler, so that no product is computed once and used twice.
#if defined(__x86_64__)
#define MAKE_OPAQUE(vector) __asm__ volatile("" : "+v"(vector))
#elif defined(__aarch64__)
#define MAKE_OPAQUE(vector) __asm__ volatile("" : "+w"(vector))
#else
#define MAKE_OPAQUE(vector) __asm__ volatile("" : "+m"(vector))
#endif

static float measure_peak(uint64_t iterations) {
    const uint16_t ones[PANEL_COLUMNS * K_STEP] = {0x3F80, 0x3F80};
    floats registers[BLOCK_ROWS][2];
    for (int row = 0; row < BLOCK_ROWS; row++) {
        registers[row][0] = registers[row][1] = (floats)0.0f;
    }
    weights right = load_weights(ones);
    operand left = make_operand(ones);
    for (uint64_t iteration = 0; iteration < iterations; iteration++) {
#pragma clang loop unroll(full)
        for (int row = 0; row < BLOCK_ROWS; row++) {
            MAKE_OPAQUE(right);
            registers[row][0] = multiply_accumulate(registers[row][0], left, right);
            MAKE_OPAQUE(right);
            registers[row][1] = multiply_accumulate(registers[row][1], left, right);
        }
    }
    floats total = (floats)0.0f;
    for (int row = 0; row < BLOCK_ROWS; row++) {
        total += registers[row][0] + registers[row][1];
    }
    return total[0];
}

const struct perseus_expert_kernel KERNEL_NAME = {
    .packed_byte_count = packed_byte_count,
    .scratch_byte_count = scratch_byte_count,
    .pack = pack,
    .multiply = multiply,
    .measure_peak = measure_peak,
    .peak_operation_count = (double)OPERATIONS_PER_LANE * LANES * BLOCK_ROWS * 2,
};
