// Parents, checksums and seals.
#define _GNU_SOURCE
#include "perseus_processes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

int perseus_end_with_parent(pid_t parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
    // It may have ended before the call.
    return getppid() == parent ? 0 : ESRCH;
}

static uint64_t mixed(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

static uint64_t checksum(const unsigned char *bytes, size_t count) {
    uint64_t sum = mixed(count);
    size_t index = 0;
    for (; index + 8 <= count; index += 8) {
        uint64_t word;
        memcpy(&word, bytes + index, 8);
        sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
        sum ^= sum >> 29;
    }
    for (; index < count; index++) sum = (sum ^ bytes[index]) * 0x9E3779B97F4A7C15u;
    return mixed(sum);
}

uint64_t perseus_file_checksum(const char *path) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return 0;
    struct stat status;
    uint64_t sum = 0;
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        size_t count = (size_t)status.st_size;
        void *bytes = mmap(NULL, count, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (bytes != MAP_FAILED) {
            sum = checksum(bytes, count);
            munmap(bytes, count);
        }
    }
    close(descriptor);
    return sum;
}

int perseus_seal_size(int descriptor) {
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    return fcntl(descriptor, F_ADD_SEALS, seals) == 0 ? 0 : errno;
}

int perseus_is_size_sealed(int descriptor) {
    int seals = fcntl(descriptor, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) && (seals & F_SEAL_GROW);
}
