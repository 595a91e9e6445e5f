// The calls of the CUDA driver, of NVRTC and of cuBLAS that Perseus makes, found at run time: building needs nothing of CUDA.
#ifndef PERSEUS_CUDA_H
#define PERSEUS_CUDA_H

#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// A CUresult or an nvrtcResult; 0 is success.
typedef int perseus_cuda_status;

/// Device attributes by their number in the driver's interface.
enum {
    PERSEUS_CUDA_MULTIPROCESSOR_COUNT = 16,
    PERSEUS_CUDA_L2_BYTES = 38,
    PERSEUS_CUDA_COMPUTE_MAJOR = 75,
    PERSEUS_CUDA_COMPUTE_MINOR = 76,
    PERSEUS_CUDA_SHARED_BYTES_PER_BLOCK_OPTIN = 97
};

/// Function attributes by their number.
enum {
    PERSEUS_CUDA_FUNCTION_STATIC_SHARED_BYTES = 1,
    PERSEUS_CUDA_FUNCTION_LOCAL_BYTES = 3,
    PERSEUS_CUDA_FUNCTION_REGISTERS = 4,
    PERSEUS_CUDA_FUNCTION_MAX_DYNAMIC_SHARED_BYTES = 8
};

/// Flags and the status that is no error.
enum {
    PERSEUS_CUDA_HOST_PORTABLE = 1,
    PERSEUS_CUDA_HOST_DEVICE_MAPPED = 2,
    PERSEUS_CUDA_STREAM_NON_BLOCKING = 1,
    PERSEUS_CUDA_EVENT_UNTIMED = 2,
    PERSEUS_CUDA_NOT_READY = 600
};

/// What a tensor map's encoder is told.
enum {
    PERSEUS_CUDA_TENSOR_BFLOAT16 = 9,
    PERSEUS_CUDA_TENSOR_NO_INTERLEAVE = 0,
    PERSEUS_CUDA_TENSOR_SWIZZLE_128B = 3,
    PERSEUS_CUDA_TENSOR_L2_PROMOTION_256B = 3,
    PERSEUS_CUDA_TENSOR_FILL_ZERO = 0
};

/// The driver's functions under the driver's names, without version suffix. Contexts, modules,
/// functions, streams and events are opaque pointers; device addresses are 64-bit integers.
typedef struct {
    perseus_cuda_status (*cuInit)(unsigned flags);
    perseus_cuda_status (*cuDriverGetVersion)(int *version);
    perseus_cuda_status (*cuGetErrorName)(
        perseus_cuda_status status, const char *_Nullable *_Nonnull name);
    perseus_cuda_status (*cuGetErrorString)(
        perseus_cuda_status status, const char *_Nullable *_Nonnull text);
    perseus_cuda_status (*cuDeviceGetCount)(int *count);
    perseus_cuda_status (*cuDeviceGet)(int *device, int index);
    perseus_cuda_status (*cuDeviceGetName)(char *name, int capacity, int device);
    perseus_cuda_status (*cuDeviceGetAttribute)(int *value, int attribute, int device);
    perseus_cuda_status (*cuDeviceTotalMem)(size_t *bytes, int device);
    perseus_cuda_status (*cuDevicePrimaryCtxRetain)(void *_Nullable *_Nonnull context, int device);
    perseus_cuda_status (*cuDevicePrimaryCtxRelease)(int device);
    perseus_cuda_status (*cuCtxSetCurrent)(void *_Nullable context);
    perseus_cuda_status (*cuCtxSynchronize)(void);
    perseus_cuda_status (*cuMemGetInfo)(size_t *free_bytes, size_t *total_bytes);

    perseus_cuda_status (*cuMemAlloc)(uint64_t *address, size_t byte_count);
    perseus_cuda_status (*cuMemFree)(uint64_t address);
    perseus_cuda_status (*cuMemHostAlloc)(
        void *_Nullable *_Nonnull pointer, size_t byte_count, unsigned flags);
    perseus_cuda_status (*cuMemFreeHost)(void *pointer);
    perseus_cuda_status (*cuMemHostGetDevicePointer)(
        uint64_t *address, void *pointer, unsigned flags);
    perseus_cuda_status (*cuMemsetD8)(uint64_t address, unsigned char value, size_t count);
    perseus_cuda_status (*cuMemsetD32)(uint64_t address, unsigned value, size_t count);
    perseus_cuda_status (*cuMemsetD8Async)(
        uint64_t address, unsigned char value, size_t count, void *_Nullable stream);
    perseus_cuda_status (*cuMemsetD32Async)(
        uint64_t address, unsigned value, size_t count, void *_Nullable stream);
    perseus_cuda_status (*cuMemcpyHtoD)(uint64_t to, const void *from, size_t byte_count);
    perseus_cuda_status (*cuMemcpyDtoH)(void *to, uint64_t from, size_t byte_count);
    perseus_cuda_status (*cuMemcpyHtoDAsync)(
        uint64_t to, const void *from, size_t byte_count, void *_Nullable stream);
    perseus_cuda_status (*cuMemcpyDtoHAsync)(
        void *to, uint64_t from, size_t byte_count, void *_Nullable stream);
    perseus_cuda_status (*cuMemcpyDtoDAsync)(
        uint64_t to, uint64_t from, size_t byte_count, void *_Nullable stream);

    perseus_cuda_status (*cuStreamCreate)(void *_Nullable *_Nonnull stream, unsigned flags);
    perseus_cuda_status (*cuStreamDestroy)(void *stream);
    perseus_cuda_status (*cuStreamSynchronize)(void *_Nullable stream);
    perseus_cuda_status (*cuStreamQuery)(void *_Nullable stream);
    perseus_cuda_status (*cuStreamWaitEvent)(void *_Nullable stream, void *event, unsigned flags);
    perseus_cuda_status (*cuEventCreate)(void *_Nullable *_Nonnull event, unsigned flags);
    perseus_cuda_status (*cuEventDestroy)(void *event);
    perseus_cuda_status (*cuEventRecord)(void *event, void *_Nullable stream);
    perseus_cuda_status (*cuEventSynchronize)(void *event);
    perseus_cuda_status (*cuEventQuery)(void *event);
    perseus_cuda_status (*cuEventElapsedTime)(float *milliseconds, void *start, void *end);

    perseus_cuda_status (*cuModuleLoadData)(void *_Nullable *_Nonnull module, const void *image);
    perseus_cuda_status (*cuModuleUnload)(void *module);
    perseus_cuda_status (*cuModuleGetFunction)(
        void *_Nullable *_Nonnull function, void *module, const char *name);
    perseus_cuda_status (*cuModuleGetGlobal)(
        uint64_t *address, size_t *byte_count, void *module, const char *name);
    perseus_cuda_status (*cuFuncGetAttribute)(int *value, int attribute, void *function);
    perseus_cuda_status (*cuFuncSetAttribute)(void *function, int attribute, int value);
    perseus_cuda_status (*cuOccupancyMaxActiveBlocksPerMultiprocessor)(
        int *blocks, void *function, int threads, size_t dynamic_shared_bytes);
    perseus_cuda_status (*cuLaunchKernel)(
        void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
        unsigned block_y, unsigned block_z, unsigned shared_bytes, void *_Nullable stream,
        void *_Nullable *_Nullable parameters, void *_Nullable *_Nullable extra);
    perseus_cuda_status (*cuLaunchCooperativeKernel)(
        void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
        unsigned block_y, unsigned block_z, unsigned shared_bytes, void *_Nullable stream,
        void *_Nullable *_Nullable parameters);
    perseus_cuda_status (*cuTensorMapEncodeTiled)(
        void *map, int element_type, uint32_t rank, void *_Nullable address,
        const uint64_t *sizes, const uint64_t *stride_bytes, const uint32_t *box,
        const uint32_t *element_strides, int interleave, int swizzle, int l2_promotion, int fill);
} perseus_cuda_calls;

