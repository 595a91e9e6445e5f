// Cores, affinity and sleeping, out of line: none of it belongs on a hot path.
#define _GNU_SOURCE
#include "perseus_threads.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

void perseus_yield(void) {
    sched_yield();
}

void perseus_sleep_nanoseconds(uint64_t nanoseconds) {
    struct timespec left = {
        .tv_sec = (time_t)(nanoseconds / 1000000000u),
        .tv_nsec = (long)(nanoseconds % 1000000000u),
    };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

int perseus_core_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
    return CPU_COUNT(&set);
}

int perseus_usable_core(int index) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) return -1;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, &set) && index-- == 0) return core;
    }
    return -1;
}

int perseus_pin_thread(int core) {
    if (core < 0 || core >= CPU_SETSIZE) return EINVAL;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

int perseus_set_thread_affinity(uint64_t mask) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int core = 0; core < 64; core++) {
        if (mask >> core & 1) CPU_SET(core, &set);
    }
    return pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

uint64_t perseus_get_thread_affinity(void) {
    cpu_set_t set;
    if (pthread_getaffinity_np(pthread_self(), sizeof(set), &set) != 0) return 0;
    uint64_t mask = 0;
    for (int core = 0; core < 64; core++) {
        if (CPU_ISSET(core, &set)) mask |= (uint64_t)1 << core;
    }
    return mask;
}

int perseus_current_core(void) {
    return sched_getcpu();
}

void perseus_name_thread(const char *name) {
    char shortened[16];
    snprintf(shortened, sizeof(shortened), "%s", name);
    pthread_setname_np(pthread_self(), shortened);
}
