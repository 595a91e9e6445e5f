// The command ring in plain C: what the Swift ring is measured against, over the same layout.
#ifndef PERSEUS_BASELINE_RING_H
#define PERSEUS_BASELINE_RING_H

#include <stdint.h>

/// Pushes `count` puts of `producer`, waiting while the ring at `ring` is full.
void perseus_baseline_ring_push_puts(void *ring, uint64_t producer, uint64_t count);

/// Pushes `count` pairs of a putSignal and a signalBlock of 8 words.
void perseus_baseline_ring_push_pairs(void *ring, uint64_t producer, uint64_t count);

/// Drains `count` commands in batches of at most 32. Returns the sum of all their words.
uint64_t perseus_baseline_ring_drain(void *ring, uint64_t count);

/// On one thread: pushes 32 puts, drains them, until `count` went through. Returns the sum.
uint64_t perseus_baseline_ring_cycle(void *ring, uint64_t count);

#endif
