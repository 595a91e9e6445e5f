// The protocol of perseus_ring.h written in plain C, independently of the Swift ring.
#include "perseus_baseline_ring.h"

#include "perseus_ring.h"

#include <sched.h>
#include <stdbool.h>

enum { BATCH = 32, SIGNAL_WORDS = 8, SPINS_BEFORE_YIELD = 256, PAUSES_WHEN_CAUGHT_UP = 256 };

typedef struct {
    uint64_t *slots;
    uint64_t *claimed;
    uint64_t *retired;
    uint64_t capacity;
    unsigned capacity_log2;
} ring_view;

typedef struct {
    ring_view ring;
    uint64_t position;
} consumer;

static ring_view view(void *memory) {
    perseus_ring_header *header = memory;
    return (ring_view){
        .slots = (uint64_t *)(header + 1),
        .claimed = &header->claimed,
        .retired = &header->retired,
        .capacity = header->capacity,
        .capacity_log2 = (unsigned)__builtin_ctz(header->capacity),
    };
}

static inline void wait_a_little(unsigned *spins) {
    if (++*spins % SPINS_BEFORE_YIELD == 0) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// As in the Swift loop: polling at once would take the line away from the producer at every slot.
static inline void wait_when_caught_up(unsigned *spins) {
    for (int pause = 0; pause < PAUSES_WHEN_CAUGHT_UP; pause++) wait_a_little(spins);
}

static inline bool claim(const ring_view *ring, uint64_t slots, uint64_t *position) {
    for (;;) {
        uint64_t retired = __atomic_load_n(ring->retired, __ATOMIC_ACQUIRE);
        uint64_t claimed = __atomic_load_n(ring->claimed, __ATOMIC_RELAXED);
        if (claimed - retired + slots > ring->capacity) return false;
        if (__atomic_compare_exchange_n(ring->claimed, &claimed, claimed + slots, false,
                __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            *position = claimed;
            return true;
        }
    }
}

static inline void publish(
    const ring_view *ring, uint64_t position, uint64_t first, uint64_t second) {
    uint64_t *slot = ring->slots + (position & (ring->capacity - 1)) * 2;
    uint64_t parity = perseus_ring_parity(position, ring->capacity_log2);
    __atomic_store_n(slot + 1, second | parity, __ATOMIC_RELAXED);
    __atomic_store_n(slot, first | parity, __ATOMIC_RELEASE);
}

static inline bool observe(
    const ring_view *ring, uint64_t position, uint64_t *first, uint64_t *second) {
    uint64_t *slot = ring->slots + (position & (ring->capacity - 1)) * 2;
    uint64_t parity = perseus_ring_parity(position, ring->capacity_log2);
    uint64_t word = __atomic_load_n(slot, __ATOMIC_ACQUIRE) ^ parity;
    if (word >> 63) return false;
    *first = word;
    word = __atomic_load_n(slot + 1, __ATOMIC_ACQUIRE) ^ parity;
    *second = word;
    return word >> 63 == 0;
}

static inline bool next(consumer *self, perseus_command *command, uint64_t *operands) {
    perseus_command header;
    if (!observe(&self->ring, self->position, &header.first, &header.second)) return false;
    uint64_t slots = perseus_command_operand_slots(header.first);
    for (uint64_t index = 0; index < slots; index++) {
        uint64_t *pair = operands + index * 2;
        if (!observe(&self->ring, self->position + 1 + index, pair, pair + 1)) return false;
    }
    *command = header;
    self->position += 1 + slots;
    return true;
}

static inline perseus_command make_put(uint64_t opcode, uint64_t producer, uint64_t index) {
    uint64_t offset = index & 0xFFFFFF;
    return (perseus_command){
        .first = perseus_command_first(opcode, 0, 0, 1, offset),
        .second = perseus_command_second(producer, 0, offset),
    };
}

static inline void push_put(const ring_view *ring, uint64_t producer, uint64_t index) {
    perseus_command put = make_put(PERSEUS_OPCODE_PUT, producer, index);
    uint64_t position;
    unsigned spins = 0;
    while (!claim(ring, 1, &position)) wait_a_little(&spins);
    publish(ring, position, put.first, put.second);
}

void perseus_baseline_ring_push_puts(void *memory, uint64_t producer, uint64_t count) {
    ring_view ring = view(memory);
    for (uint64_t index = 0; index < count; index++) push_put(&ring, producer, index);
}

void perseus_baseline_ring_push_pairs(void *memory, uint64_t producer, uint64_t count) {
    ring_view ring = view(memory);
    uint64_t words[SIGNAL_WORDS];
    for (uint64_t index = 0; index < count; index++) {
        perseus_command put = make_put(PERSEUS_OPCODE_PUT_SIGNAL, producer, index);
        for (uint64_t word = 0; word < SIGNAL_WORDS; word++) words[word] = index + word;
        uint64_t position;
        unsigned spins = 0;
        while (!claim(&ring, 2 + SIGNAL_WORDS / 2, &position)) wait_a_little(&spins);
        publish(&ring, position, put.first, put.second);
        publish(&ring, position + 1,
            perseus_command_first(PERSEUS_OPCODE_SIGNAL_BLOCK, 0, 1, SIGNAL_WORDS, 0),
            perseus_command_second(producer, 0, 0));
        for (uint64_t word = 0; word < SIGNAL_WORDS; word += 2) {
            publish(&ring, position + 2 + word / 2, words[word], words[word + 1]);
        }
    }
}

static inline uint64_t drain_batch(consumer *self, uint64_t limit, uint64_t *sum) {
    perseus_command command;
    uint64_t operands[PERSEUS_MAX_OPERAND_WORDS];
    uint64_t drained = 0;
    while (drained < limit && next(self, &command, operands)) {
        *sum += command.first + command.second;
        uint64_t words = perseus_command_operand_slots(command.first) * 2;
        for (uint64_t word = 0; word < words; word++) *sum += operands[word];
        drained++;
    }
    if (drained > 0) __atomic_store_n(self->ring.retired, self->position, __ATOMIC_RELEASE);
    return drained;
}

static consumer attach(void *memory) {
    consumer self = {.ring = view(memory)};
    self.position = __atomic_load_n(self.ring.retired, __ATOMIC_ACQUIRE);
    return self;
}

uint64_t perseus_baseline_ring_drain(void *memory, uint64_t count) {
    consumer self = attach(memory);
    uint64_t sum = 0;
    unsigned spins = 0;
    for (uint64_t drained = 0; drained < count;) {
        uint64_t left = count - drained;
        uint64_t limit = left < BATCH ? left : BATCH;
        uint64_t batch = drain_batch(&self, limit, &sum);
        if (batch < limit) wait_when_caught_up(&spins);
        drained += batch;
    }
    return sum;
}

uint64_t perseus_baseline_ring_cycle(void *memory, uint64_t count) {
    consumer self = attach(memory);
    uint64_t sum = 0;
    for (uint64_t done = 0; done < count; done += BATCH) {
        for (uint64_t index = 0; index < BATCH; index++) push_put(&self.ring, 0, done + index);
        drain_batch(&self, BATCH, &sum);
    }
    return sum;
}
