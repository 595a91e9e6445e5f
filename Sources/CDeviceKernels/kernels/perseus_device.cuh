// What authors of kernels include: rings, signal words, groups and errors, on a GPU.
#ifndef PERSEUS_DEVICE_CUH
#define PERSEUS_DEVICE_CUH

#include "perseus_arena.h"
#include "perseus_base.h"
#include "perseus_command.h"
#include "perseus_device_args.h"
#include "perseus_error_record.h"
#include "perseus_ring.h"
#include "perseus_signal.h"

// How to use this header
//
//   - The host fills a perseus_device_ring and passes it to the kernel by value; `perseus::Ring`
//     wraps it. A destination belongs to ring `perseus_ring_index(destination, ringCount)`.
//   - One thread of the launch relays each ring's credit from the host into device memory
//     (`relay`). Put it into block 0, which is scheduled first: producers wait for it.
//   - Nothing here waits for ever. A wait that runs into the ring's cycle limit writes the launch's
//     error record and returns false; every other wait then returns false as well, soon. A kernel
//     whose wait failed ends; its rings are lost, because claimed slots stay unpublished.
//
// Scopes. "thread": one thread calls, others need not. "warp": all 32 lanes call, converged.
//
// Two facts shaped it (measured on an H200): reads of one host word are served one at a time for
// the whole GPU, about 1 M/s, and every system fence anywhere waits behind them; relaxed 16-byte
// stores to host memory wait for nothing. So producers poll device memory only, and a warp pays one
// fence for up to 32 commands.

#ifndef PERSEUS_POLL_NANOSECONDS
/// Sleep between two polls of a device-memory word, after the first few.
#define PERSEUS_POLL_NANOSECONDS 40
#endif

namespace perseus {

#define PERSEUS_DEVICE static __device__ __forceinline__
#define PERSEUS_MEMBER __device__ __forceinline__

// ---------------------------------------------------------------------------------------------
// Memory accesses. The scope and the order are part of each name.
// ---------------------------------------------------------------------------------------------

/// The address `address` as a pointer.
template <typename T>
PERSEUS_DEVICE T *pointer(uint64_t address) {
    return reinterpret_cast<T *>(address);
}

/// Orders what this thread did and observed before what it does afterwards, for all threads of the GPU. Lighter than
/// `__threadfence`, which also puts all such fences into one order.
PERSEUS_DEVICE void fence_gpu() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

PERSEUS_DEVICE uint64_t load_relaxed_gpu(const uint64_t *word) {
    uint64_t value;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(value) : "l"(word));
    return value;
}

PERSEUS_DEVICE uint32_t load_relaxed_gpu(const uint32_t *word) {
    uint32_t value;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(word));
    return value;
}

PERSEUS_DEVICE uint32_t load_acquire_gpu(const uint32_t *word) {
    uint32_t value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
    return value;
}

PERSEUS_DEVICE uint64_t load_relaxed_sys(const uint64_t *word) {
    uint64_t value;
    asm volatile("ld.relaxed.sys.global.u64 %0, [%1];" : "=l"(value) : "l"(word));
    return value;
}

PERSEUS_DEVICE uint64_t load_acquire_sys(const uint64_t *word) {
    uint64_t value;
    asm volatile("ld.acquire.sys.global.u64 %0, [%1];" : "=l"(value) : "l"(word) : "memory");
    return value;
}

PERSEUS_DEVICE void store_relaxed_gpu(uint64_t *word, uint64_t value) {
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(word), "l"(value) : "memory");
}

PERSEUS_DEVICE void store_relaxed_sys(uint64_t *word, uint64_t value) {
    asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(word), "l"(value) : "memory");
}

PERSEUS_DEVICE void store_release_gpu(uint32_t *word, uint32_t value) {
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(word), "r"(value) : "memory");
}

PERSEUS_DEVICE void store_release_sys(uint64_t *word, uint64_t value) {
    asm volatile("st.release.sys.global.u64 [%0], %1;" ::"l"(word), "l"(value) : "memory");
}

