// What the host tells the kernel of `perseus bench put-signal --device cuda`, and the times that come back.
#ifndef PERSEUS_PUT_SIGNAL_ARGS_H
#define PERSEUS_PUT_SIGNAL_ARGS_H

#include "perseus_device_layer.h"

/// Which signals the kernel pushes.
enum perseus_put_signal_mode {
    PERSEUS_PUT_SIGNAL_NONE = 0,
    /// Each put has its own.
    PERSEUS_PUT_SIGNAL_COUPLED = 1,
    /// The last put of a destination is followed by all of its words.
    PERSEUS_PUT_SIGNAL_PER_DESTINATION = 2
};

/// Times of one round, by the GPU's clock, nanoseconds; in mapped host memory.
typedef struct perseus_put_signal_times {
    uint64_t first_push;
    /// The last word was seen at its receiver; 0 without signals.
    uint64_t last_seen;
    /// The sender knew that all of its puts had completed.
    uint64_t completed;
    uint64_t reserved;
} perseus_put_signal_times;

/// Arguments of `perseus_bench_put_signal`.
///
/// Grid: block 0 coordinates and receives, blocks 1 ... sender_blocks push, the copy block of its NIC behind them.
/// All of them have to be resident. `layer` describes the ranks; only rank 0 sends.
typedef struct perseus_put_signal_args {
    perseus_device_layer layer;
    /// Device memory, u32: [transfer] destination; [transfer] its number among those of its destination; [rank] transfers.
    uint64_t destinations;
    uint64_t ordinals;
    uint64_t counts;
    /// Device memory, u32 [rank], zeroed before the launch: transfers that were pushed, over all rounds.
    uint64_t arrivals;
    /// Device memory, zeroed before the launch, 128 bytes apart: the round that may be sent (u32, from 1); sender blocks
    /// that have pushed (u32); the first push (u64); payloads that were not there (u32).
    uint64_t progress;
    /// Mapped, `perseus_put_signal_times[round_count]`.
    uint64_t times;
    uint32_t transfer_count;
    uint32_t sender_blocks;
    /// Of one transfer; a multiple of 16.
    uint32_t byte_count;
    /// A `perseus_put_signal_mode`.
    uint32_t mode;
} perseus_put_signal_args;

/// What the first 8 and the last 8 bytes of a transfer hold in a round.
PERSEUS_INLINE uint64_t perseus_put_signal_payload(uint32_t round, uint32_t transfer) {
    return ((uint64_t)(round + 1) << 32 | (transfer + 1)) * 0x9E3779B97F4A7C15ULL;
}

PERSEUS_STATIC_ASSERT(sizeof(perseus_put_signal_times) == 32, "times of a round are 32 bytes");
PERSEUS_STATIC_ASSERT(sizeof(perseus_put_signal_args) % 8 == 0, "arguments end on a word");

#endif
