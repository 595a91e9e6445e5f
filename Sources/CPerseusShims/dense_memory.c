// Chunks of one huge page, filled from front to back, each counting what is used of it.

#include "perseus_dense_memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { CHUNK_BYTES = 2 << 20, SHARED_LIMIT = CHUNK_BYTES / 2, FIRST_OFFSET = 64 };

/// At the start of a chunk, which is aligned to `CHUNK_BYTES`: a table's address names its chunk.
struct chunk {
    /// Tables that are used, and one while a thread fills the chunk.
    atomic_size_t useCount;
    size_t byteCount;
    /// The next table begins here or behind; for the thread that fills the chunk.
    size_t offset;
};

static pthread_key_t currentKey;
static pthread_once_t keyOnce = PTHREAD_ONCE_INIT;

static void drop(struct chunk *chunk) {
    if (atomic_fetch_sub_explicit(&chunk->useCount, 1, memory_order_acq_rel) == 1) {
        munmap(chunk, chunk->byteCount);
    }
}

static void dropCurrent(void *chunk) { drop(chunk); }

static void makeKey(void) { pthread_key_create(&currentKey, dropCurrent); }

/// Maps at least `byteCount` bytes that begin with a chunk's boundary.
static struct chunk *map(size_t byteCount) {
    size_t page = 4096;
    byteCount = (byteCount + page - 1) & ~(page - 1);
    size_t mapped = byteCount + CHUNK_BYTES;
    char *memory = mmap(
        NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "perseus: no memory for %zu bytes\n", byteCount);
        abort();
    }
    size_t before = -(uintptr_t)memory & (CHUNK_BYTES - 1);
    if (before > 0) munmap(memory, before);
    munmap(memory + before + byteCount, mapped - before - byteCount);
    struct chunk *chunk = (struct chunk *)(memory + before);
    if (byteCount > SHARED_LIMIT) madvise(chunk, byteCount, MADV_HUGEPAGE);
    atomic_init(&chunk->useCount, 1);
    chunk->byteCount = byteCount;
    chunk->offset = FIRST_OFFSET;
    return chunk;
}

/// Where the next table of the chunk begins.
static size_t place(const struct chunk *chunk, size_t alignment) {
    return (chunk->offset + alignment - 1) & ~(alignment - 1);
}

void *perseus_dense_allocate(size_t byteCount, size_t alignment) {
    if (alignment < 16) alignment = 16;
    if (byteCount > SHARED_LIMIT) {
        struct chunk *chunk = map(byteCount + alignment + FIRST_OFFSET);
        return (char *)chunk + place(chunk, alignment);
    }
    pthread_once(&keyOnce, makeKey);
    struct chunk *chunk = pthread_getspecific(currentKey);
    // All that was in it has been freed.
    if (chunk && atomic_load_explicit(&chunk->useCount, memory_order_acquire) == 1) {
        chunk->offset = FIRST_OFFSET;
    }
    if (!chunk || place(chunk, alignment) + byteCount > CHUNK_BYTES) {
        if (chunk) drop(chunk);
        chunk = map(CHUNK_BYTES);
        pthread_setspecific(currentKey, chunk);
    }
    size_t offset = place(chunk, alignment);
    chunk->offset = offset + byteCount;
    atomic_fetch_add_explicit(&chunk->useCount, 1, memory_order_relaxed);
    return (char *)chunk + offset;
}

void perseus_dense_free(void *memory) {
    if (memory) drop((struct chunk *)((uintptr_t)memory & ~(uintptr_t)(CHUNK_BYTES - 1)));
}
