// What the host tells the megakernel on a GPU, and what both write while it runs.
#ifndef PERSEUS_DEVICE_LAYER_H
#define PERSEUS_DEVICE_LAYER_H

#include "perseus_arena.h"
#include "perseus_device_args.h"

enum {
    /// Threads of each block: a warpgroup that fetches and loads, two that multiply.
    PERSEUS_DEVICE_THREADS = 384,
    /// Most ring descriptors of one rank.
    PERSEUS_DEVICE_MAX_RINGS = 8,
    /// Most rows of one segment, and rows of one return block.
    PERSEUS_DEVICE_SEGMENT_ROWS = 64,
    /// A tile's rows are dealt out in slots, which a segment begins at: what 8 rows of an accumulator lie in.
    PERSEUS_DEVICE_SLOT_ROWS = 8,
    PERSEUS_DEVICE_TILE_SLOTS = 16,
    PERSEUS_DEVICE_TILE_ROWS = PERSEUS_DEVICE_SLOT_ROWS * PERSEUS_DEVICE_TILE_SLOTS,
    /// Heights of the boxes that rows are loaded in: of a whole segment, and of a slot.
    PERSEUS_DEVICE_BOX_HEIGHTS = 2,
    /// Most ranks of a launch: a word has a bit for each.
    PERSEUS_DEVICE_MAX_RANKS = 64
};

/// Which stages a launch executes; all but `MULTIPLY` are left out to measure the multiplication alone.
enum perseus_device_stage {
    PERSEUS_DEVICE_STAGE_PACK = 1,
    PERSEUS_DEVICE_STAGE_MULTIPLY = 2,
    PERSEUS_DEVICE_STAGE_COMBINE = 4,
    PERSEUS_DEVICE_STAGE_ALL = 7
};

/// How dispatch signals relate to puts (`LayerProgram.Signaling`).
enum perseus_device_signaling {
    PERSEUS_DEVICE_COUPLED = 0,
    PERSEUS_DEVICE_PER_DESTINATION = 1,
    /// A group is `group_size` transfers that follow each other in being packed, whoever gets them.
    PERSEUS_DEVICE_PER_TRANSFERS = 2
};

/// What a device task asks for.
enum perseus_device_task_type {
    PERSEUS_DEVICE_TASK_STOP = 0,
    /// Rows of one expert's transfer, from hidden states to an arena.
    PERSEUS_DEVICE_TASK_PACK = 1,
    /// Gate and up for a group's rows, one tile of columns.
    PERSEUS_DEVICE_TASK_UP = 2,
    /// Down for a group's rows, one tile of columns.
    PERSEUS_DEVICE_TASK_DOWN = 3,
    /// The same two for the shared expert.
    PERSEUS_DEVICE_TASK_SHARED_UP = 4,
    PERSEUS_DEVICE_TASK_SHARED_DOWN = 5,
    /// The weighted sum of some of the owner's tokens.
    PERSEUS_DEVICE_TASK_COMBINE = 6
};

/// A task as it lies in a rank's queue: 16 bytes, stored at once with the lap of their place.
typedef struct perseus_device_task {
    /// type:8 | expert:24 (of this rank; for a pack task of the layer)
    uint32_t type_and_expert;
    /// Tile of columns; for pack and combine tasks the first row or token.
    uint32_t tile;
    /// The group of tiles that it belongs to; for pack and combine tasks the number of rows or tokens.
    uint32_t group;
    /// 1 + how often the queue had wrapped.
    uint32_t lap;
} perseus_device_task;

/// Rows of one source that follow each other in its packed order: one return block, or what there is of it.
typedef struct perseus_device_segment {
    uint32_t first_row;
    uint16_t source;
    /// Where it begins in its tile; a segment takes ceil(rows / SLOT_ROWS) slots.
    uint8_t first_slot;
    uint8_t rows;
} perseus_device_segment;