/// Stores 16 bytes at an address that is a multiple of 16. The two halves are one store to the
/// memory system, but the language promises nothing of their order: whoever reads them checks both.
PERSEUS_DEVICE void store_relaxed_sys(perseus_command *slot, uint64_t first, uint64_t second) {
    asm volatile("st.relaxed.sys.global.v2.b64 [%0], {%1, %2};" ::"l"(slot), "l"(first),
                 "l"(second)
                 : "memory");
}

/// As the relaxed one, behind everything that this thread wrote or observed.
PERSEUS_DEVICE void store_release_sys(perseus_command *slot, uint64_t first, uint64_t second) {
    asm volatile("st.release.sys.global.v2.b64 [%0], {%1, %2};" ::"l"(slot), "l"(first),
                 "l"(second)
                 : "memory");
}

PERSEUS_DEVICE uint64_t add_relaxed_gpu(uint64_t *word, uint64_t addend) {
    uint64_t old;
    asm volatile("atom.relaxed.gpu.global.add.u64 %0, [%1], %2;"
                 : "=l"(old)
                 : "l"(word), "l"(addend)
                 : "memory");
    return old;
}

PERSEUS_DEVICE uint32_t add_acq_rel_gpu(uint32_t *word, uint32_t addend) {
    uint32_t old;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;"
                 : "=r"(old)
                 : "l"(word), "r"(addend)
                 : "memory");
    return old;
}

PERSEUS_DEVICE unsigned lane_index() {
    unsigned lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}

PERSEUS_DEVICE unsigned lanes_below() {
    unsigned mask;
    asm("mov.u32 %0, %%lanemask_lt;" : "=r"(mask));
    return mask;
}

// ---------------------------------------------------------------------------------------------
// Fences for the asynchronous proxy (TMA, bulk copies)
// ---------------------------------------------------------------------------------------------

/// Thread. Between observing a signal and a TMA or bulk read, by the same thread, of global memory
/// that a NIC or a peer wrote: the acquire of the signal word orders ordinary loads only, and this
/// fence orders the asynchronous proxy's reads behind them. When another thread observed the
/// signal, that thread fences too, before it hands on.
///
///     if (!wait_signal(...)) return;
///     fence_before_async_read();
///     // cp.async.bulk.tensor from the arena
PERSEUS_DEVICE void fence_before_async_read() {
    asm volatile("fence.proxy.async.global;" ::: "memory");
}

/// Thread. Between a TMA or bulk *store* of payload and its push: first wait for the store itself
/// (cp.async.bulk.commit_group, cp.async.bulk.wait_group 0, without .read), then this fence, then a
/// push with `Fence::system` by the same thread, or by another one behind a barrier.
PERSEUS_DEVICE void fence_after_async_write() {
    asm volatile("fence.proxy.async.global;" ::: "memory");
}

// ---------------------------------------------------------------------------------------------
// Errors
// ---------------------------------------------------------------------------------------------

/// The launch's error record; the first failure wins.
struct ErrorWord {
    perseus_error_record *record;

    /// Thread. Whether somebody failed. One relaxed load of device memory.
    PERSEUS_MEMBER bool is_set() const {
        return load_relaxed_gpu(&record->state) != PERSEUS_ERROR_NONE;
    }

    /// Thread. Records what this thread waited for, unless somebody was first.
    ///
    /// Compare-and-swap takes the record; the fields are released with its last state, which the
    /// host reads after the kernel (or another thread acquires).
    ///
    /// - cycles: SM clock cycles that the wait took.
    PERSEUS_MEMBER void fail(
        perseus_wait_kind kind, uint32_t rank, uint64_t index, uint64_t expected, uint64_t seen,
        uint64_t cycles) const {
        write(record, kind, rank, index, expected, seen, cycles);
    }

