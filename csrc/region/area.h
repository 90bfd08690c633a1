/* Memory that peers may reach: a memfd with the data, and one with the owner's word about it. */
#ifndef RQ_REGION_AREA_H
#define RQ_REGION_AREA_H

#include <stdatomic.h>

#include "rdmaq_abi.h"

/* The control page: the owner writes, peers map it read-only. A memfd of its own, since the data
 * may be writable by peers. */
struct rq_area_control {
    _Atomic uint32_t revoked;
};

struct rq_area {
    uint8_t *data;
    struct rq_area_control *control;
    uint64_t data_bytes;   /* as asked for */
    uint64_t mapped_bytes; /* in whole pages */
    uint64_t control_bytes;
    uint32_t access; /* RQ_ACCESS_*: what peers may do */
    int is_owner;
    int owner_pid; /* mappings are not inherited: a forked child must not unmap what it lacks */
};

/* Pairs with the release store in rq_area_revoke: what begins after revoke returned is refused. */
static inline int rq_area_is_revoked(const struct rq_area *area) {
    return atomic_load_explicit(&area->control->revoked, memory_order_acquire) != 0;
}

#endif
