// What the host hands to kernels: the device's view of a ring, and the benchmarks' arguments.
#ifndef PERSEUS_DEVICE_ARGS_H
#define PERSEUS_DEVICE_ARGS_H

#include "perseus_error_record.h"
#include "perseus_ring.h"

// Addresses are 64-bit numbers, so that a struct has one layout on both sides. "Mapped" means host
// memory that the device can address, given by its device address.

/// One command ring as a kernel sees it. Kernels get it by value; perseus::Ring wraps it.
///
/// The host makes a ring (perseus_ring.h) in mapped memory, aligned to 128 bytes, and gives `slots`
/// = ring + 384 and `retired` = ring + 256. `claimed` and `credit` lie in device memory, each alone
/// on a line of 128 bytes, and start at the ring's `retired` (0 for a fresh ring).
typedef struct perseus_device_ring {
    /// Mapped: slot 0.
    uint64_t slots;
    /// Device memory, 64 bits: positions handed to producers.
    uint64_t claimed;
    /// Device memory, 64 bits: what the relay last saw in `retired`. Producers wait on this word.
    uint64_t credit;
    /// Mapped, 64 bits: the consumer's cursor. Read by the relay alone.
    uint64_t retired;
    /// Device memory: a perseus_error_record, shared by all rings of the launch.
    uint64_t error;
    /// SM clock cycles after which a wait fails.
    uint64_t cycle_limit;
    /// Slots: 2^capacity_log2, at least 32 and at least one command with all of its operands.
    uint32_t capacity_log2;
    /// Of this ring among the rank's; for error records.
    uint32_t index;
    /// For error records.
    uint32_t rank;
    uint32_t reserved;
} perseus_device_ring;

PERSEUS_STATIC_ASSERT(sizeof(perseus_device_ring) == 64, "a device ring is 64 bytes");
PERSEUS_ASSERT_OFFSET(perseus_device_ring, claimed, 8);
PERSEUS_ASSERT_OFFSET(perseus_device_ring, credit, 16);
PERSEUS_ASSERT_OFFSET(perseus_device_ring, retired, 24);
PERSEUS_ASSERT_OFFSET(perseus_device_ring, error, 32);
PERSEUS_ASSERT_OFFSET(perseus_device_ring, cycle_limit, 40);
PERSEUS_ASSERT_OFFSET(perseus_device_ring, capacity_log2, 48);
PERSEUS_ASSERT_OFFSET(perseus_device_ring, index, 52);
PERSEUS_ASSERT_OFFSET(perseus_device_ring, rank, 56);

enum {
    /// Most rings of one launch of a benchmark.
    PERSEUS_BENCH_MAX_RINGS = 16,
    /// Destinations that the throughput kernel names.
    PERSEUS_BENCH_DESTINATIONS = 8,
    /// Bytes of each put that a benchmark pushes.
    PERSEUS_BENCH_PUT_BYTES = 4096,
    /// Region of the signal words, PERSEUS_REGION_SIGNAL.
    PERSEUS_BENCH_SIGNAL_REGION = 1
};

/// How a benchmark kernel orders payloads before its commands.
enum perseus_bench_fence {
    /// Not at all: the commands describe nothing that the kernel wrote.
    PERSEUS_BENCH_FENCE_NONE = 0,
    /// What kernel authors get: the converged warp fences in one instruction.
    PERSEUS_BENCH_FENCE_WARP = 1,
    /// One lane fences, between two warp barriers; for comparison.
    PERSEUS_BENCH_FENCE_LEADER = 2
};

/// Arguments of `perseus_bench_ring_throughput`.
///
/// Grid: block 0 is the relay, blocks 1 ... producer_blocks push. Blocks of a multiple of 32
/// threads; all of block 0's warps but the first end at once.
typedef struct perseus_bench_throughput_args {
    perseus_device_ring rings[PERSEUS_BENCH_MAX_RINGS];
    /// Device memory, 32 bits, zeroed before the launch: producer blocks that ended.
    uint64_t finished_blocks;
    /// Mapped, or 0 for none: 16 bytes of payload for each put, at 16 * its sequence number.
    uint64_t payload;
    uint32_t ring_count;
    uint32_t producer_blocks;
    /// Puts that each thread pushes.
    uint32_t puts_per_thread;
    /// A `perseus_bench_fence`.
    uint32_t fence;
    /// Nanoseconds that the relay sleeps between two reads of `retired`.
    uint32_t relay_pause;
    /// 1: each put is a putSignal with a signalBlock of one word behind it, 3 slots in all.
    uint32_t has_signals;
} perseus_bench_throughput_args;

