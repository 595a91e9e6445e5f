// Sending without a proxy: work requests that the kernel writes into its NIC's send queue (perseus_direct.h).
#pragma once

#include "layer.cuh"
#include "perseus_direct.h"

namespace perseus {

/// The rank's send queue. Positions, credit and limits are those of a command ring whose slots are the entries and whose
/// `retired` word is the NIC's `completed`; the same relay feeds its credit.
struct SendQueue : Ring {
    PERSEUS_MEMBER explicit SendQueue(const perseus_device_rank &rank) : Ring(rank.rings[0]) {}

    /// Thread. Waits until the claimed entries are free.
    PERSEUS_MEMBER bool wait_for_entries(Claim own, uint32_t count) const {
        return wait_for_credit(own.position + count - (static_cast<uint64_t>(1) << capacity_log2),
            own.credit, PERSEUS_WAIT_SEND_QUEUE);
    }

    /// Thread. Stores one claimed entry, piece by piece; the NIC takes it when all words have the lap's parity.
    PERSEUS_MEMBER void post(const perseus_direct_request &request, uint64_t position) const {
        const uint64_t parity = perseus_ring_parity(position, capacity_log2);
        const uint64_t mask = (static_cast<uint64_t>(1) << capacity_log2) - 1;
        perseus_command *pieces = pointer<perseus_command>(slots) + 4 * (position & mask);
        store_relaxed_sys(pieces, request.words[0] | parity,
            (position & ~(static_cast<uint64_t>(1) << PERSEUS_PARITY_SHIFT)) | parity);
#pragma unroll
        for (int piece = 1; piece < 4; ++piece) {
            store_relaxed_sys(pieces + piece, request.words[2 * piece] | parity,
                request.words[2 * piece + 1] | parity);
        }
    }

    /// Thread. Waits until everything that was claimed before has completed.
    PERSEUS_MEMBER bool wait_until_idle() const {
        const uint64_t end = load_relaxed_gpu(pointer<const uint64_t>(claimed));
        return wait_for_credit(
            end, load_relaxed_gpu(pointer<const uint64_t>(credit)), PERSEUS_WAIT_QUIET);
    }
};

/// Consecutive rows as writes of at most PERSEUS_MAX_PUT_BYTES, and behind them the signal words that announce them. One
/// thread. What the rows hold has been fenced at gpu scope towards this thread; the fence here makes it the system's.
///
/// All entries are claimed together, and the last one asks for a completion: whoever waits for room waits for entries
/// that complete.
///
/// - byte_count, word_count: either may be 0, not both.
/// - flags: of commands (`PERSEUS_FLAG_COMBINE`).
/// - is_ordered: the words announce rows, so they need an order behind them.
__device__ __noinline__ bool post_requests(LayerView layer, uint32_t destination, uint64_t source,
    uint64_t target, uint64_t byte_count, uint64_t word_index, const uint64_t *words,
    uint32_t word_count, uint32_t flags, bool is_ordered) {
    const SendQueue queue(layer.rank());
    const uint32_t most = layer.layer->inline_words;
    const uint32_t puts =
        static_cast<uint32_t>((byte_count + PERSEUS_MAX_PUT_BYTES - 1) / PERSEUS_MAX_PUT_BYTES);
    const uint32_t count = puts + (word_count + most - 1) / most;
    const Ring::Claim own = queue.begin_claim(count);
    __threadfence_system();
    if (!queue.wait_for_entries(own, count)) return false;
    const uint32_t common = (flags & PERSEUS_FLAG_COMBINE ? PERSEUS_DIRECT_COMBINE : 0)
        | (layer.layer->completes_in_order ? 0 : PERSEUS_DIRECT_SIGNALED);
    uint64_t position = own.position;
    const uint64_t last = own.position + count - 1;
    while (byte_count > 0) {
        const uint32_t bytes = static_cast<uint32_t>(
            min(byte_count, static_cast<uint64_t>(PERSEUS_MAX_PUT_BYTES)));
        queue.post(perseus_direct_put(destination, PERSEUS_REGION_DATA, source, PERSEUS_REGION_DATA,
                       target, bytes,
                       common | (position == last ? PERSEUS_DIRECT_SIGNALED | PERSEUS_DIRECT_DOORBELL : 0)),
            position);
        source += bytes;
        target += bytes;
        byte_count -= bytes;
        ++position;
    }
    uint32_t fence = is_ordered && layer.layer->fences_signals ? PERSEUS_DIRECT_FENCED : 0;
    for (uint32_t first = 0; first < word_count; first += most) {
        queue.post(perseus_direct_signal(destination, PERSEUS_REGION_SIGNAL, (word_index + first) * 8,
                       words + first, min(most, word_count - first),
                       common | fence
                           | (position == last ? PERSEUS_DIRECT_SIGNALED | PERSEUS_DIRECT_DOORBELL : 0)),
            position);
        // Later ones of the same peer stay behind the fenced one anyway.
        fence = 0;
        ++position;
    }
    return true;
}

}  // namespace perseus