/// NVRTC's functions under its names.
typedef struct {
    perseus_cuda_status (*nvrtcVersion)(int *major, int *minor);
    const char *_Nullable (*_Nonnull nvrtcGetErrorString)(perseus_cuda_status status);
    perseus_cuda_status (*nvrtcCreateProgram)(
        void *_Nullable *_Nonnull program, const char *source, const char *name, int header_count,
        const char *_Nullable const *_Nullable headers,
        const char *_Nullable const *_Nullable header_names);
    perseus_cuda_status (*nvrtcDestroyProgram)(void *_Nullable *_Nonnull program);
    perseus_cuda_status (*nvrtcCompileProgram)(
        void *program, int option_count, const char *_Nullable const *_Nullable options);
    perseus_cuda_status (*nvrtcGetCUBINSize)(void *program, size_t *byte_count);
    perseus_cuda_status (*nvrtcGetCUBIN)(void *program, char *cubin);
    perseus_cuda_status (*nvrtcGetProgramLogSize)(void *program, size_t *byte_count);
    perseus_cuda_status (*nvrtcGetProgramLog)(void *program, char *log);
} perseus_nvrtc_calls;

/// What a product of cuBLAS is told.
enum {
    PERSEUS_CUBLAS_BFLOAT16 = 14,
    PERSEUS_CUBLAS_COMPUTE_FLOAT32 = 68,
    PERSEUS_CUBLAS_DEFAULT_ALGORITHM = -1,
    PERSEUS_CUBLAS_AS_IT_IS = 0,
    PERSEUS_CUBLAS_TRANSPOSED = 1
};

/// cuBLAS's functions under its names, without version suffix: a baseline of benchmarks, nothing else. Matrices lie in
/// device memory, column after column; the two factors lie in the host's.
typedef struct {
    perseus_cuda_status (*cublasCreate)(void *_Nullable *_Nonnull handle);
    perseus_cuda_status (*cublasDestroy)(void *handle);
    perseus_cuda_status (*cublasSetStream)(void *handle, void *_Nullable stream);
    perseus_cuda_status (*cublasGetVersion)(void *handle, int *version);
    perseus_cuda_status (*cublasGemmEx)(
        void *handle, int transpose_a, int transpose_b, int rows, int columns, int depth,
        const void *alpha, uint64_t a, int a_type, int a_stride, uint64_t b, int b_type,
        int b_stride, const void *beta, uint64_t c, int c_type, int c_stride, int compute_type,
        int algorithm);
} perseus_cublas_calls;

/// How opening a library ended.
enum {
    PERSEUS_CUDA_OPENED = 0,
    PERSEUS_CUDA_NO_LIBRARY = 1,
    PERSEUS_CUDA_NO_FUNCTION = 2
};

/// Opens the driver for the life of the process and fills the table. `detail` says what failed:
/// the loader's message, or the function that the library lacks.
int perseus_cuda_open(
    const char *path, perseus_cuda_calls *calls, const char *_Nullable *_Nonnull detail);

/// Opens NVRTC for the life of the process, and from the same folder the library with its built-in
/// functions, which NVRTC itself looks for only on the loader's path.
int perseus_nvrtc_open(
    const char *path, perseus_nvrtc_calls *calls, const char *_Nullable *_Nonnull detail);

/// Opens cuBLAS for the life of the process, and before it the library in the same folder that it is built on.
int perseus_cublas_open(
    const char *path, perseus_cublas_calls *calls, const char *_Nullable *_Nonnull detail);

#pragma clang assume_nonnull end

#endif
