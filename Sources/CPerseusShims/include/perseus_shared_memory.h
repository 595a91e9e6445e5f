// Memory that several processes map, and a child process to map it in.
#ifndef PERSEUS_SHARED_MEMORY_H
#define PERSEUS_SHARED_MEMORY_H

#include <stddef.h>
#include <sys/types.h>

/// Creates an anonymous shared memory file of `byte_count` zero bytes. Returns its descriptor or
/// -errno.
int perseus_shared_memory_create(const char *name, size_t byte_count);

/// Maps `byte_count` bytes of `descriptor`, readable and writable, shared. NULL on failure, with
/// errno set.
void *perseus_shared_memory_map(int descriptor, size_t byte_count);

/// Removes a mapping. Returns 0 or an errno.
int perseus_shared_memory_unmap(void *address, size_t byte_count);

/// Forks a child that runs `body(context)` and exits with its result, which must not allocate or
/// lock: the parent may have other threads. Returns the child's process id or -errno.
pid_t perseus_fork_child(int (*body)(void *context), void *context);

/// Waits for a child. Returns its exit status, or 256 + the signal that ended it, or -errno.
int perseus_wait_child(pid_t child);

#endif
