// Atomic access to 64-bit words of memory that other threads, processes or devices also touch.
#ifndef PERSEUS_ATOMICS_H
#define PERSEUS_ATOMICS_H

#include "perseus_hot.h"

#include <stdbool.h>
#include <stdint.h>

// The ordering is part of each name, so that a call site reads as one half of a publish/observe
// pair.

PERSEUS_HOT uint64_t perseus_load_relaxed(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

PERSEUS_HOT uint64_t perseus_load_acquire(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

PERSEUS_HOT void perseus_store_relaxed(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

PERSEUS_HOT void perseus_store_release(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/// Adds and returns the old value.
PERSEUS_HOT uint64_t perseus_fetch_add_relaxed(uint64_t *word, uint64_t addend) {
    return __atomic_fetch_add(word, addend, __ATOMIC_RELAXED);
}

/// Adds and returns the old value; acquires what others released and releases what this thread
/// wrote.
PERSEUS_HOT uint64_t perseus_fetch_add_acquire_release(uint64_t *word, uint64_t addend) {
    return __atomic_fetch_add(word, addend, __ATOMIC_ACQ_REL);
}

/// Replaces `expected` by `desired`; false, and nothing stored, when the word holds something else.
PERSEUS_HOT bool perseus_compare_exchange_relaxed(
    uint64_t *word, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(
        word, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/// As above; acquires on success and on failure, releases on success.
PERSEUS_HOT bool perseus_compare_exchange_acquire_release(
    uint64_t *word, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(
        word, &expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/// Stores `value` and returns the old one; acquires and releases.
PERSEUS_HOT uint64_t perseus_exchange_acquire_release(uint64_t *word, uint64_t value) {
    return __atomic_exchange_n(word, value, __ATOMIC_ACQ_REL);
}

/// Orders this thread's earlier stores before its later ones, and earlier loads before both.
PERSEUS_HOT void perseus_fence_release(void) {
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

PERSEUS_HOT void perseus_fence_acquire(void) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/// Also orders earlier stores before later loads.
PERSEUS_HOT void perseus_fence_sequentially_consistent(void) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
