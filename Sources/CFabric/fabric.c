// libfabric behind perseus_fabric.h. Its few exported symbols are looked up; everything else goes through the tables of
// functions that its objects carry.

#include "perseus_fabric.h"

#include <stdio.h>
#include <string.h>

#if __has_include(<rdma/fabric.h>)

#include <dlfcn.h>
#include <pthread.h>
#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <stdlib.h>

/// What the headers of this build describe; older libraries refuse it.
#define WANTED_VERSION FI_VERSION(1, 14)

static struct {
    int state;
    int (*getinfo)(uint32_t, const char *, const char *, uint64_t, const struct fi_info *, struct fi_info **);
    void (*freeinfo)(struct fi_info *);
    struct fi_info *(*dupinfo)(const struct fi_info *);
    int (*fabric)(struct fi_fabric_attr *, struct fid_fabric **, void *);
    const char *(*strerror)(int);
    uint32_t (*version)(void);
} library;

static pthread_once_t loaded = PTHREAD_ONCE_INIT;

static void load(void) {
    library.state = PERSEUS_FABRIC_NOT_FOUND;
    void *handle = dlopen("libfabric.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return;
    *(void **)&library.getinfo = dlsym(handle, "fi_getinfo");
    *(void **)&library.freeinfo = dlsym(handle, "fi_freeinfo");
    *(void **)&library.dupinfo = dlsym(handle, "fi_dupinfo");
    *(void **)&library.fabric = dlsym(handle, "fi_fabric");
    *(void **)&library.strerror = dlsym(handle, "fi_strerror");
    *(void **)&library.version = dlsym(handle, "fi_version");
    if (library.getinfo && library.freeinfo && library.dupinfo && library.fabric && library.strerror
        && library.version) {
        library.state = PERSEUS_FABRIC_READY;
    }
}

int perseus_fabric_load(void) {
    pthread_once(&loaded, load);
    return library.state;
}

uint32_t perseus_fabric_version(void) {
    return library.state == PERSEUS_FABRIC_READY && library.version ? library.version() : 0;
}

const char *perseus_fabric_error(int error) {
    return library.strerror ? library.strerror(error < 0 ? -error : error) : strerror(error < 0 ? -error : error);
}

// MARK: What a provider gives

/// Reliable datagrams with remote writes of `provider` (NULL: of all), with or without order and fence.
static struct fi_info *find(const char *provider, uint64_t order, uint64_t fence, int *error) {
    struct fi_info *hints = library.dupinfo(NULL);
    if (!hints) {
        *error = -FI_ENOMEM;
        return NULL;
    }
    hints->caps = FI_RMA | FI_WRITE | FI_REMOTE_WRITE | fence;
    hints->mode = 0;
    hints->ep_attr->type = FI_EP_RDM;
    // Whoever waits for memory makes progress itself: threads of providers starve on few cores.
    hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
    hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
    hints->domain_attr->av_type = FI_AV_TABLE;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_VIRT_ADDR;
    hints->tx_attr->msg_order = order;
    hints->rx_attr->msg_order = order;
    hints->tx_attr->op_flags = FI_COMPLETION | FI_DELIVERY_COMPLETE;
    if (provider) hints->fabric_attr->prov_name = strdup(provider);
    struct fi_info *found = NULL;
    *error = library.getinfo(WANTED_VERSION, NULL, NULL, 0, hints, &found);
    library.freeinfo(hints);
    return *error == 0 ? found : NULL;
}

/// With all that is wished for, or as much of it as is granted.
static struct fi_info *find_best(const char *provider, int *error) {
    const uint64_t order = FI_ORDER_WAW;
    struct fi_info *found = find(provider, order, FI_FENCE, error);
    if (!found) found = find(provider, order, 0, error);
    if (!found) found = find(provider, 0, FI_FENCE, error);
    if (!found) found = find(provider, 0, 0, error);
    return found;
}

static void describe(const struct fi_info *info, perseus_fabric_traits *traits) {
    memset(traits, 0, sizeof *traits);
    snprintf(traits->provider, sizeof traits->provider, "%s", info->fabric_attr->prov_name);
    traits->max_message_bytes = info->ep_attr->max_msg_size;
    size_t most = info->tx_attr->inject_size;
    if (most > PERSEUS_FABRIC_INLINE_BYTES) most = PERSEUS_FABRIC_INLINE_BYTES;
    traits->inline_bytes = (uint32_t)(most & ~(size_t)7);
    traits->queue_depth = (uint32_t)info->tx_attr->size;
    traits->orders_writes = (info->tx_attr->msg_order & FI_ORDER_WAW) && (info->rx_attr->msg_order & FI_ORDER_WAW);
    traits->has_fence = (info->caps & FI_FENCE) != 0;
    traits->completes_at_peer = (info->tx_attr->op_flags & FI_DELIVERY_COMPLETE) != 0;
    traits->has_remote_data = info->domain_attr->cq_data_size >= 8 && !(info->mode & FI_RX_CQ_DATA)
        && !(info->rx_attr->mode & FI_RX_CQ_DATA);
}

int perseus_fabric_list(perseus_fabric_traits *traits, int limit) {
    if (perseus_fabric_load() != PERSEUS_FABRIC_READY) return 0;
    int error, count = 0;
    struct fi_info *all = find(NULL, 0, 0, &error);
    for (struct fi_info *info = all; info && count < limit; info = info->next) {
        int is_known = 0;
        for (int other = 0; other < count; other++) {
            if (strcmp(traits[other].provider, info->fabric_attr->prov_name) == 0) is_known = 1;
        }
        if (is_known) continue;
        struct fi_info *best = find_best(info->fabric_attr->prov_name, &error);
        if (!best) continue;
        describe(best, &traits[count++]);
        library.freeinfo(best);
    }
    if (all) library.freeinfo(all);
    return count;
}

// MARK: An endpoint

enum { REFUSED_LIMIT = 64 };

struct remote_region {
    uint64_t key;
    uint64_t base;
};

struct perseus_fabric_endpoint {
    struct fi_info *info;
    struct fid_fabric *fabric;
    struct fid_domain *domain;
    struct fid_av *addresses;
    struct fid_cq *completions;
    struct fid_ep *endpoint;
    uint32_t peer_count;
    fi_addr_t *peers;
    /// [peer][region]
    struct remote_region *remotes;
    struct {
        struct fid_mr *registration;
        uint8_t *base;
        void *descriptor;
    } regions[PERSEUS_FABRIC_REGIONS];
    /// A request that was taken and not sent yet, and whether it has to leave.
    perseus_fabric_request held;
    uint8_t held_payload[PERSEUS_FABRIC_INLINE_BYTES];
    int has_held;
    int is_rung;
    /// Requests that the provider refused: they complete with its error.
    perseus_fabric_completion refused[REFUSED_LIMIT];
    int refused_count;
};

static int open_objects(perseus_fabric_endpoint *own, const char **step) {
    struct fi_cq_attr queue = {.size = 0, .format = FI_CQ_FORMAT_DATA, .wait_obj = FI_WAIT_NONE};
    struct fi_av_attr table = {.type = FI_AV_TABLE, .count = own->peer_count};
    int error = library.fabric(own->info->fabric_attr, &own->fabric, NULL);
    if (*step = "fi_fabric", error) return error;
    error = fi_domain(own->fabric, own->info, &own->domain, NULL);
    if (*step = "fi_domain", error) return error;
    error = fi_av_open(own->domain, &table, &own->addresses, NULL);
    if (*step = "fi_av_open", error) return error;
    error = fi_cq_open(own->domain, &queue, &own->completions, NULL);
    if (*step = "fi_cq_open", error) return error;
    error = fi_endpoint(own->domain, own->info, &own->endpoint, NULL);
    if (*step = "fi_endpoint", error) return error;
    error = fi_ep_bind(own->endpoint, &own->addresses->fid, 0);
    if (*step = "fi_ep_bind of the addresses", error) return error;
    error = fi_ep_bind(own->endpoint, &own->completions->fid, FI_TRANSMIT | FI_RECV);
    if (*step = "fi_ep_bind of the completion queue", error) return error;
    error = fi_enable(own->endpoint);
    *step = "fi_enable";
    return error;
}

perseus_fabric_endpoint *perseus_fabric_open(
    const char *provider, uint32_t peer_count, perseus_fabric_traits *traits, char *error, size_t error_bytes) {
    if (perseus_fabric_load() != PERSEUS_FABRIC_READY) {
        snprintf(error, error_bytes, "libfabric is not there");
        return NULL;
    }
    int status;
    struct fi_info *info = find_best(provider, &status);
    if (!info) {
        snprintf(error, error_bytes, "no provider %s with remote writes: %s", provider, perseus_fabric_error(status));
        return NULL;
    }
    perseus_fabric_endpoint *own = calloc(1, sizeof *own);
    own->info = info;
    own->peer_count = peer_count;
    own->peers = calloc(peer_count, sizeof *own->peers);
    own->remotes = calloc((size_t)peer_count * PERSEUS_FABRIC_REGIONS, sizeof *own->remotes);
    const char *step = "";
    status = open_objects(own, &step);
    if (status) {
        snprintf(error, error_bytes, "%s: %s: %s", info->fabric_attr->prov_name, step, perseus_fabric_error(status));
        perseus_fabric_close(own);
        return NULL;
    }
    describe(info, traits);
    return own;
}

void perseus_fabric_close(perseus_fabric_endpoint *own) {
    if (!own) return;
    if (own->endpoint) fi_close(&own->endpoint->fid);
    for (int region = 0; region < PERSEUS_FABRIC_REGIONS; region++) {
        if (own->regions[region].registration) fi_close(&own->regions[region].registration->fid);
    }
    if (own->completions) fi_close(&own->completions->fid);
    if (own->addresses) fi_close(&own->addresses->fid);
    if (own->domain) fi_close(&own->domain->fid);
    if (own->fabric) fi_close(&own->fabric->fid);
    library.freeinfo(own->info);
    free(own->peers);
    free(own->remotes);
    free(own);
}

int perseus_fabric_address(const perseus_fabric_endpoint *own, void *address) {
    size_t count = PERSEUS_FABRIC_ADDRESS_BYTES;
    memset(address, 0, count);
    int error = fi_getname(&own->endpoint->fid, address, &count);
    return error ? error : (int)count;
}

int perseus_fabric_register(perseus_fabric_endpoint *own, int region, void *base, uint64_t byte_count,
    uint64_t *key, uint64_t *remote_base) {
    // Providers that choose keys ignore ours.
    int error = fi_mr_reg(own->domain, base, byte_count, FI_WRITE | FI_REMOTE_WRITE, 0, (uint64_t)region + 1, 0,
        &own->regions[region].registration, NULL);
    if (error) return error;
    own->regions[region].base = base;
    own->regions[region].descriptor = fi_mr_desc(own->regions[region].registration);
    *key = fi_mr_key(own->regions[region].registration);
    *remote_base = own->info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uint64_t)(uintptr_t)base : 0;
    return 0;
}

