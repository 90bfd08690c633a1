#ifndef RQ_RING_START_H
#define RQ_RING_START_H

#include "ring/publisher.h"

struct rq_start {
    uint64_t position;
    uint64_t sequence; /* the next one to deliver; 0: the stream's first, whichever it will be */
};

/* Must be called with the publish lock held. */
void rq_find_start(const struct rq_publisher *publisher, uint32_t start, uint64_t value,
                   struct rq_start *out);

#endif
