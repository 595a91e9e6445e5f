// The event queue in plain C: what the simulator's heap is measured against, in the same layout.
#ifndef PERSEUS_BASELINE_EVENTS_H
#define PERSEUS_BASELINE_EVENTS_H

#include <stdint.h>

/// What an event carries.
typedef enum perseus_baseline_payload {
    /// 4 bytes, as the events of virtual time: 16 bytes an event.
    PERSEUS_BASELINE_PAYLOAD_RUNNER,
    /// 12 bytes, as the events of the soft NIC: 24 bytes an event.
    PERSEUS_BASELINE_PAYLOAD_NIC,
} perseus_baseline_payload;

typedef struct perseus_baseline_events perseus_baseline_events;

/// A queue that holds `pending` events at random times drawn from `seed`. Free it with
/// `perseus_baseline_events_destroy`.
perseus_baseline_events *perseus_baseline_events_create(
    perseus_baseline_payload payload, uint64_t pending, uint64_t seed);

/// `count` times: removes the earliest event and adds its successor, a random time later. Returns a
/// checksum of what came out, in its order.
uint64_t perseus_baseline_events_hold(perseus_baseline_events *queue, uint64_t count);

void perseus_baseline_events_destroy(perseus_baseline_events *queue);

#endif
