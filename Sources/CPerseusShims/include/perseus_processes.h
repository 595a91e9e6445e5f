// What a process says of itself and of its parent: the parts of Linux that Swift's Glibc module does not show.
#ifndef PERSEUS_PROCESSES_H
#define PERSEUS_PROCESSES_H

#include <stdint.h>
#include <sys/types.h>

/// Has the system end this process when `parent` does. Returns 0, or ESRCH when `parent` is not the parent (any
/// more), or another errno.
int perseus_end_with_parent(pid_t parent);

/// A number that two files share only when their bytes are the same, as far as 64 bits can tell; 0 when the file
/// cannot be read. Not for secrets.
uint64_t perseus_file_checksum(const char *path);

/// Keeps the file from being made shorter or longer, so that a mapping of it cannot lose its pages. Returns 0 or an
/// errno.
int perseus_seal_size(int descriptor);

/// Whether `perseus_seal_size` was called on the file: 1 or 0.
int perseus_is_size_sealed(int descriptor);

#endif
