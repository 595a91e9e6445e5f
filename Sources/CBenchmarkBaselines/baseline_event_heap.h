// A 4-ary heap of timed events for one type of payload: the algorithm of EventHeap.swift in C. No include guard.
//
// Define before including: NAME(x), the name of `x` for this payload; PAYLOAD, its type.

typedef struct {
    uint64_t time;
    uint32_t sequence;
    PAYLOAD payload;
} NAME(event);

typedef struct {
    NAME(event) *events;
    uint64_t count;
    uint32_t next_sequence;
} NAME(heap);

// Time, then sequence, as one number: no branch on what cannot be predicted.
static inline unsigned __int128 NAME(order)(const NAME(event) *event) {
    return (unsigned __int128)event->time << 64 | event->sequence;
}

static inline bool NAME(is_before)(const NAME(event) *one, const NAME(event) *other) {
    return NAME(order)(one) < NAME(order)(other);
}

// The earliest of four places, of which the first at least is an event.
static inline uint64_t NAME(earliest_child)(const NAME(event) *events, uint64_t parent) {
    uint64_t child = 4 * parent + 1;
    uint64_t left = child + NAME(is_before)(&events[child + 1], &events[child]);
    uint64_t right = child + 2 + NAME(is_before)(&events[child + 3], &events[child + 2]);
    return UNPREDICTABLE(NAME(is_before)(&events[right], &events[left])) ? right : left;
}

// Makes a place behind the last event later than every event.
static inline void NAME(pad)(NAME(event) *place) {
    place->time = UINT64_MAX;
    place->sequence = UINT32_MAX;
}

ALWAYS_INLINE NAME(event) NAME(pop)(NAME(heap) *heap) {
    NAME(event) *events = heap->events;
    NAME(event) first = events[0];
    uint64_t count = --heap->count;
    // It stays where it is while the hole sinks: even as one of four children it is not earlier than itself.
    NAME(event) *last = &events[count];
    unsigned __int128 order = NAME(order)(last);
    uint64_t hole = 0;
    while (4 * hole + 1 < count) {
        uint64_t child = NAME(earliest_child)(events, hole);
        if (NAME(order)(&events[child]) >= order) break;
        events[hole] = events[child];
        hole = child;
    }
    events[hole] = *last;
    NAME(pad)(last);
    return first;
}

static __attribute__((noinline)) void NAME(renumber)(NAME(heap) *heap) {
    uint64_t total = heap->count;
    NAME(event) *sorted = malloc(total * sizeof(NAME(event)));
    if (!sorted) abort();
    for (uint64_t index = 0; index < total; index++) sorted[index] = NAME(pop)(heap);
    for (uint64_t index = 0; index < total; index++) {
        heap->events[index] = sorted[index];
        heap->events[index].sequence = (uint32_t)index;
    }
    free(sorted);
    heap->count = total;
    heap->next_sequence = (uint32_t)total;
}

ALWAYS_INLINE void NAME(push)(NAME(heap) *heap, uint64_t time, PAYLOAD payload) {
    if (heap->next_sequence == UINT32_MAX) NAME(renumber)(heap);
    NAME(event) event = {time, heap->next_sequence++, payload};
    NAME(event) *events = heap->events;
    uint64_t hole = heap->count++;
    NAME(pad)(&events[hole + PADDING_COUNT]);
    while (hole > 0) {
        uint64_t parent = (hole - 1) / 4;
        if (!NAME(is_before)(&event, &events[parent])) break;
        events[hole] = events[parent];
        hole = parent;
    }
    events[hole] = event;
}

static void NAME(fill)(NAME(heap) *heap, uint64_t pending, uint64_t *random) {
    heap->events = malloc((pending + PADDING_COUNT) * sizeof(NAME(event)));
    if (!heap->events) abort();
    for (uint64_t index = 0; index < PADDING_COUNT; index++) NAME(pad)(&heap->events[index]);
    for (uint64_t index = 0; index < pending; index++) {
        NAME(push)(heap, next_increment(random), NAME(payload_of)((uint32_t)index));
    }
}

static __attribute__((noinline)) uint64_t NAME(hold)(
    NAME(heap) *heap, uint64_t *random, uint64_t count) {
    uint64_t sum = CHECKSUM_START;
    for (uint64_t done = 0; done < count; done++) {
        NAME(event) event = NAME(pop)(heap);
        sum = (sum ^ event.time ^ NAME(word_of)(event.payload)) * CHECKSUM_FACTOR;
        NAME(push)(heap, event.time + next_increment(random), event.payload);
    }
    return sum;
}

#undef NAME
#undef PAYLOAD
