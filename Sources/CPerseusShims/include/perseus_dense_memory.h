// Memory for the many small tables of a job, side by side on huge pages.
#ifndef PERSEUS_DENSE_MEMORY_H
#define PERSEUS_DENSE_MEMORY_H

#include <stddef.h>

/// Uninitialised memory for `byteCount` bytes. `alignment` is a power of two, at most 4096. Never returns NULL.
///
/// What one thread asks for in a row lies in a row, so tables that are used together share pages, and a processor that
/// walks over many of them needs few entries of its TLB. For tables all of which are used: a huge page that is touched
/// anywhere is there as a whole.
/// Threading: any thread.
void *perseus_dense_allocate(size_t byteCount, size_t alignment);

/// Frees what `perseus_dense_allocate` returned. Pages go back when nothing on them is used any more.
/// Threading: any thread.
void perseus_dense_free(void *memory);

#endif