/// Segments of one expert that fill the slots of one tile, in the order of their slots and without gaps; its columns are
/// tasks.
typedef struct perseus_device_group {
    uint32_t expert;
    uint32_t segment_count;
    /// Groups that are multiplied tile by tile together, so that they share weights in the cache: the first one, and how
    /// many. Their second multiplication begins when the first one of all is done.
    uint32_t batch_first;
    uint32_t batch_count;
    /// Tiles that are done (atomic): of the whole batch, in its first group; and of this group.
    uint32_t up_done;
    uint32_t down_done;
    uint32_t padding[2];
    perseus_device_segment segments[PERSEUS_DEVICE_TILE_SLOTS];
} perseus_device_group;

/// One command to the copy block that stands for a NIC: two halves of 16 bytes, each with the lap tag.
///
///   value        address of the source, or the word to store
///   target_tag   63...48 lap tag (1 + lap, 16 bits) | 47...0 address of the target
///   count_tag    63...48 lap tag | 47...40 kind | 31...0 bytes
typedef struct perseus_device_copy {
    uint64_t value;
    uint64_t target_tag;
    uint64_t count_tag;
    uint64_t reserved;
} perseus_device_copy;

enum perseus_device_copy_kind {
    PERSEUS_DEVICE_COPY_BYTES = 0,
    PERSEUS_DEVICE_COPY_WORD = 1,
    PERSEUS_DEVICE_COPY_STOP = 2
};

enum {
    /// Commands of one copy queue; the NIC engine never has more under way.
    PERSEUS_DEVICE_COPY_CAPACITY = 4096,
    /// Dynamic shared memory of a copy block.
    PERSEUS_DEVICE_COPY_SHARED_BYTES = 48 * 4096 + 12288
};

/// What one rank's emulated NIC consists of.
typedef struct perseus_device_nic {
    /// `perseus_device_copy[CAPACITY]` in mapped host memory.
    uint64_t queue;
    /// In mapped host memory: commands that are done, counted from 0.
    uint64_t done;
} perseus_device_nic;

/// Times of one round, by the GPU's clock, nanoseconds; in mapped host memory.
typedef struct perseus_device_round_times {
    uint64_t begin;
    uint64_t planned;
    /// The last expert task was done.
    uint64_t multiplied;
    uint64_t end;
} perseus_device_round_times;

/// One rank. All addresses are the device's.
typedef struct perseus_device_rank {
    /// Rows of dispatchData; of the activations between the two multiplications; the tokens; and the activations of the
    /// shared expert. 64 columns; boxes of a segment's rows first, then of a slot's.
    uint64_t dispatch_maps[PERSEUS_DEVICE_BOX_HEIGHTS][16];
    uint64_t inner_maps[PERSEUS_DEVICE_BOX_HEIGHTS][16];
    uint64_t hidden_maps[PERSEUS_DEVICE_BOX_HEIGHTS][16];
    uint64_t shared_inner_maps[PERSEUS_DEVICE_BOX_HEIGHTS][16];
    /// Data and signal region.
    uint64_t data;
    uint64_t signals;
    /// [tokens][hidden] BF16, and the layer's output F32.
    uint64_t hidden;
    uint64_t output;
    /// [tokens][topK] I32 and F32.
    uint64_t ids;
    uint64_t weights;
    /// [row] slot of the round (token x topK + choice); [slot] row; [experts + 1] first row.
    uint64_t slot_of_row;
    uint64_t row_of_slot;
    uint64_t first_row;
    /// [experts] sending order.
    uint64_t order;
    /// [experts] rows still to pack; [ranks] experts of that rank still to send.
    uint64_t unpacked;
    uint64_t unsent;
    /// [experts] transfers to other nodes, in the order in which they were packed.
    uint64_t members;
    /// [1 + experts] u32: how many of them arrived (staged: too), then how many of each group.
    uint64_t group_arrivals;
    /// [blocks] words that the round brings back.
    uint64_t return_words;
    /// [rank_count x rows_per_source][intermediate] BF16; [tokens][shared intermediate] BF16; [tokens][hidden] BF16.
    uint64_t inner;
    uint64_t shared_inner;
    uint64_t shared_rows;
    /// `perseus_device_task[2^queue_log2]`, and 128 bytes apart in device memory: head, tail.
    uint64_t queue;
    uint64_t queue_cursors;
    uint64_t groups;
    /// u32, 128 bytes apart in device memory: expert groups done, shared groups done, tokens combined, round to work on.
    uint64_t counters;
    /// `perseus_device_round_times[rounds]`, mapped.
    uint64_t times;
    /// [rounds] u32 pairs: first token and tokens.
    uint64_t round_tokens;
    /// The proxies' completion boards, a word each, 128 bytes apart in mapped host memory.
    uint64_t boards;
    uint32_t first_expert;
    uint32_t expert_count;
    /// The node's ranks: first and count.
    uint32_t first_local;
    uint32_t local_count;
    uint32_t queue_log2;
    uint32_t group_capacity;
    uint32_t ring_count;
    uint32_t reserved;
    /// Where the kernel posts itself the first one describes the send queue (perseus_direct.h): `slots` are its entries,
    /// `retired` is its `completed` word.
    perseus_device_ring rings[PERSEUS_DEVICE_MAX_RINGS];
    perseus_device_nic nic;
    uint32_t tail_padding[18];
} perseus_device_rank;