PERSEUS_STATIC_ASSERT(sizeof(perseus_bench_throughput_args) == 1064, "throughput arguments");
PERSEUS_ASSERT_OFFSET(perseus_bench_throughput_args, finished_blocks, 1024);
PERSEUS_ASSERT_OFFSET(perseus_bench_throughput_args, payload, 1032);
PERSEUS_ASSERT_OFFSET(perseus_bench_throughput_args, ring_count, 1040);
PERSEUS_ASSERT_OFFSET(perseus_bench_throughput_args, relay_pause, 1056);
PERSEUS_ASSERT_OFFSET(perseus_bench_throughput_args, has_signals, 1060);

/// The put with number `sequence` of a run of the throughput kernel, 4 KB; parity clear.
///
/// Block b (from 0), warp w, lane l and repetition i give sequence = ((b * warps + w) * puts per
/// thread + i) * 32 + l; it is the local offset in units of 4 KB and must stay below 2^27. The sum
/// of all words of all slots, parity clear, is the run's checksum.
PERSEUS_INLINE perseus_command perseus_bench_put(uint64_t sequence, int has_signal) {
    perseus_command command;
    command.first = perseus_command_first(
        has_signal ? PERSEUS_OPCODE_PUT_SIGNAL : PERSEUS_OPCODE_PUT, 0, 0,
        PERSEUS_BENCH_PUT_BYTES >> PERSEUS_PUT_UNIT_SHIFT, sequence << 8);
    command.second = perseus_command_second(
        sequence % PERSEUS_BENCH_DESTINATIONS, 0, (sequence ^ 0x55555) << 8);
    return command;
}

/// The signalBlock of one word behind the put with number `sequence`.
PERSEUS_INLINE perseus_command perseus_bench_signal(uint64_t sequence) {
    perseus_command command;
    command.first = perseus_command_first(
        PERSEUS_OPCODE_SIGNAL_BLOCK, 0, PERSEUS_BENCH_SIGNAL_REGION, 1, 0);
    command.second = perseus_command_second(
        sequence % PERSEUS_BENCH_DESTINATIONS, 0, (sequence & 1023) << 4);
    return command;
}

/// The word of that signalBlock.
PERSEUS_INLINE uint64_t perseus_bench_signal_word(uint64_t sequence) {
    return sequence + 1;
}

/// First of the two payload words of the put with number `sequence`; the second one is its
/// complement.
PERSEUS_INLINE uint64_t perseus_bench_payload(uint64_t sequence) {
    return (sequence + 1) * 0x9E3779B97F4A7C15ULL;
}

/// Cycles and time between the same two moments of one thread, for converting one into the other.
typedef struct perseus_bench_clock {
    uint64_t cycles;
    uint64_t nanoseconds;
} perseus_bench_clock;

PERSEUS_STATIC_ASSERT(sizeof(perseus_bench_clock) == 16, "a clock pair is 16 bytes");

/// Arguments of `perseus_bench_ring_round_trip`. Grid: block 0 relays, thread 0 of block 1 pushes.
typedef struct perseus_bench_round_trip_args {
    perseus_device_ring ring;
    /// Device memory, 32 bits, zeroed before the launch: 1 when the pushing thread ended.
    uint64_t finished_blocks;
    /// Device memory [iterations], 32 bits: cycles from before the push until the credit is seen.
    uint64_t cycles;
    /// Device memory: a perseus_bench_clock over all iterations.
    uint64_t clock;
    uint32_t iterations;
    /// A `perseus_bench_fence`.
    uint32_t fence;
    /// 1: the pushing thread reads the host's `retired` itself, and no other thread does.
    uint32_t polls_host;
    uint32_t reserved;
} perseus_bench_round_trip_args;

PERSEUS_STATIC_ASSERT(sizeof(perseus_bench_round_trip_args) == 104, "round-trip arguments");
PERSEUS_ASSERT_OFFSET(perseus_bench_round_trip_args, finished_blocks, 64);
PERSEUS_ASSERT_OFFSET(perseus_bench_round_trip_args, cycles, 72);
PERSEUS_ASSERT_OFFSET(perseus_bench_round_trip_args, clock, 80);
PERSEUS_ASSERT_OFFSET(perseus_bench_round_trip_args, iterations, 88);
PERSEUS_ASSERT_OFFSET(perseus_bench_round_trip_args, polls_host, 96);