    /// Out of line and by value, so that no caller needs a stack.
    static __device__ __noinline__ void write(
        perseus_error_record *record, perseus_wait_kind kind, uint32_t rank, uint64_t index,
        uint64_t expected, uint64_t seen, uint64_t cycles) {
        if (atomicCAS(&record->state, PERSEUS_ERROR_NONE, PERSEUS_ERROR_CLAIMED)
            != PERSEUS_ERROR_NONE)
            return;
        record->wait_kind = kind;
        record->rank = rank;
        record->block = blockIdx.x;
        record->thread = threadIdx.x;
        record->index = index;
        record->expected = expected;
        record->seen = seen;
        record->cycles = cycles;
        store_release_gpu(&record->state, PERSEUS_ERROR_RECORDED);
    }
};

/// The patience of one wait: a number of SM clock cycles, or until another wait has failed.
struct Patience {
    ErrorWord error;
    uint64_t limit;
    long long start;
    uint32_t polls;

    PERSEUS_MEMBER Patience(ErrorWord error, uint64_t cycle_limit)
        : error(error), limit(cycle_limit), start(clock64()), polls(0) {}

    PERSEUS_MEMBER uint64_t cycles() const { return (uint64_t)(clock64() - start); }

    /// Thread. Call between two polls: false when the caller has to give up.
    PERSEUS_MEMBER bool is_left() {
        polls += 1;
        if (polls > 4) __nanosleep(PERSEUS_POLL_NANOSECONDS);
        if ((polls & 15) == 0 && error.is_set()) return false;
        return cycles() <= limit;
    }
};

// ---------------------------------------------------------------------------------------------
// Commands
// ---------------------------------------------------------------------------------------------

/// Traps on arguments that do not fit their fields, when PERSEUS_DEVICE_CHECKS is defined.
PERSEUS_DEVICE void check(bool holds) {
#if defined(PERSEUS_DEVICE_CHECKS)
    if (!holds) __trap();
#else
    (void)holds;
#endif
}

/// A byte offset in a region of the symmetric heap (perseus_arena.h).
struct Place {
    /// A `perseus_region`.
    uint32_t region;
    uint64_t byte_offset;
};

/// The header of a put: `byte_count` bytes from `source` here to `target` at `destination`.
///
/// byte_count: 16 ... 16 MiB - 16; it and both offsets are multiples of 16.
PERSEUS_DEVICE perseus_command make_put(
    uint32_t destination, Place source, Place target, uint32_t byte_count, uint32_t flags = 0,
    perseus_opcode opcode = PERSEUS_OPCODE_PUT) {
    check(((byte_count | source.byte_offset | target.byte_offset) & 15) == 0);
    check(byte_count > 0 && byte_count <= PERSEUS_MAX_PUT_BYTES);
    check((source.byte_offset | target.byte_offset) >> 39 == 0);
    check(destination < PERSEUS_DESTINATION_ALL);
    perseus_command command;
    command.first = perseus_command_first(
        opcode, source.region, target.region, byte_count >> PERSEUS_PUT_UNIT_SHIFT,
        source.byte_offset >> PERSEUS_PUT_UNIT_SHIFT);
    command.second = perseus_command_second(
        destination, flags, target.byte_offset >> PERSEUS_PUT_UNIT_SHIFT);
    return command;
}

/// The header of a put whose own signalBlock is the very next command.
PERSEUS_DEVICE perseus_command make_put_signal(
    uint32_t destination, Place source, Place target, uint32_t byte_count, uint32_t flags = 0) {
    return make_put(destination, source, target, byte_count, flags, PERSEUS_OPCODE_PUT_SIGNAL);
}

/// The header of `word_count` (1 ... 1023) signal words, written to `target` at `destination`; the
/// offset is a multiple of 8.
PERSEUS_DEVICE perseus_command make_signal_block(
    uint32_t destination, Place target, uint32_t word_count, uint32_t flags = 0) {
    check((target.byte_offset & 7) == 0 && target.byte_offset >> 38 == 0);
    check(word_count > 0 && word_count <= PERSEUS_MAX_SIGNAL_WORDS);
    check(destination < PERSEUS_DESTINATION_ALL);
    perseus_command command;
    command.first =
        perseus_command_first(PERSEUS_OPCODE_SIGNAL_BLOCK, 0, target.region, word_count, 0);
    command.second = perseus_command_second(
        destination, flags, target.byte_offset >> PERSEUS_SIGNAL_UNIT_SHIFT);
    return command;
}