/// One launch: all ranks of this GPU.
typedef struct perseus_device_layer {
    /// `perseus_device_rank[rank_count]`.
    uint64_t ranks;
    /// Weights of all experts, boxes of `N` x 64: gate and up interleaved by 8 columns; down; and the shared expert's.
    uint64_t up_map;
    uint64_t down_map;
    uint64_t shared_up_map;
    uint64_t shared_down_map;
    /// F32 [experts][2 x intermediate] interleaved and [experts][hidden]; 0 without biases.
    uint64_t up_bias;
    uint64_t down_bias;
    /// In device memory: `perseus_error_record`, and how many blocks have begun (u32).
    uint64_t error;
    uint64_t arrived;
    perseus_arena_layout layout;
    uint32_t rank_count;
    uint32_t blocks_per_rank;
    /// 1: each rank has a block that moves bytes for its NIC.
    uint32_t copy_blocks_per_rank;
    uint32_t round_count;
    /// Rounds that were used before: epochs go on.
    uint32_t first_round;
    uint32_t signaling;
    /// Transfers of a group, at least one; with PERSEUS_DEVICE_PER_TRANSFERS.
    uint32_t group_size;
    uint32_t coalesces_group;
    /// 1: the copy block moves no bytes before words that were commanded earlier. Where the ordering is proven nobody can see
    /// the difference; where it is not, it is what a test of it looks for.
    uint32_t keeps_copies_behind_words;
    uint32_t stages;
    /// 1: all puts of a round have completed before the next one begins.
    uint32_t quiets_between_rounds;
    /// 1: bulk transfers: one put for each peer, its completion, signals; nothing is multiplied before all rows are here,
    /// and nothing returned before all are multiplied. `signaling` has no meaning then.
    uint32_t is_staged;
    /// 1: the kernel writes work requests into its NIC's send queue, no proxy is between.
    uint32_t is_direct;
    /// With `is_direct`. 1: a signal behind rows carries the fence flag.
    uint32_t fences_signals;
    /// With `is_direct`. 1: a completion covers earlier requests to its peer.
    uint32_t completes_in_order;
    /// With `is_direct`: signal words of one request, at most PERSEUS_DIRECT_INLINE_WORDS.
    uint32_t inline_words;
    /// SM clock cycles after which a wait fails.
    uint64_t cycle_limit;
} perseus_device_layer;

PERSEUS_STATIC_ASSERT(sizeof(perseus_device_task) == 16, "a device task is 16 bytes");
PERSEUS_STATIC_ASSERT(sizeof(perseus_device_group) == 160, "a group has no holes");
PERSEUS_STATIC_ASSERT(sizeof(perseus_device_copy) == 32, "a copy command is 32 bytes");
PERSEUS_STATIC_ASSERT(sizeof(perseus_device_rank) % 64 == 0, "tensor maps stay aligned");
PERSEUS_STATIC_ASSERT(
    sizeof(perseus_device_layer) == 10 * 8 + sizeof(perseus_arena_layout) + 16 * 4,
    "the launch's description has no holes");
PERSEUS_ASSERT_OFFSET(perseus_device_rank, data, 1024);

#endif
