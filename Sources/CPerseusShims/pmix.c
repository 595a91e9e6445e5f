// PMIx through dlopen: prototypes and layouts of its standard (versions 3 to 5), as far as they are used here.
#define _GNU_SOURCE
#include "perseus_pmix.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Names are those of the standard, with this project's prefix: nothing of a header of PMIx is needed to build.
enum {
    PMIX_SCOPE_GLOBAL = 3,
    PMIX_TYPE_BOOL = 1,
    PMIX_TYPE_STRING = 3,
    PMIX_TYPE_UINT32 = 14,
};
#define PMIX_WILDCARD (UINT32_MAX - 1)

typedef struct {
    char nspace[256];
    uint32_t rank;
} pmix_process;

typedef struct {
    uint16_t type;
    union {
        bool flag;
        char *string;
        uint32_t number;
        // The largest member of the standard's union: an environment variable, two pointers and a character.
        void *room[3];
    } data;
} pmix_item;

typedef struct {
    char key[512];
    uint32_t flags;
    pmix_item value;
} pmix_setting;

_Static_assert(sizeof(pmix_process) == 260, "layout of pmix_proc_t");
_Static_assert(sizeof(pmix_item) == 32, "layout of pmix_value_t");
_Static_assert(offsetof(pmix_setting, value) == 520, "layout of pmix_info_t");

static struct {
    int (*init)(pmix_process *, pmix_setting *, size_t);
    int (*finalize)(const pmix_setting *, size_t);
    int (*put)(uint8_t, const char *, pmix_item *);
    int (*commit)(void);
    int (*fence)(const pmix_process *, size_t, const pmix_setting *, size_t);
    int (*get)(const pmix_process *, const char *, const pmix_setting *, size_t, pmix_item **);
    const char *(*error_string)(int);
} pmix;

static pmix_process self;
static char failure[256];

static const char *failed(const char *call, int status) {
    const char *text = pmix.error_string ? pmix.error_string(status) : NULL;
    snprintf(failure, sizeof failure, "%s: %s (%d)", call, text ? text : "failed", status);
    return failure;
}

static const char *load(void) {
    void *library = dlopen("libpmix.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(failure, sizeof failure, "%s", dlerror());
        return failure;
    }
    struct {
        const char *name;
        void **place;
    } symbols[] = {
        {"PMIx_Init", (void **)&pmix.init},
        {"PMIx_Finalize", (void **)&pmix.finalize},
        {"PMIx_Put", (void **)&pmix.put},
        {"PMIx_Commit", (void **)&pmix.commit},
        {"PMIx_Fence", (void **)&pmix.fence},
        {"PMIx_Get", (void **)&pmix.get},
        {"PMIx_Error_string", (void **)&pmix.error_string},
    };
    for (size_t index = 0; index < sizeof symbols / sizeof symbols[0]; index++) {
        *symbols[index].place = dlsym(library, symbols[index].name);
        if (!*symbols[index].place) {
            snprintf(failure, sizeof failure, "libpmix.so.2 has no %s", symbols[index].name);
            return failure;
        }
    }
    return NULL;
}

/// A value of this job's `rank`; the caller frees it.
static int get(uint32_t rank, const char *key, pmix_item **value) {
    pmix_process process = self;
    process.rank = rank;
    *value = NULL;
    int status = pmix.get(&process, key, NULL, 0, value);
    return status == 0 && !*value ? -1 : status;
}

static const char *get_number(const char *key, uint32_t *number) {
    pmix_item *value;
    int status = get(PMIX_WILDCARD, key, &value);
    if (status != 0) return failed(key, status);
    bool isNumber = value->type == PMIX_TYPE_UINT32;
    if (isNumber) *number = value->data.number;
    free(value);
    return isNumber ? NULL : failed(key, -1);
}

const char *perseus_pmix_open(perseus_pmix_job *job) {
    const char *reason = load();
    if (reason) return reason;
    int status = pmix.init(&self, NULL, 0);
    if (status != 0) return failed("PMIx_Init", status);
    job->rank = self.rank;
    reason = get_number("pmix.job.size", &job->size);
    return reason ? reason : get_number("pmix.local.size", &job->local_size);
}

const char *perseus_pmix_share(const char *key, const char *text) {
    if (text) {
        pmix_item value = {.type = PMIX_TYPE_STRING, .data.string = (char *)text};
        int status = pmix.put(PMIX_SCOPE_GLOBAL, key, &value);
        if (status != 0) return failed("PMIx_Put", status);
    }
    int status = pmix.commit();
    if (status != 0) return failed("PMIx_Commit", status);
    pmix_setting collect = {.value = {.type = PMIX_TYPE_BOOL, .data.flag = true}};
    strcpy(collect.key, "pmix.collect");
    status = pmix.fence(NULL, 0, &collect, 1);
    return status == 0 ? NULL : failed("PMIx_Fence", status);
}

const char *perseus_pmix_read(uint32_t rank, const char *key, char *text, size_t byte_count) {
    pmix_item *value;
    int status = get(rank, key, &value);
    if (status != 0) return failed("PMIx_Get", status);
    bool fits = value->type == PMIX_TYPE_STRING && value->data.string
        && strlen(value->data.string) < byte_count;
    if (fits) strcpy(text, value->data.string);
    if (value->type == PMIX_TYPE_STRING) free(value->data.string);
    free(value);
    return fits ? NULL : failed("PMIx_Get", -1);
}

void perseus_pmix_close(void) {
    pmix.finalize(NULL, 0);
}