/// Asks for completion-board word `board_index` once all earlier commands of this ring to
/// `destination` (PERSEUS_DESTINATION_ALL: to anybody) have completed.
PERSEUS_DEVICE perseus_command make_quiet(uint32_t destination, uint64_t board_index) {
    perseus_command command;
    command.first = perseus_command_first(PERSEUS_OPCODE_QUIET, 0, 0, 0, board_index);
    command.second = perseus_command_second(destination, 0, 0);
    return command;
}

// ---------------------------------------------------------------------------------------------
// Ring
// ---------------------------------------------------------------------------------------------

/// Whether a push orders payload before its command.
enum class Fence {
    /// The caller has fenced at system scope since the payload was written (and, where other
    /// threads wrote it, since it synchronised with them), or there is no payload.
    none,
    /// One system fence, by every calling thread: whatever the caller wrote or observed (through a
    /// barrier, or a group counter) is visible to the NIC before the command is visible to the
    /// proxy. 0.5 us on an idle GPU, 1 to 1.5 us while relays read. In a warp push the converged
    /// lanes fence in one instruction.
    system
};

/// One command ring as a producer on the GPU sees it.
///
/// Every push claims consecutive slots with one atomic addition, waits until the credit admits
/// them, and stores each slot with one relaxed 16-byte store that carries the lap parity in both of
/// its halves. Commands of one ring take effect in the order of their positions: a push that
/// happens after another one (same thread, barrier, group counter) has the higher position.
///
/// Errors, for all: false when the credit did not come in time (PERSEUS_WAIT_RING_CREDIT), or when
/// another wait of the launch has failed.
struct Ring : perseus_device_ring {
    PERSEUS_MEMBER explicit Ring(const perseus_device_ring &view) : perseus_device_ring(view) {}

    PERSEUS_MEMBER ErrorWord error_word() const {
        return ErrorWord{pointer<perseus_error_record>(error)};
    }

    // ---- thread scope ----------------------------------------------------------------------

    /// Thread. Pushes a command without operands; see `make_put`, `make_quiet`.
    ///
    /// - position: when given, where the command went; `wait_retired` takes it.
    /// - Ordering: with Fence::system, pairs with the consumer's acquire of both words.
    template <Fence kFence = Fence::system>
    PERSEUS_MEMBER bool push(perseus_command command, uint64_t *position = nullptr) const {
        Claim own = begin_claim(1);
        if (kFence == Fence::system) __threadfence_system();
        if (position != nullptr) *position = own.position;
        if (!wait_for_room(own, 1)) return false;
        publish(command.first, command.second, own.position);
        return true;
    }

    /// Thread. Writes `byte_count` bytes from `source` here to `target` at `destination`.
    ///
    /// - byte_count, offsets: bytes, multiples of 16; at most 16 MiB - 16.
    /// - Ordering: see `Fence`. The put alone tells the receiver nothing: a signal does.
    template <Fence kFence = Fence::system>
    PERSEUS_MEMBER bool push_put(
        uint32_t destination, Place source, Place target, uint32_t byte_count,
        uint32_t flags = 0) const {
        return push<kFence>(make_put(destination, source, target, byte_count, flags));
    }

    /// Thread. A put and the signal words that announce it, claimed together, so that nobody's
    /// command comes between: 2 + ceil(word_count / 2) slots.
    ///
    /// - signal: where the words go at `destination`; a multiple of 8 bytes.
    /// - words [word_count]: bit 63 of each clear; read by the calling thread.
    template <Fence kFence = Fence::system>
    PERSEUS_MEMBER bool push_put_signal(
        uint32_t destination, Place source, Place target, uint32_t byte_count, Place signal,
        const uint64_t *words, uint32_t word_count, uint32_t flags = 0) const {
        return push_sequence<false, kFence>(
            make_put_signal(destination, source, target, byte_count, flags), 1,
            make_signal_block(destination, signal, word_count, flags), words, word_count);
    }

