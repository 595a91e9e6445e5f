// What the allocator does with memory that was freed.
#ifndef PERSEUS_ALLOCATOR_H
#define PERSEUS_ALLOCATOR_H

#include <malloc.h>

/// Gives the pages of freed blocks back to the system; what is allocated in their place is untouched again.
/// Threading: any thread.
static inline void perseus_return_freed_pages(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

#endif
