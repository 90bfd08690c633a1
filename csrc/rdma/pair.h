/*
 * The private state of a completion queue and of its queue pairs. One thread may post on a pair
 * while another polls the completion queue: each word below has one writer, named beside it.
 */
#ifndef RQ_RDMA_PAIR_H
#define RQ_RDMA_PAIR_H

#include <infiniband/verbs.h>
#include <pthread.h>
#include <stdatomic.h>

#include "rdma/mutation.h"
#include "rdma/wr_id.h"
#include "ring/handle.h"

#define RQ_WC_BATCH 16         /* completions taken from the device at once */
#define RQ_SIGNAL_EVERY_MAX 64 /* the default's bound: how many buffers wait for one completion */
#define RQ_SENDS_MIN 4
#define RQ_OP_COVER 0 /* a request of our own, reported to nobody */

/* A slot of the send queue: what to report when its request is done. */
struct rq_slot {
    uint64_t token;
    uint32_t length_bytes;
    uint8_t opcode;
    uint8_t is_signalled;
    uint16_t reserved;
};

struct rq_pair {
    /* Never changed after rq_pair_open. */
    struct ibv_qp *qp;
    struct rq_cq *cq;
    struct ibv_send_wr *requests; /* templates, one a slot, each linked to the next */
    struct ibv_sge *pieces;
    struct ibv_recv_wr *receives;
    struct rq_slot *slots;
    uint64_t token;
    uint32_t slot_mask;
    uint32_t send_count_max; /* one of the queue's is kept for a cover */
    uint32_t receive_count_max;
    uint32_t inline_bytes_max;
    uint32_t request_bytes_max;
    uint32_t signal_every;
    uint32_t index;
    uint32_t qp_num;       /* a copy: the QP is destroyed before its pair is freed */
    uint32_t entry_count;  /* of the completion queue, kept for this pair */
    uint32_t is_forgotten; /* in a forked child: nothing but its memory is ours */

    /* The poster's. */
    _Alignas(128) struct rq_handle post;
    _Atomic uint64_t posted; /* requests, covers among them */
    uint64_t reported_seen;
    _Atomic uint64_t receives_used;
    _Atomic uint64_t doorbells; /* these are counted by the poster, and read by anybody */
    _Atomic uint64_t signalled;
    _Atomic uint64_t covers;
    _Atomic uint32_t is_broken;
    _Atomic uint32_t last_error;
    _Atomic uint64_t receives_granted; /* any thread adds */

    /* Who posts receives; another thread may post requests meanwhile. */
    _Alignas(128) struct rq_handle receiving;
    _Atomic uint64_t receives_posted;

    /* The poller's. */
    _Alignas(128) _Atomic uint64_t reported; /* requests before it are done, their slots free */
    _Atomic uint64_t receives_completed;
    _Atomic uint64_t covers_reported;
    uint8_t has_failed; /* an error completion was seen */
    uint8_t implied;    /* outcome of requests that a later completion passes over */
};

/* As rq_cq_stats: counted by the poller, read by anybody. */
struct rq_cq_tallies {
    _Atomic uint64_t completions, strays, polls, arms, sleeps, events;
};

struct rq_cq {
    struct rq_handle poll;
    struct ibv_cq *cq;
    int (*get_event)(struct ibv_comp_channel *, struct ibv_cq **, void **);
    void (*ack_events)(struct ibv_cq *, unsigned int);
    int wake_fd; /* an event here ends any sleep: written once, by close */
    uint32_t pair_count_max;
    uint32_t wc_count; /* completions taken from the device and not settled yet */
    uint32_t wc_at;
    struct ibv_wc wc[RQ_WC_BATCH];
    int is_armed;     /* for one event that has not been taken yet */
    int error;        /* of the device: polling is over */
    uint64_t special; /* reports that are of receives, or not OK */
    struct rq_cq_tallies tallies;

    pthread_mutex_t mutex; /* opening and freeing pairs */
    uint32_t entry_count;
    uint32_t entries_promised;
    uint32_t pair_count;
    int is_freed;
    _Atomic(struct rq_pair *) pairs[]; /* by index */
};

/* A counter has one writer, so no read-modify-write is needed. */
static inline void rq_tally(_Atomic uint64_t *counter, uint64_t amount) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

static inline uint64_t rq_tally_of(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Each request may have its completion in the queue at once, since a flush completes the
 * unsignalled ones, too; so may each receive. The cover's slot is one of send_count. */
static inline uint32_t rq_cq_entries_of(uint32_t send_count, uint32_t receive_count) {
    return send_count + receive_count;
}
_Static_assert((uint64_t)RQ_SENDS_MAX + RQ_RECEIVES_MAX <= RQ_CQ_ENTRIES_MAX,
               "one pair of the largest size fits");
_Static_assert(RQ_SIGNAL_EVERY_MAX <= RQ_SENDS_MAX / 2, "a queue must drain before it fills");

/* wait.c: takes reports, waiting for the first; for who holds cq->poll. */
int rq_cq_wait(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max, uint32_t wait_mode,
               uint64_t wait_ns);
/* Asks for an event; and takes those that came. */
int rq_cq_arm_once(struct rq_cq *cq);
int rq_cq_clear_events(struct rq_cq *cq);

/* poll_hot.c: must be called by who holds cq->poll. Returns how many reports, or -EIO. */
int rq_cq_take(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max);
/* The device's completions into cq->wc, when there are none left there. 1: there are some. */
int rq_cq_fetch(struct rq_cq *cq);
/* The same report for all that is outstanding, as far as done reaches. */
uint32_t rq_pair_report_until(struct rq_pair *pair, uint64_t until, uint32_t outcome,
                              struct rq_done *done, uint32_t done_count_max);

/* By the poster, before it posts: never more than the queue holds lies beyond what was seen. Pairs
 * with the release store in poll_hot.c: the slots were read before they are ours. */
static inline uint64_t rq_pair_see_reported(struct rq_pair *pair) {
    pair->reported_seen = atomic_load_explicit(&pair->reported, memory_order_acquire);
    return pair->reported_seen;
}

/* aside.c: posts a signalled request of no bytes, for which one slot is kept; 0, or -errno. By the
 * poster. */
int rq_pair_post_nothing(struct rq_pair *pair, uint64_t number, uint8_t slot_opcode, int wr_opcode);

/* cq.c: when it was freed and its last pair is. */
void rq_cq_really_free(struct rq_cq *cq);

/* torn.c: the provider took only a part of a chain. Returns what rq_pair_post shall. */
int rq_pair_settle_torn(struct rq_pair *pair, uint64_t first, uint32_t count,
                        const struct ibv_send_wr *refused, int error);

#endif