    /// Thread. As above, with one word.
    template <Fence kFence = Fence::system>
    PERSEUS_MEMBER bool push_put_signal(
        uint32_t destination, Place source, Place target, uint32_t byte_count, Place signal,
        uint64_t word, uint32_t flags = 0) const {
        return push_put_signal<kFence>(
            destination, source, target, byte_count, signal, &word, 1, flags);
    }

    /// Thread. `word_count` (1 ... 1023) consecutive signal words: 1 + ceil(word_count / 2) slots.
    ///
    /// They take effect behind every put to `destination` with a lower position in this ring.
    /// Leader of a group: the puts of the others must have been pushed before they arrived at the
    /// group's counter; then no payload fence is needed here, because each of them fenced.
    template <Fence kFence = Fence::none>
    PERSEUS_MEMBER bool push_signal_block(
        uint32_t destination, Place target, const uint64_t *words, uint32_t word_count,
        uint32_t flags = 0) const {
        return push_sequence<false, kFence>(
            perseus_command{0, 0}, 0, make_signal_block(destination, target, word_count, flags),
            words, word_count);
    }

    /// Thread. Asks for the completion of everything that this ring got for `destination` before;
    /// `wait_quiet` waits for the answer.
    PERSEUS_MEMBER bool push_quiet(uint32_t destination, uint64_t board_index) const {
        return push<Fence::none>(make_quiet(destination, board_index));
    }

    /// Thread. Waits until the command at `position` was copied out by the proxy.
    ///
    /// - Errors: PERSEUS_WAIT_RING_RETIRED. With its operands, a command is out when its last slot
    ///   is.
    PERSEUS_MEMBER bool wait_retired(uint64_t position) const {
        return wait_for_credit(
            position + 1, load_relaxed_gpu(pointer<uint64_t>(credit)), PERSEUS_WAIT_RING_RETIRED);
    }

    // ---- warp scope ------------------------------------------------------------------------

    /// Warp. Pushes one command without operands for each lane with `is_active`, in lane order,
    /// with one claim and one fence.
    ///
    /// - Returns: the same for all lanes.
    /// - Ordering: with Fence::system the payload of *all* lanes is ordered before each command.
    template <Fence kFence = Fence::system>
    PERSEUS_MEMBER bool push_batch(bool is_active, perseus_command command) const {
        const perseus_command slots[1] = {command};
        return push_lanes<1, kFence>(is_active, slots);
    }

    /// Warp. For each lane with `is_active` a put with a signal of its own, one word: 3 slots a
    /// lane, with one claim and one fence for the warp.
    ///
    /// - put: of `make_put_signal`; signal: of `make_signal_block` with one word, to the same
    ///   destination.
    template <Fence kFence = Fence::system>
    PERSEUS_MEMBER bool push_batch_put_signal(
        bool is_active, perseus_command put, perseus_command signal, uint64_t word) const {
        check(word >> PERSEUS_PARITY_SHIFT == 0);
        const perseus_command slots[3] = {put, signal, perseus_command{word, 0}};
        return push_lanes<3, kFence>(is_active, slots);
    }

    /// Warp. As the thread-scope function; the lanes store the operand slots side by side. All
    /// lanes pass the same arguments.
    template <Fence kFence = Fence::none>
    PERSEUS_MEMBER bool warp_push_signal_block(
        uint32_t destination, Place target, const uint64_t *words, uint32_t word_count,
        uint32_t flags = 0) const {
        return push_sequence<true, kFence>(
            perseus_command{0, 0}, 0, make_signal_block(destination, target, word_count, flags),
            words, word_count);
    }

    /// Warp. As the thread-scope function; the lanes store the operand slots side by side. All
    /// lanes pass the same arguments.
    template <Fence kFence = Fence::system>
    PERSEUS_MEMBER bool warp_push_put_signal(
        uint32_t destination, Place source, Place target, uint32_t byte_count, Place signal,
        const uint64_t *words, uint32_t word_count, uint32_t flags = 0) const {
        return push_sequence<true, kFence>(
            make_put_signal(destination, source, target, byte_count, flags), 1,
            make_signal_block(destination, signal, word_count, flags), words, word_count);
    }

