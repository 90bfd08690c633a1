/*
 * A lane's two rings. `waiting`: the submitter writes, whoever holds `turn` reads and posts.
 * `reports`: the progress thread writes, the taker reads.
 */
#ifndef RQ_RDMA_LANE_H
#define RQ_RDMA_LANE_H

#include "rdma/pair.h"

struct rq_progress;

struct rq_lane {
    struct rq_pair *pair;
    struct rq_progress *progress;
    struct rq_lane *next; /* in the thread's list, by its mutex */
    struct rq_op *waiting;
    struct rq_done *reports;
    uint64_t waiting_mask;
    uint64_t report_mask;
    int fd; /* an event: there are reports, and the taker had found none */

    _Alignas(128) struct rq_handle submit;
    _Atomic uint64_t submitted;
    _Alignas(128) _Atomic int turn; /* held by who posts; tried, never waited for */
    _Atomic uint64_t handed_over;   /* of those submitted: to the pair */
    _Atomic int refusal;            /* -errno of the provider: the rest is never posted */
    _Alignas(128) _Atomic uint64_t reported;
    _Alignas(128) struct rq_handle take;
    _Atomic uint64_t taken; /* reports */
    _Atomic uint64_t sends_taken;
    _Atomic int is_hungry; /* the taker found nothing */
};

/* lane.c: one turn of the thread. Returns how much was done. */
uint32_t rq_lane_work(struct rq_lane *lane);
/* Nothing can be reported before some reports are taken, which rings. */
int rq_lane_is_full(const struct rq_lane *lane);

/* progress.c */
int rq_progress_add(struct rq_progress *progress, struct rq_lane *lane);
void rq_progress_remove(struct rq_progress *progress, struct rq_lane *lane);
/* Wakes the thread: from any thread, never lost. */
void rq_progress_ring(struct rq_progress *progress);

#endif
