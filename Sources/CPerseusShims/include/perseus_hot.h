// Marks the shims that never lock or allocate, for Swift functions that promise the same.
#ifndef PERSEUS_HOT_H
#define PERSEUS_HOT_H

#if defined(__swift__)
#define PERSEUS_HOT __attribute__((swift_attr("@_noLocks"))) static inline
#else
#define PERSEUS_HOT static inline
#endif

#endif
