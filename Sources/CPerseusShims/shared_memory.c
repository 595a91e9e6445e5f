// Shared mappings over memfd, and fork/wait for the tests and runners that need a second process.
#define _GNU_SOURCE
#include "perseus_shared_memory.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int perseus_shared_memory_create(const char *name, size_t byte_count) {
    int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0) return -errno;
    if (ftruncate(descriptor, (off_t)byte_count) != 0) {
        int failure = errno;
        close(descriptor);
        return -failure;
    }
    return descriptor;
}

void *perseus_shared_memory_map(int descriptor, size_t byte_count) {
    void *address = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    return address == MAP_FAILED ? NULL : address;
}

int perseus_shared_memory_unmap(void *address, size_t byte_count) {
    return munmap(address, byte_count) == 0 ? 0 : errno;
}

pid_t perseus_fork_child(int (*body)(void *context), void *context) {
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) _exit(body(context));
    return child;
}

int perseus_wait_child(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return -errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}
