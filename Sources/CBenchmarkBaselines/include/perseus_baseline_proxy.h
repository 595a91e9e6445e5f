// The proxy loop in plain C: what the Swift proxy is measured against, over the same ring and NIC.
#ifndef PERSEUS_BASELINE_PROXY_H
#define PERSEUS_BASELINE_PROXY_H

#include <stdbool.h>
#include <stdint.h>

/// One ordering, as `OrderingPlan` describes it.
typedef struct perseus_baseline_plan {
    /// Before a signal: 0 nothing, 1 wait for its destination, 2 wait for every destination.
    uint8_t wait;
    /// The first signal of a group carries the fence flag.
    bool flags_signal;
    /// Signals travel as writes with immediate into the shadow region.
    bool is_immediate;
    /// Every put carries an immediate.
    bool counts_data;
} perseus_baseline_plan;

/// What one proxy did; the fields are those of `ProxyCounters`.
typedef struct perseus_baseline_counters {
    uint64_t commands;
    uint64_t dispatch_puts;
    uint64_t combine_puts;
    uint64_t signals;
    uint64_t signal_words;
    uint64_t dispatch_fences;
    uint64_t combine_fences;
    uint64_t drains;
    uint64_t drain_nanoseconds;
    uint64_t doorbells;
    uint64_t completions;
    uint64_t bytes_sent;
    uint64_t parked_commands;
} perseus_baseline_counters;

typedef struct perseus_baseline_proxy perseus_baseline_proxy;

/// A proxy that drains the ring at `ring` into a NIC that completes at once. `queue_count` queue
/// pairs serve `rank_count` destinations. The batch, pools and limits are those that
/// `ProxyConfiguration` starts with. Free it with `perseus_baseline_proxy_destroy`.
perseus_baseline_proxy *perseus_baseline_proxy_create(
    void *ring, uint32_t rank_count, uint32_t queue_count, perseus_baseline_plan plan);

/// Steps until a step finds nothing to do. Returns the number of steps, counted into `*now`.
uint64_t perseus_baseline_proxy_run(perseus_baseline_proxy *proxy, uint64_t *now);

perseus_baseline_counters perseus_baseline_proxy_counters(const perseus_baseline_proxy *proxy);

/// Of the last requests that reached the NIC, with their payloads.
uint64_t perseus_baseline_proxy_checksum(const perseus_baseline_proxy *proxy);

void perseus_baseline_proxy_destroy(perseus_baseline_proxy *proxy);

#endif
