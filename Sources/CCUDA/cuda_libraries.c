// Opens the CUDA driver, NVRTC and cuBLAS, and fills the tables of their functions.
#define _GNU_SOURCE
#include "perseus_cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/// Where a table keeps the function that a library exports as `symbol`.
typedef struct {
    size_t offset;
    const char *symbol;
} table_entry;

/// `_v2` is the form with 64-bit sizes and addresses, which the plain names do not have.
static const table_entry driver_entries[] = {
    {offsetof(perseus_cuda_calls, cuInit), "cuInit"},
    {offsetof(perseus_cuda_calls, cuDriverGetVersion), "cuDriverGetVersion"},
    {offsetof(perseus_cuda_calls, cuGetErrorName), "cuGetErrorName"},
    {offsetof(perseus_cuda_calls, cuGetErrorString), "cuGetErrorString"},
    {offsetof(perseus_cuda_calls, cuDeviceGetCount), "cuDeviceGetCount"},
    {offsetof(perseus_cuda_calls, cuDeviceGet), "cuDeviceGet"},
    {offsetof(perseus_cuda_calls, cuDeviceGetName), "cuDeviceGetName"},
    {offsetof(perseus_cuda_calls, cuDeviceGetAttribute), "cuDeviceGetAttribute"},
    {offsetof(perseus_cuda_calls, cuDeviceTotalMem), "cuDeviceTotalMem_v2"},
    {offsetof(perseus_cuda_calls, cuDevicePrimaryCtxRetain), "cuDevicePrimaryCtxRetain"},
    {offsetof(perseus_cuda_calls, cuDevicePrimaryCtxRelease), "cuDevicePrimaryCtxRelease_v2"},
    {offsetof(perseus_cuda_calls, cuCtxSetCurrent), "cuCtxSetCurrent"},
    {offsetof(perseus_cuda_calls, cuCtxSynchronize), "cuCtxSynchronize"},
    {offsetof(perseus_cuda_calls, cuMemGetInfo), "cuMemGetInfo_v2"},
    {offsetof(perseus_cuda_calls, cuMemAlloc), "cuMemAlloc_v2"},
    {offsetof(perseus_cuda_calls, cuMemFree), "cuMemFree_v2"},
    {offsetof(perseus_cuda_calls, cuMemHostAlloc), "cuMemHostAlloc"},
    {offsetof(perseus_cuda_calls, cuMemFreeHost), "cuMemFreeHost"},
    {offsetof(perseus_cuda_calls, cuMemHostGetDevicePointer), "cuMemHostGetDevicePointer_v2"},
    {offsetof(perseus_cuda_calls, cuMemsetD8), "cuMemsetD8_v2"},
    {offsetof(perseus_cuda_calls, cuMemsetD32), "cuMemsetD32_v2"},
    {offsetof(perseus_cuda_calls, cuMemsetD8Async), "cuMemsetD8Async"},
    {offsetof(perseus_cuda_calls, cuMemsetD32Async), "cuMemsetD32Async"},
    {offsetof(perseus_cuda_calls, cuMemcpyHtoD), "cuMemcpyHtoD_v2"},
    {offsetof(perseus_cuda_calls, cuMemcpyDtoH), "cuMemcpyDtoH_v2"},
    {offsetof(perseus_cuda_calls, cuMemcpyHtoDAsync), "cuMemcpyHtoDAsync_v2"},
    {offsetof(perseus_cuda_calls, cuMemcpyDtoHAsync), "cuMemcpyDtoHAsync_v2"},
    {offsetof(perseus_cuda_calls, cuMemcpyDtoDAsync), "cuMemcpyDtoDAsync_v2"},
    {offsetof(perseus_cuda_calls, cuStreamCreate), "cuStreamCreate"},
    {offsetof(perseus_cuda_calls, cuStreamDestroy), "cuStreamDestroy_v2"},
    {offsetof(perseus_cuda_calls, cuStreamSynchronize), "cuStreamSynchronize"},
    {offsetof(perseus_cuda_calls, cuStreamQuery), "cuStreamQuery"},
    {offsetof(perseus_cuda_calls, cuStreamWaitEvent), "cuStreamWaitEvent"},
    {offsetof(perseus_cuda_calls, cuEventCreate), "cuEventCreate"},
    {offsetof(perseus_cuda_calls, cuEventDestroy), "cuEventDestroy_v2"},
    {offsetof(perseus_cuda_calls, cuEventRecord), "cuEventRecord"},
    {offsetof(perseus_cuda_calls, cuEventSynchronize), "cuEventSynchronize"},
    {offsetof(perseus_cuda_calls, cuEventQuery), "cuEventQuery"},
    {offsetof(perseus_cuda_calls, cuEventElapsedTime), "cuEventElapsedTime"},
    {offsetof(perseus_cuda_calls, cuModuleLoadData), "cuModuleLoadData"},
    {offsetof(perseus_cuda_calls, cuModuleUnload), "cuModuleUnload"},
    {offsetof(perseus_cuda_calls, cuModuleGetFunction), "cuModuleGetFunction"},
    {offsetof(perseus_cuda_calls, cuModuleGetGlobal), "cuModuleGetGlobal_v2"},
    {offsetof(perseus_cuda_calls, cuFuncGetAttribute), "cuFuncGetAttribute"},
    {offsetof(perseus_cuda_calls, cuFuncSetAttribute), "cuFuncSetAttribute"},
    {offsetof(perseus_cuda_calls, cuOccupancyMaxActiveBlocksPerMultiprocessor), "cuOccupancyMaxActiveBlocksPerMultiprocessor"},
    {offsetof(perseus_cuda_calls, cuLaunchKernel), "cuLaunchKernel"},
    {offsetof(perseus_cuda_calls, cuLaunchCooperativeKernel), "cuLaunchCooperativeKernel"},
    {offsetof(perseus_cuda_calls, cuTensorMapEncodeTiled), "cuTensorMapEncodeTiled"},
};

