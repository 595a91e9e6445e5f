// The few calls of PMIx that a rank needs to find rank 0; the library is loaded at run time.
#ifndef PERSEUS_PMIX_H
#define PERSEUS_PMIX_H

#include <stddef.h>
#include <stdint.h>

/// What the launcher says of this process's job.
typedef struct {
    uint32_t rank;
    uint32_t size;
    /// Ranks of the job on this machine.
    uint32_t local_size;
} perseus_pmix_job;

/// Loads the library and joins the launcher's server. NULL, or why not: a text that stays.
const char *perseus_pmix_open(perseus_pmix_job *job);

/// Gives `text`, of this rank, to all ranks; returns when all have called. NULL, or what failed.
const char *perseus_pmix_share(const char *key, const char *text);

/// Copies what `rank` shared under `key`, at most `byte_count` with the final zero. NULL, or what failed.
const char *perseus_pmix_read(uint32_t rank, const char *key, char *text, size_t byte_count);

/// Leaves the server: it takes the process's end as an orderly one from now on.
void perseus_pmix_close(void);

#endif