    // ---- relay -----------------------------------------------------------------------------

    /// Thread; one for each ring and launch. Copies the host's `retired` word into the credit word.
    ///
    /// Relaxed on both sides: nothing is read through this word. A producer's store to a slot
    /// depends on the credit it loaded, the credit on `retired`, and the consumer stored `retired`
    /// after its reads of the slot.
    ///
    /// - Returns: the credit, in slots.
    /// - Cost: one read of host memory, about 1.1 us.
    PERSEUS_MEMBER uint64_t relay_once() const {
        uint64_t position = load_relaxed_sys(pointer<const uint64_t>(retired));
        store_relaxed_gpu(pointer<uint64_t>(credit), position);
        return position;
    }

    // ---- how -------------------------------------------------------------------------------

    /// Positions that belong to the caller, and the credit as it was when they were claimed.
    struct Claim {
        uint64_t position;
        uint64_t credit;
    };

    /// Thread. Takes `slot_count` positions. The credit is loaded beside the addition, which hides
    /// its latency; a credit that is older than the claim can only make the caller wait.
    PERSEUS_MEMBER Claim begin_claim(uint32_t slot_count) const {
        Claim own;
        own.credit = load_relaxed_gpu(pointer<const uint64_t>(credit));
        own.position = add_relaxed_gpu(pointer<uint64_t>(claimed), slot_count);
        return own;
    }

    /// Thread. Waits until the slots of `own` are free: position + slot_count <= credit + capacity.
    ///
    /// Relaxed: only stores follow, and a store does not pass the branch it depends on.
    PERSEUS_MEMBER bool wait_for_room(Claim own, uint32_t slot_count) const {
        uint64_t end = own.position + slot_count;
        return wait_for_credit(
            end - ((uint64_t)1 << capacity_log2), own.credit, PERSEUS_WAIT_RING_CREDIT);
    }

    /// Thread. Waits until the credit has reached `needed`, a signed difference away.
    PERSEUS_MEMBER bool wait_for_credit(
        uint64_t needed, uint64_t seen, perseus_wait_kind kind) const {
        if ((int64_t)(seen - needed) >= 0) return true;
        return poll_credit(
            pointer<const uint64_t>(credit), needed, cycle_limit,
            pointer<perseus_error_record>(error), kind, rank, index);
    }

    /// Out of line and by value, so that no caller needs a stack.
    static __device__ __noinline__ bool poll_credit(
        const uint64_t *credit, uint64_t needed, uint64_t cycle_limit, perseus_error_record *record,
        perseus_wait_kind kind, uint32_t rank, uint32_t index) {
        Patience patience(ErrorWord{record}, cycle_limit);
        uint64_t seen;
        do {
            seen = load_relaxed_gpu(credit);
            if ((int64_t)(seen - needed) >= 0) return true;
        } while (patience.is_left());
        patience.error.fail(kind, rank, index, needed, seen, patience.cycles());
        return false;
    }

    /// Thread. Stores one claimed slot; the consumer observes it when both parities match.
    PERSEUS_MEMBER void publish(uint64_t first, uint64_t second, uint64_t position) const {
        uint64_t parity = perseus_ring_parity(position, capacity_log2);
        uint64_t mask = ((uint64_t)1 << capacity_log2) - 1;
        perseus_command *slot = pointer<perseus_command>(slots) + (position & mask);
        store_relaxed_sys(slot, first | parity, second | parity);
    }

