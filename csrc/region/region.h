/* One side's way to an area: who is inside, whether the owner lives, what may be done. */
#ifndef RQ_REGION_REGION_H
#define RQ_REGION_REGION_H

#include "region/area.h"
#include "ring/handle.h"

struct rq_region {
    struct rq_handle handle;
    struct rq_area *area;
    uint32_t access;           /* RQ_ACCESS_* of this side: the owner may do all */
    int socket_fd;             /* its hang-up is the owner's death notice; -1: we are the owner */
    int owner_fd;              /* the owner's pidfd, or -1 */
    uint64_t look_after_ticks; /* no look at the two before then */
};

/* Checks every operation before one is done, by whatever transport, against an area of so many
 * bytes and what may be done there (RQ_ACCESS_*). 0, or -errno with *bad_index_out. */
int rq_region_check(uint32_t access, uint64_t area_bytes, const struct rq_region_op *ops,
                    uint64_t count, uint64_t *bad_index_out);
void rq_region_do(const struct rq_region *region, struct rq_region_op *ops, uint64_t count);

/* Enters the handle; looks whether the area was revoked and, now and then, whether its owner
 * lives. After 0 rq_handle_leave is due. */
int rq_region_enter(struct rq_region *region);

#endif
