// Time, pauses, cores and affinity: the parts of Linux that Swift's Glibc module does not show.
#ifndef PERSEUS_THREADS_H
#define PERSEUS_THREADS_H

#include "perseus_hot.h"

#include <stdint.h>
#include <time.h>

/// Tells the core that this thread spins, so that its sibling gets the execution units.
PERSEUS_HOT void perseus_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/// Nanoseconds of the monotonic clock, from an arbitrary start.
PERSEUS_HOT uint64_t perseus_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/// Nanoseconds of processor time this thread has used.
PERSEUS_HOT uint64_t perseus_thread_cpu_nanoseconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/// Gives the rest of this thread's time slice away.
void perseus_yield(void);

/// Sleeps for at least `nanoseconds`.
void perseus_sleep_nanoseconds(uint64_t nanoseconds);

/// Cores this process may run on (its affinity mask, not the machine's count).
int perseus_core_count(void);

/// The `index`-th core this process may run on; -1 when there are fewer.
int perseus_usable_core(int index);

/// Pins the calling thread to one core. Returns 0 or an errno.
int perseus_pin_thread(int core);

/// Lets the calling thread run on `mask` (bit i = core i, cores 0 ... 63). Returns 0 or an errno.
int perseus_set_thread_affinity(uint64_t mask);

/// Cores 0 ... 63 on which the calling thread may run; 0 on failure.
uint64_t perseus_get_thread_affinity(void);

/// The core the calling thread runs on now.
int perseus_current_core(void);

/// Names the calling thread for debuggers and `top`; longer names are cut at 15 bytes.
void perseus_name_thread(const char *name);

#endif