/// Arguments of `perseus_bench_ring_fence`.
///
/// Grid: block 0 relays, thread 0 of block 1 measures, thread 0 of each block after it waits as
/// kernels do: even ones for credit of the ring, odd ones for a signal word of their own.
typedef struct perseus_bench_fence_args {
    perseus_device_ring ring;
    /// Device memory, 32 bits, zeroed before the launch: 1 when the measuring thread ended.
    uint64_t finished_blocks;
    /// Device memory, 32 bits, zeroed before the launch: waiters that began to wait.
    uint64_t waiting_blocks;
    /// Device memory [waiter_blocks], 64 bits, zeroed before the launch: signal words.
    uint64_t signals;
    /// Device memory, 64 bits, zeroed before the launch: a credit word that no relay feeds.
    uint64_t waited_credit;
    /// Mapped [2], 16-byte aligned: what the measuring thread stores to.
    uint64_t target;
    /// Device memory [iterations], 32 bits: cycles of a store and `__threadfence_system`.
    uint64_t fence_cycles;
    /// Device memory [iterations], 32 bits: cycles of a release store at system scope.
    uint64_t release_cycles;
    /// Device memory: a perseus_bench_clock over all iterations.
    uint64_t clock;
    uint32_t iterations;
    uint32_t waiter_blocks;
} perseus_bench_fence_args;

PERSEUS_STATIC_ASSERT(sizeof(perseus_bench_fence_args) == 136, "fence arguments");
PERSEUS_ASSERT_OFFSET(perseus_bench_fence_args, finished_blocks, 64);
PERSEUS_ASSERT_OFFSET(perseus_bench_fence_args, waiting_blocks, 72);
PERSEUS_ASSERT_OFFSET(perseus_bench_fence_args, signals, 80);
PERSEUS_ASSERT_OFFSET(perseus_bench_fence_args, waited_credit, 88);
PERSEUS_ASSERT_OFFSET(perseus_bench_fence_args, target, 96);
PERSEUS_ASSERT_OFFSET(perseus_bench_fence_args, fence_cycles, 104);
PERSEUS_ASSERT_OFFSET(perseus_bench_fence_args, release_cycles, 112);
PERSEUS_ASSERT_OFFSET(perseus_bench_fence_args, clock, 120);
PERSEUS_ASSERT_OFFSET(perseus_bench_fence_args, iterations, 128);

/// Arguments of `perseus_example_put_signal`. One block sends one tile and receives one.
///
/// Offsets count from the base of their region, as commands do.
typedef struct perseus_example_args {
    perseus_device_ring ring;
    /// Base of this rank's data region, in device memory.
    uint64_t data;
    /// Base of this rank's signal region.
    uint64_t signals;
    /// Device memory, 32 bits, zeroed before the launch: blocks that ended.
    uint64_t finished_blocks;
    /// Device memory, 32 bits, zeroed before the launch: received tiles with a wrong word.
    uint64_t wrong_tiles;
    /// Tile b is sent from here + b * tile_bytes, and received at receive_offset + b * tile_bytes.
    uint64_t send_offset;
    uint64_t receive_offset;
    /// Signal word of tile b: this offset + 8 * b, the same at both ranks.
    uint64_t signal_offset;
    /// A multiple of 16.
    uint32_t tile_bytes;
    /// The other rank.
    uint32_t peer;
    uint32_t epoch;
    /// Tiles: blocks of the grid without the relay.
    uint32_t tile_count;
} perseus_example_args;

PERSEUS_STATIC_ASSERT(sizeof(perseus_example_args) == 136, "example arguments");
PERSEUS_ASSERT_OFFSET(perseus_example_args, data, 64);
PERSEUS_ASSERT_OFFSET(perseus_example_args, signals, 72);
PERSEUS_ASSERT_OFFSET(perseus_example_args, finished_blocks, 80);
PERSEUS_ASSERT_OFFSET(perseus_example_args, wrong_tiles, 88);
PERSEUS_ASSERT_OFFSET(perseus_example_args, send_offset, 96);
PERSEUS_ASSERT_OFFSET(perseus_example_args, receive_offset, 104);
PERSEUS_ASSERT_OFFSET(perseus_example_args, signal_offset, 112);
PERSEUS_ASSERT_OFFSET(perseus_example_args, tile_bytes, 120);
PERSEUS_ASSERT_OFFSET(perseus_example_args, epoch, 128);

#endif
