// One endpoint of a libfabric provider behind a dozen calls: what `LibfabricEndpoint` needs, and no more.
//
// libfabric is loaded at run time. Where its headers were not there when this was built, `perseus_fabric_load` says so and
// nothing else may be called.
#ifndef PERSEUS_FABRIC_H
#define PERSEUS_FABRIC_H

#include <stddef.h>
#include <stdint.h>

enum {
    /// Region ids of `perseus_arena.h`.
    PERSEUS_FABRIC_REGIONS = 3,
    /// Most bytes of a request whose payload is copied when it is posted.
    PERSEUS_FABRIC_INLINE_BYTES = 256,
    /// Most bytes of an endpoint's address.
    PERSEUS_FABRIC_ADDRESS_BYTES = 256,
    PERSEUS_FABRIC_NAME_BYTES = 64
};

/// Why libfabric cannot be used.
enum perseus_fabric_state {
    PERSEUS_FABRIC_READY = 0,
    /// Built without libfabric's headers.
    PERSEUS_FABRIC_NOT_BUILT = 1,
    /// libfabric.so.1 is not there, or not what it should be.
    PERSEUS_FABRIC_NOT_FOUND = 2
};

/// Loads libfabric once; a `perseus_fabric_state`. Threading: any thread.
int perseus_fabric_load(void);

/// libfabric's version as (major << 16 | minor); 0 before it was loaded.
uint32_t perseus_fabric_version(void);

/// What a provider gives to reliable datagram endpoints with remote writes.
typedef struct perseus_fabric_traits {
    /// "tcp;ofi_rxm": the provider, and what is layered on it.
    char provider[PERSEUS_FABRIC_NAME_BYTES];
    uint64_t max_message_bytes;
    uint32_t inline_bytes;
    /// Requests that one endpoint holds.
    uint32_t queue_depth;
    /// Write-after-write order was asked for and granted.
    uint8_t orders_writes;
    /// `FI_FENCE` was asked for and granted. A provider without it takes the flag and does nothing.
    uint8_t has_fence;
    /// Completions say that the peer's memory has the bytes (`FI_DELIVERY_COMPLETE`).
    uint8_t completes_at_peer;
    /// Writes may carry 8 bytes that the peer gets as a completion.
    uint8_t has_remote_data;
} perseus_fabric_traits;

/// Fills in at most `limit` providers that could be opened here, each once; returns how many.
int perseus_fabric_list(perseus_fabric_traits *traits, int limit);

typedef struct perseus_fabric_endpoint perseus_fabric_endpoint;

/// Opens an endpoint of `provider` ("tcp", "shm", …) that may write to `peer_count` ranks; NULL: `error` says why.
///
/// Asks for write-after-write order and a fence, and does without what is refused; `traits` says what was granted.
perseus_fabric_endpoint *perseus_fabric_open(
    const char *provider, uint32_t peer_count, perseus_fabric_traits *traits, char *error, size_t error_bytes);

/// Closes everything. Peers must not write here any more.
void perseus_fabric_close(perseus_fabric_endpoint *endpoint);

/// This endpoint's address; returns its bytes, or a negative errno.
int perseus_fabric_address(const perseus_fabric_endpoint *endpoint, void *address);

/// Lets peers write to `byte_count` bytes at `base`, and this endpoint send from there. What a peer needs to know goes to
/// `key` and `remote_base`. 0, or a negative errno.
int perseus_fabric_register(perseus_fabric_endpoint *endpoint, int region, void *base, uint64_t byte_count,
    uint64_t *key, uint64_t *remote_base);

/// Makes `peer` known by its address; 0, or a negative errno.
int perseus_fabric_connect(
    perseus_fabric_endpoint *endpoint, uint32_t peer, const void *address);

/// Where a region of `peer` is.
void perseus_fabric_set_remote(perseus_fabric_endpoint *endpoint, uint32_t peer, int region, uint64_t key,
    uint64_t remote_base);

typedef struct perseus_fabric_request {
    /// Returned in the completion.
    uint64_t context;
    uint64_t local_offset;
    uint64_t remote_offset;
    /// For `has_remote_data`.
    uint64_t remote_data;
    uint32_t peer;
    uint32_t byte_count;
    uint8_t local_region;
    uint8_t remote_region;
    uint8_t is_inline;
    uint8_t is_fenced;
    uint8_t has_remote_data;
} perseus_fabric_request;

/// Takes a write of `byte_count` bytes, `payload` for an inline one. It leaves with the next one, which then tells the
/// provider that more follow, or with `perseus_fabric_ring`. Every request that was taken completes, if only with an error.
///
/// - Returns: 0: taken; 1: no room, nothing has changed.
int perseus_fabric_post(
    perseus_fabric_endpoint *endpoint, const perseus_fabric_request *request, const void *payload);

/// Sends what was taken. What finds no room leaves when there is some, at the next `perseus_fabric_poll`.
void perseus_fabric_ring(perseus_fabric_endpoint *endpoint);

typedef struct perseus_fabric_completion {
    /// Of the request; the remote data of an arrival.
    uint64_t context;
    /// 0, or a positive errno.
    int32_t error;
    /// 1: a peer's write with remote data has arrived here.
    int32_t is_arrival;
} perseus_fabric_completion;

/// Progress of this endpoint, also as a target of others; finished requests and arrivals. Returns how many, at most `limit`.
int perseus_fabric_poll(
    perseus_fabric_endpoint *endpoint, perseus_fabric_completion *completions, int limit);

/// An errno in words.
const char *perseus_fabric_error(int error);

#endif