int perseus_fabric_connect(perseus_fabric_endpoint *own, uint32_t peer, const void *address) {
    int count = fi_av_insert(own->addresses, address, 1, &own->peers[peer], 0, NULL);
    return count == 1 ? 0 : count < 0 ? count : -FI_EINVAL;
}

void perseus_fabric_set_remote(
    perseus_fabric_endpoint *own, uint32_t peer, int region, uint64_t key, uint64_t remote_base) {
    own->remotes[(size_t)peer * PERSEUS_FABRIC_REGIONS + region] = (struct remote_region){key, remote_base};
}

// MARK: Requests

/// 0: sent, or refused for good; 1: no room.
static int send_held(perseus_fabric_endpoint *own, int more_follow) {
    const perseus_fabric_request *request = &own->held;
    const struct remote_region *remote =
        &own->remotes[(size_t)request->peer * PERSEUS_FABRIC_REGIONS + request->remote_region];
    struct iovec local = {
        .iov_base = request->is_inline ? (void *)own->held_payload
                                       : own->regions[request->local_region].base + request->local_offset,
        .iov_len = request->byte_count,
    };
    void *descriptor = request->is_inline ? NULL : own->regions[request->local_region].descriptor;
    struct fi_rma_iov target = {
        .addr = remote->base + request->remote_offset, .len = request->byte_count, .key = remote->key};
    struct fi_msg_rma message = {
        .msg_iov = &local,
        .desc = &descriptor,
        .iov_count = 1,
        .addr = own->peers[request->peer],
        .rma_iov = &target,
        .rma_iov_count = 1,
        .context = (void *)(uintptr_t)request->context,
        .data = request->remote_data,
    };
    uint64_t flags = FI_COMPLETION | FI_DELIVERY_COMPLETE;
    if (request->is_inline) flags |= FI_INJECT;
    if (request->is_fenced) flags |= FI_FENCE;
    if (request->has_remote_data) flags |= FI_REMOTE_CQ_DATA;
    if (more_follow) flags |= FI_MORE;
    if (own->refused_count == REFUSED_LIMIT) return 1;
    ssize_t error = fi_writemsg(own->endpoint, &message, flags);
    if (error == -FI_EAGAIN) return 1;
    if (error != 0) {
        own->refused[own->refused_count++] =
            (perseus_fabric_completion){.context = request->context, .error = (int32_t)-error};
    }
    own->has_held = 0;
    return 0;
}

