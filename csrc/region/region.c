/* Opening, entering and closing a region: what may call the system. */
#include "region/region.h"

#include <poll.h>
#include <stdlib.h>

#include "ring/clock.h"

/* How long an owner's death may stay unnoticed: a look costs a system call. */
#define LOOK_NS 10000000u

int rq_region_open(struct rq_area *area, uint32_t access, int socket_fd, int owner_fd,
                   struct rq_region **region_out) {
    *region_out = NULL;
    struct rq_region *region = calloc(1, sizeof(*region));
    if (region == NULL) return -ENOMEM;
    region->area = area;
    region->access = access;
    region->socket_fd = socket_fd;
    region->owner_fd = owner_fd;
    *region_out = region;
    return 0;
}

static int owner_lives(const struct rq_region *region) {
    struct pollfd watched[2] = {{.fd = region->socket_fd, .events = POLLIN},
                                {.fd = region->owner_fd, .events = POLLIN}};
    return poll(watched, 2, 0) <= 0;
}

static int look(struct rq_region *region) {
    if (region->socket_fd < 0) return 0;
    uint64_t now = rq_now_ticks();
    if (region->look_after_ticks != 0 && now < region->look_after_ticks) return 0;
    if (!owner_lives(region)) return -EOWNERDEAD;
    region->look_after_ticks = now + rq_ns_ticks(LOOK_NS);
    return 0;
}

int rq_region_enter(struct rq_region *region) {
    int error = rq_handle_enter(&region->handle);
    if (error != 0) return error;
    error = rq_area_is_revoked(region->area) ? -ESTALE : look(region);
    /* An owner that ends in order revokes first, and both may be seen at once. */
    if (error == -EOWNERDEAD && rq_area_is_revoked(region->area)) error = -ESTALE;
    if (error != 0) rq_handle_leave(&region->handle);
    return error;
}

int64_t rq_region_run(struct rq_region *region, struct rq_region_op *ops, uint64_t count,
                      uint64_t *bad_index_out) {
    int error = rq_region_enter(region);
    if (error != 0) return error;
    error = rq_region_check(region->access, region->area->data_bytes, ops, count, bad_index_out);
    if (error == 0) rq_region_do(region, ops, count);
    rq_handle_leave(&region->handle);
    return error != 0 ? error : (int64_t)count;
}

int rq_region_close(struct rq_region *region) {
    if (rq_handle_begin_close(&region->handle)) rq_handle_wait_idle(&region->handle);
    return 0;
}

void rq_region_forget(struct rq_region *region) {
    atomic_store_explicit(&region->handle.is_closing, 1, memory_order_relaxed);
}

void rq_region_free(struct rq_region *region) { free(region); }
