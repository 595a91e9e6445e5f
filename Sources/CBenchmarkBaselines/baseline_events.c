// The hold model over two heaps, one for each payload of the simulator.
#include "perseus_baseline_events.h"

#include <stdbool.h>
#include <stdlib.h>

#define CHECKSUM_START 0xCBF29CE484222325u
#define CHECKSUM_FACTOR 0x100000001B3u
#define INCREMENT_MASK 0xFFFFu
#define PADDING_COUNT 3
// Of two comparisons that are both as likely: a conditional move, where the compiler can be told.
#if defined(__has_builtin) && __has_builtin(__builtin_unpredictable)
#define UNPREDICTABLE(condition) __builtin_unpredictable(condition)
#else
#define UNPREDICTABLE(condition) (condition)
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

// xorshift64: as little as possible beside the heap.
static inline uint64_t next_increment(uint64_t *random) {
    uint64_t word = *random;
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    *random = word;
    return word & INCREMENT_MASK;
}

static inline uint32_t runner_payload_of(uint32_t index) { return index; }
static inline uint64_t runner_word_of(uint32_t payload) { return payload; }

#define NAME(name) runner_##name
#define PAYLOAD uint32_t
#include "baseline_event_heap.h"

typedef struct {
    uint8_t kind;
    uint16_t fragment;
    int32_t entry;
    uint32_t immediate;
} nic_payload;

_Static_assert(sizeof(nic_payload) == 12, "the layout of NICEvent");

static inline nic_payload nic_payload_of(uint32_t index) {
    return (nic_payload){
        .kind = index % 5, .fragment = index % 4, .entry = (int32_t)index, .immediate = ~index};
}

static inline uint64_t nic_word_of(nic_payload payload) {
    return payload.kind + payload.fragment + (uint64_t)payload.immediate
        + ((uint64_t)payload.entry << 32);
}

#define NAME(name) nic_##name
#define PAYLOAD nic_payload
#include "baseline_event_heap.h"

_Static_assert(sizeof(runner_event) == 16 && sizeof(nic_event) == 24, "the layouts of EventHeap");

struct perseus_baseline_events {
    perseus_baseline_payload payload;
    runner_heap runner;
    nic_heap nic;
    uint64_t random;
};

perseus_baseline_events *perseus_baseline_events_create(
    perseus_baseline_payload payload, uint64_t pending, uint64_t seed) {
    perseus_baseline_events *queue = calloc(1, sizeof *queue);
    if (!queue) abort();
    queue->payload = payload;
    queue->random = seed;
    if (payload == PERSEUS_BASELINE_PAYLOAD_RUNNER) {
        runner_fill(&queue->runner, pending, &queue->random);
    } else {
        nic_fill(&queue->nic, pending, &queue->random);
    }
    return queue;
}

uint64_t perseus_baseline_events_hold(perseus_baseline_events *queue, uint64_t count) {
    return queue->payload == PERSEUS_BASELINE_PAYLOAD_RUNNER
        ? runner_hold(&queue->runner, &queue->random, count)
        : nic_hold(&queue->nic, &queue->random, count);
}

void perseus_baseline_events_destroy(perseus_baseline_events *queue) {
    free(queue->runner.events);
    free(queue->nic.events);
    free(queue);
}