int perseus_fabric_post(
    perseus_fabric_endpoint *own, const perseus_fabric_request *request, const void *payload) {
    if (own->has_held && send_held(own, 1) != 0) return 1;
    own->held = *request;
    if (request->is_inline) memcpy(own->held_payload, payload, request->byte_count);
    own->has_held = 1;
    own->is_rung = 0;
    return 0;
}

void perseus_fabric_ring(perseus_fabric_endpoint *own) {
    own->is_rung = 1;
    if (own->has_held) send_held(own, 0);
}

int perseus_fabric_poll(
    perseus_fabric_endpoint *own, perseus_fabric_completion *completions, int limit) {
    if (own->has_held && own->is_rung) send_held(own, 0);
    struct fi_cq_data_entry entries[32];
    int count = 0;
    while (own->refused_count > 0 && count < limit) completions[count++] = own->refused[--own->refused_count];
    while (count < limit) {
        int most = limit - count < 32 ? limit - count : 32;
        ssize_t got = fi_cq_read(own->completions, entries, (size_t)most);
        if (got == -FI_EAVAIL) {
            struct fi_cq_err_entry failed = {0};
            if (fi_cq_readerr(own->completions, &failed, 0) < 1) return count;
            completions[count++] = (perseus_fabric_completion){
                .context = (uint64_t)(uintptr_t)failed.op_context,
                .error = failed.err ? failed.err : FI_EOTHER,
                .is_arrival = 0,
            };
            continue;
        }
        if (got <= 0) return count;
        for (ssize_t index = 0; index < got; index++) {
            // Some providers repeat a request's own flags in its completion.
            int is_arrival =
                (entries[index].flags & FI_REMOTE_CQ_DATA) && !(entries[index].flags & FI_WRITE);
            completions[count++] = (perseus_fabric_completion){
                .context = is_arrival ? entries[index].data : (uint64_t)(uintptr_t)entries[index].op_context,
                .error = 0,
                .is_arrival = is_arrival,
            };
        }
        if (got < most) return count;
    }
    return count;
}