static const table_entry compiler_entries[] = {
    {offsetof(perseus_nvrtc_calls, nvrtcVersion), "nvrtcVersion"},
    {offsetof(perseus_nvrtc_calls, nvrtcGetErrorString), "nvrtcGetErrorString"},
    {offsetof(perseus_nvrtc_calls, nvrtcCreateProgram), "nvrtcCreateProgram"},
    {offsetof(perseus_nvrtc_calls, nvrtcDestroyProgram), "nvrtcDestroyProgram"},
    {offsetof(perseus_nvrtc_calls, nvrtcCompileProgram), "nvrtcCompileProgram"},
    {offsetof(perseus_nvrtc_calls, nvrtcGetCUBINSize), "nvrtcGetCUBINSize"},
    {offsetof(perseus_nvrtc_calls, nvrtcGetCUBIN), "nvrtcGetCUBIN"},
    {offsetof(perseus_nvrtc_calls, nvrtcGetProgramLogSize), "nvrtcGetProgramLogSize"},
    {offsetof(perseus_nvrtc_calls, nvrtcGetProgramLog), "nvrtcGetProgramLog"},
};

static const table_entry product_entries[] = {
    {offsetof(perseus_cublas_calls, cublasCreate), "cublasCreate_v2"},
    {offsetof(perseus_cublas_calls, cublasDestroy), "cublasDestroy_v2"},
    {offsetof(perseus_cublas_calls, cublasSetStream), "cublasSetStream_v2"},
    {offsetof(perseus_cublas_calls, cublasGetVersion), "cublasGetVersion_v2"},
    {offsetof(perseus_cublas_calls, cublasGemmEx), "cublasGemmEx"},
};

static int fill(
    const char *path, void *table, const table_entry *entries, size_t count, const char **detail) {
    *detail = NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        *detail = dlerror();
        return PERSEUS_CUDA_NO_LIBRARY;
    }
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, entries[i].symbol);
        if (!function) {
            *detail = entries[i].symbol;
            return PERSEUS_CUDA_NO_FUNCTION;
        }
        memcpy((char *)table + entries[i].offset, &function, sizeof function);
    }
    return PERSEUS_CUDA_OPENED;
}

int perseus_cuda_open(const char *path, perseus_cuda_calls *calls, const char **detail) {
    return fill(
        path, calls, driver_entries, sizeof driver_entries / sizeof *driver_entries, detail);
}

/// A library that is already open is found by its name, wherever it lies.
static void open_builtins(const perseus_nvrtc_calls *calls) {
    Dl_info place;
    int major = 0, minor = 0;
    void *function = NULL;
    memcpy(&function, &calls->nvrtcVersion, sizeof function);
    if (calls->nvrtcVersion(&major, &minor) != 0 || !dladdr(function, &place)) return;
    const char *slash = strrchr(place.dli_fname, '/');
    if (!slash) return;
    char path[4096];
    int length = snprintf(
        path, sizeof path, "%.*s/libnvrtc-builtins.so.%d.%d", (int)(slash - place.dli_fname),
        place.dli_fname, major, minor);
    if (length > 0 && (size_t)length < sizeof path) dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

int perseus_nvrtc_open(const char *path, perseus_nvrtc_calls *calls, const char **detail) {
    int status = fill(
        path, calls, compiler_entries, sizeof compiler_entries / sizeof *compiler_entries, detail);
    if (status == PERSEUS_CUDA_OPENED) open_builtins(calls);
    return status;
}

/// `libcublas.so.13` in a folder that the loader does not search needs `libcublasLt.so.13` from there.
static void open_foundation(const char *path) {
    const char *name = strstr(path, "libcublas.so");
    if (!name || !strchr(path, '/')) return;
    char foundation[4096];
    int length = snprintf(
        foundation, sizeof foundation, "%.*slibcublasLt.so%s", (int)(name - path), path,
        name + strlen("libcublas.so"));
    if (length > 0 && (size_t)length < sizeof foundation) dlopen(foundation, RTLD_NOW | RTLD_GLOBAL);
}

int perseus_cublas_open(const char *path, perseus_cublas_calls *calls, const char **detail) {
    open_foundation(path);
    return fill(
        path, calls, product_entries, sizeof product_entries / sizeof *product_entries, detail);
}
