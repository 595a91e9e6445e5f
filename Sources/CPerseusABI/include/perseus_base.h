// What every layout header needs: fixed-width integers, inline helpers and static assertions
// that mean the same in C17, C++17, nvcc and NVRTC.
#ifndef PERSEUS_BASE_H
#define PERSEUS_BASE_H

#if defined(__CUDACC_RTC__)
// NVRTC has no system headers.
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long uint64_t;
typedef int int32_t;
typedef long int64_t;
#else
#include <stdint.h>
#endif

#if defined(__CUDACC__)
#define PERSEUS_INLINE static __host__ __device__ __forceinline__
#elif defined(__swift__)
// Swift's hot functions are marked @_noLocks and may call only what promises the same.
#define PERSEUS_INLINE __attribute__((swift_attr("@_noLocks"))) static inline
#else
#define PERSEUS_INLINE static inline
#endif

#if defined(__cplusplus)
#define PERSEUS_STATIC_ASSERT(condition, message) static_assert(condition, message)
#else
#define PERSEUS_STATIC_ASSERT(condition, message) _Static_assert(condition, message)
#endif

#if defined(__CUDACC_RTC__)
// NVRTC has no offsetof; this is what its front end makes a constant of.
#define PERSEUS_OFFSET(type, member) __INTADDR__(&((type *)0)->member)
#else
#define PERSEUS_OFFSET(type, member) __builtin_offsetof(type, member)
#endif

#define PERSEUS_ASSERT_OFFSET(type, member, offset) \
    PERSEUS_STATIC_ASSERT(PERSEUS_OFFSET(type, member) == offset, #type "." #member)

enum {
    /// Bytes between two words that different parties write: two 64-byte lines, because
    /// adjacent-line prefetchers pull lines in pairs.
    PERSEUS_SHARED_WORD_STRIDE = 128
};

/// The low `width` bits set; `width` is 1 ... 63.
PERSEUS_INLINE uint64_t perseus_low_bits(unsigned width) {
    return ((uint64_t)1 << width) - 1;
}

/// The field of `width` bits whose lowest bit is `shift`.
PERSEUS_INLINE uint64_t perseus_field(uint64_t word, unsigned shift, unsigned width) {
    return (word >> shift) & perseus_low_bits(width);
}

#endif