#else

int perseus_fabric_load(void) { return PERSEUS_FABRIC_NOT_BUILT; }
uint32_t perseus_fabric_version(void) { return 0; }
const char *perseus_fabric_error(int error) { return strerror(error < 0 ? -error : error); }
int perseus_fabric_list(perseus_fabric_traits *traits, int limit) { return 0; }
perseus_fabric_endpoint *perseus_fabric_open(
    const char *provider, uint32_t peer_count, perseus_fabric_traits *traits, char *error, size_t error_bytes) {
    snprintf(error, error_bytes, "built without libfabric's headers");
    return NULL;
}
void perseus_fabric_close(perseus_fabric_endpoint *endpoint) {}
int perseus_fabric_address(const perseus_fabric_endpoint *endpoint, void *address) { return -1; }
int perseus_fabric_register(perseus_fabric_endpoint *endpoint, int region, void *base, uint64_t byte_count,
    uint64_t *key, uint64_t *remote_base) {
    return -1;
}
int perseus_fabric_connect(perseus_fabric_endpoint *endpoint, uint32_t peer, const void *address) { return -1; }
void perseus_fabric_set_remote(
    perseus_fabric_endpoint *endpoint, uint32_t peer, int region, uint64_t key, uint64_t remote_base) {}
int perseus_fabric_post(
    perseus_fabric_endpoint *endpoint, const perseus_fabric_request *request, const void *payload) {
    return -1;
}
void perseus_fabric_ring(perseus_fabric_endpoint *endpoint) {}
int perseus_fabric_poll(
    perseus_fabric_endpoint *endpoint, perseus_fabric_completion *completions, int limit) {
    return 0;
}

#endif
