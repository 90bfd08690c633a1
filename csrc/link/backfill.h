/* The private state of a backfill: one thread's. */
#ifndef RQ_LINK_BACKFILL_H
#define RQ_LINK_BACKFILL_H

#include "link/words.h"
#include "rdma/pair.h"
#include "ring/publisher.h"

struct rq_replica;

/* Tail, data, tail; when the ring there has lapped us, its index, and on from an entry of that. */
enum rq_backfill_stage {
    RQ_STAGE_BEGIN, /* no tail is known */
    RQ_STAGE_TAIL,  /* its READ is in flight */
    RQ_STAGE_IDLE,  /* tail0 is known */
    RQ_STAGE_DATA,  /* data and tail1 are in flight */
    RQ_STAGE_INDEX, /* index and tail1 are in flight */
    RQ_STAGE_FAILED
};

struct rq_backfill {
    struct rq_pair *pair;
    struct rq_replica *replica; /* NULL: into the buffer */
    struct rq_backfill_setup setup;
    struct rq_descriptor descriptor; /* a copy, checked */
    uint8_t *buffer;                 /* the replica's data, or the caller's */
    _Atomic uint64_t *tail;          /* in `words`: where a READ puts it */
    uint64_t buffer_bytes;           /* of the largest READ that fits */
    uint64_t room_bytes;             /* capacity less guard */
    enum rq_backfill_stage stage;
    uint64_t position; /* of the next frame */
    uint64_t sequence; /* expected there; 0: not known */
    uint64_t tail0;
    uint64_t piece_bytes;   /* in flight, from position on */
    uint64_t index_entries; /* in flight, the whole index or a part of it */
    uint64_t index_at;
    uint64_t best_position; /* of the entries seen so far: the oldest that is safe */
    uint64_t best_sequence;
    uint64_t reads, read_bytes;
    uint32_t awaited; /* reports */
    uint32_t status, vendor_error;
    struct rq_handle handle;
};

/* backfill_hot.c: what a READ brought, whole frames of [position, position + piece_bytes) at
 * `data`: fills the report, moves position and sequence on. Returns how many bytes of frames, or
 * -EBADMSG. */
int64_t rq_backfill_check(struct rq_backfill *backfill, const uint8_t *data,
                          struct rq_backfill_report *report);

#endif
