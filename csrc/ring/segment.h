/* One mapped segment, as publisher and reader see it: addresses and the copied-out sizes. */
#ifndef RQ_RING_SEGMENT_H
#define RQ_RING_SEGMENT_H

#include "ring/layout.h"

struct rq_segment {
    uint8_t *base; /* the whole reservation: segment_bytes, then data once more */
    uint64_t mapped_bytes;
    uint8_t *data;
    struct rq_live *live;
    struct rq_ledger_entry *ledger;
    struct rq_index_entry *index;
    uint64_t capacity_bytes;
    uint64_t guard_bytes;
    uint64_t message_bytes_max;
    uint64_t index_stride_bytes;
    uint64_t index_entry_mask;
    uint32_t record_bytes;
    uint32_t is_reliable;
    int is_writable;
    int owner_pid; /* the mapping is not inherited: a forked child must not unmap what it lacks */
};

/* Every relation between a descriptor's numbers; the same check for creator and stranger. */
int rq_descriptor_check(const struct rq_descriptor *descriptor);

static inline uint8_t *rq_at(const struct rq_segment *segment, uint64_t position) {
    return segment->data + (position & (segment->capacity_bytes - 1));
}

static inline struct rq_index_entry *rq_index_at(const struct rq_segment *segment,
                                                 uint64_t stride_number) {
    return segment->index + (stride_number & segment->index_entry_mask);
}

#endif