    /// Warp. `kSlots` slots for each active lane, lane after lane.
    template <int kSlots, Fence kFence>
    PERSEUS_MEMBER bool push_lanes(
        bool is_active, const perseus_command (&own_slots)[kSlots]) const {
        const unsigned everybody = 0xFFFFFFFFu;
        unsigned active = __ballot_sync(everybody, is_active);
        uint32_t slot_count = (uint32_t)__popc(active) * kSlots;
        if (slot_count == 0) return true;
        Claim own = {0, 0};
        if (lane_index() == 0) own = begin_claim(slot_count);
        if (kFence == Fence::system) {
            // The barrier gathers what the lanes wrote; the fence of each lane covers all of it.
            __syncwarp();
            __threadfence_system();
        }
        bool has_room = lane_index() != 0 || wait_for_room(own, slot_count);
        if (!__all_sync(everybody, has_room)) return false;
        uint64_t position = __shfl_sync(everybody, (unsigned long long)own.position, 0);
        if (is_active) {
            position += (uint32_t)__popc(active & lanes_below()) * kSlots;
#pragma unroll
            for (int slot = 0; slot < kSlots; slot++)
                publish(own_slots[slot].first, own_slots[slot].second, position + slot);
        }
        return true;
    }

    /// Thread or warp. `front_count` (0 or 1) commands without operands, a signalBlock's header,
    /// and its words, in consecutive slots.
    template <bool kIsWarp, Fence kFence>
    PERSEUS_MEMBER bool push_sequence(
        perseus_command front, uint32_t front_count, perseus_command header, const uint64_t *words,
        uint32_t word_count) const {
        const unsigned everybody = 0xFFFFFFFFu;
        uint32_t lane = kIsWarp ? lane_index() : 0;
        uint32_t slot_count = front_count + 1 + ((word_count + 1) >> 1);
        check(slot_count <= (uint32_t)1 << capacity_log2);
        Claim own = {0, 0};
        if (lane == 0) own = begin_claim(slot_count);
        if (kFence == Fence::system) {
            if (kIsWarp) __syncwarp();
            __threadfence_system();
        }
        bool has_room = lane != 0 || wait_for_room(own, slot_count);
        if (kIsWarp) {
            has_room = __all_sync(everybody, has_room);
            own.position = __shfl_sync(everybody, (unsigned long long)own.position, 0);
        }
        if (!has_room) return false;
        if (lane == 0) {
            if (front_count > 0) publish(front.first, front.second, own.position);
            publish(header.first, header.second, own.position + front_count);
        }
        uint64_t operands = own.position + front_count + 1;
        for (uint32_t word = lane * 2; word < word_count; word += kIsWarp ? 64 : 2) {
            // An odd count leaves the last half slot 0: parity only.
            uint64_t second = word + 1 < word_count ? words[word + 1] : 0;
            check((words[word] | second) >> PERSEUS_PARITY_SHIFT == 0);
            publish(words[word], second, operands + (word >> 1));
        }
        return true;
    }
};

/// Thread; one for each ring. Relays until `target` producers have added themselves to `*finished`,
/// or a wait of the launch has failed.
///
/// - finished: device memory; producers end with `finish`. Zeroed before the launch.
/// - pause: nanoseconds to sleep between two reads of the host's word. Each read delays the system
///   fences of the whole GPU a little; 0 gives the lowest latency, 1000 halves the disturbance.
/// - Errors: PERSEUS_WAIT_PRODUCERS, when nothing at all moved for twice the ring's cycle limit.
PERSEUS_DEVICE bool relay(
    const Ring &ring, const uint32_t *finished, uint32_t target, uint32_t pause = 0) {
    ErrorWord error = ring.error_word();
    long long moved = clock64();
    uint64_t credit = 0;
    while (true) {
        // Three loads in flight at once: the relay's period is that of the read from the host.
        uint64_t now = load_relaxed_sys(pointer<const uint64_t>(ring.retired));
        uint32_t ended = load_relaxed_gpu(finished);
        bool has_failed = error.is_set();
        store_relaxed_gpu(pointer<uint64_t>(ring.credit), now);
        if (ended >= target) return true;
        if (has_failed) return false;
        if (now != credit) {
            credit = now;
            moved = clock64();
        }
        uint64_t cycles = (uint64_t)(clock64() - moved);
        if (cycles > 2 * ring.cycle_limit) {
            error.fail(PERSEUS_WAIT_PRODUCERS, ring.rank, ring.index, target, ended, cycles);
            return false;
        }
        if (pause > 0) __nanosleep(pause);
    }
}

/// CTA; every thread of a producer block calls it last. Adds the block to `*finished`.
PERSEUS_DEVICE void finish(uint32_t *finished) {
    __syncthreads();
    if (threadIdx.x == 0) add_acq_rel_gpu(finished, 1);
}

// ---------------------------------------------------------------------------------------------
// Groups
// ---------------------------------------------------------------------------------------------

/// Thread. Arrives at a group counter; true for the one arrival that makes it `target`, the leader.
///
/// - counter: device memory, 0 before the first round and never reset: the n-th round of a group of
///   s arrivals has target n * s (modulo 2^32).
/// - Ordering: acq_rel at gpu scope. What every arrival wrote or pushed before is visible to the
///   leader. A CTA that arrives as one does so from one thread behind __syncthreads.
///
///     ring.push_put(...);                               // fenced payload, by each member
///     if (group_arrive(counter, round * members))       // the last one
///         ring.push_signal_block(peer, place, words, n);
PERSEUS_DEVICE bool group_arrive(uint32_t *counter, uint32_t target) {
    return add_acq_rel_gpu(counter, 1) + 1 == target;
}

// ---------------------------------------------------------------------------------------------
// Signal words (perseus_signal.h) and the completion board
// ---------------------------------------------------------------------------------------------

/// Thread. Whether the word at `word` has reached `epoch`; acquires what its writer ordered before
/// it.
///
/// - seen: the word as it was read, whether reached or not.
PERSEUS_DEVICE bool signal_reached(const uint64_t *word, uint32_t epoch, uint64_t &seen) {
    seen = load_acquire_sys(word);
    return perseus_signal_reached(seen, epoch);
}

/// Thread. Waits for a signal word in device memory.
///
/// - word: device memory of this rank; written by the NIC, or by a peer with `store_signal`.
/// - seen: the word, for its row fields.
/// - index: of the word, for the error record.
/// - cycle_limit: SM clock cycles.
/// - Ordering: acquire at system scope; pairs with the ordering of the proxy's transport, or with
///   the release of `store_signal`. For TMA reads behind it see `fence_before_async_read`.
/// - Errors: false with PERSEUS_WAIT_SIGNAL.
PERSEUS_DEVICE bool wait_signal(
    const uint64_t *word, uint32_t epoch, uint64_t cycle_limit, ErrorWord error, uint32_t rank,
    uint64_t index, uint64_t &seen) {
    if (signal_reached(word, epoch, seen)) return true;
    Patience patience(error, cycle_limit);
    while (patience.is_left())
        if (signal_reached(word, epoch, seen)) return true;
    error.fail(PERSEUS_WAIT_SIGNAL, rank, index, epoch, seen, patience.cycles());
    return false;
}

/// Thread. Shows a signal word to a rank of this node, whose memory `word` is.
///
/// Release at system scope: rows that this thread wrote into the peer's arena, or observed through
/// a barrier, are visible before the word. For rows that a bulk store wrote see
/// `fence_after_async_write`.
PERSEUS_DEVICE void store_signal(uint64_t *word, uint64_t value) {
    store_release_sys(word, value);
}

/// Thread. Waits until a completion-board word has counted `least` quiets.
///
/// - word: device memory that the proxy's board is relayed to; never the host's word itself.
/// - Errors: false with PERSEUS_WAIT_QUIET.
PERSEUS_DEVICE bool wait_quiet(
    const uint64_t *word, uint64_t least, uint64_t cycle_limit, ErrorWord error, uint32_t rank,
    uint64_t index) {
    Patience patience(error, cycle_limit);
    uint64_t seen;
    do {
        seen = load_acquire_sys(word);
        if ((int64_t)(seen - least) >= 0) return true;
    } while (patience.is_left());
    error.fail(PERSEUS_WAIT_QUIET, rank, index, least, seen, patience.cycles());
    return false;
}

} // namespace perseus

#endif
