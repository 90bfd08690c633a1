/*
 * Verbs' part of the boundary (csrc/rdma): pyverbs creates, these calls post and poll. The rules
 * are those of rdmaq_abi.h, which includes this file.
 */
#ifndef RDMAQ_VERBS_H
#define RDMAQ_VERBS_H

#include <stdint.h>

/* cffi: begin */

#define RQ_SENDS_MAX 32768    /* work requests in one send queue */
#define RQ_RECEIVES_MAX 32768 /* and in one receive queue */
#define RQ_CQ_PAIRS_MAX 4096  /* queue pairs that complete into one completion queue */
#define RQ_CQ_ENTRIES_MAX 4194304
#define RQ_REQUEST_BYTES_MAX 1073741824 /* one request's bytes: a port grants less */

#define RQ_OP_WRITE 1
#define RQ_OP_WRITE_WITH_IMM 2
#define RQ_OP_READ 3
#define RQ_OP_FETCH_ADD 4
#define RQ_OP_COMPARE_SWAP 5
#define RQ_OP_RECEIVE 6 /* in struct rq_done only: what a peer's WRITE_WITH_IMM consumed */
#define RQ_OP_PROBE 7 /* in struct rq_done only: rq_pair_probe's request, when it did not go well */
#define RQ_OP_BIND 8  /* in struct rq_done only: what rq_pair_begin_bind had a place for */

#define RQ_OP_FENCE 1     /* begins after all earlier READs and atomics of its pair are done */
#define RQ_OP_SOLICITED 2 /* WRITE_WITH_IMM: wakes a peer that armed for solicited events */
#define RQ_OP_INLINE 4    /* the bytes are taken now, from memory that need not be registered */

#define RQ_OUTCOME_OK 0
#define RQ_OUTCOME_FAILED 1  /* status says why; what the peer saw of it is unknown */
#define RQ_OUTCOME_FLUSHED 2 /* another request failed, or the pair was moved to ERR */
#define RQ_OUTCOME_UNKNOWN 3 /* its completion never came: it may or may not have happened */

struct rq_cq;
struct rq_pair;

/* Addresses are those of libibverbs' own structs. Without a channel nobody can sleep: waiting
 * yields instead. get_event and ack_events are ibv_get_cq_event and ibv_ack_cq_events, found by
 * the caller at run time: the extension does not link to libibverbs. */
struct rq_cq_setup {
    uint64_t cq;        /* struct ibv_cq */
    uint64_t get_event; /* functions, both 0 without a channel */
    uint64_t ack_events;
    uint32_t entry_count; /* granted, not asked for */
    uint32_t pair_count_max;
};

/* Everything as granted. The pair's QP completes sends and receives into the one cq. */
struct rq_pair_setup {
    uint64_t qp;    /* struct ibv_qp */
    uint64_t token; /* comes back in each rq_done */
    uint32_t send_count_max;
    uint32_t receive_count_max;
    uint32_t inline_bytes_max;
    uint32_t request_bytes_max; /* the port's max_msg_sz, or less */
    uint32_t signal_every;      /* 0: a quarter of the queue, at most 64 */
    uint32_t reserved;
};

/* One work request. The memory at local_address is lent to the NIC until the request's rq_done is
 * polled: writing to it before then may corrupt what is in flight. */
struct rq_op {
    uint64_t token;
    uint64_t local_address;
    uint64_t remote_address;
    uint64_t compare_add; /* FETCH_ADD: what to add; COMPARE_SWAP: what to compare with */
    uint64_t swap;
    uint32_t length_bytes; /* 8 for atomics: where the old value goes */
    uint32_t local_key;
    uint32_t remote_key;
    uint32_t imm; /* host byte order */
    uint8_t opcode;
    uint8_t flags; /* RQ_OP_FENCE and so on */
    uint8_t reserved[6];
};

/* What became of one request. Every one that was taken comes back exactly once. */
struct rq_done {
    uint64_t token;      /* the request's; a receive's running number */
    uint64_t pair_token; /* as given to rq_pair_open */
    uint32_t length_bytes;
    uint32_t imm;
    uint32_t vendor_error;
    uint8_t opcode;
    uint8_t outcome;
    uint8_t status; /* enum ibv_wc_status; 0 for what was never completed */
    uint8_t has_imm;
};

struct rq_pair_stats {
    uint64_t posted; /* requests; covers and probes are not counted */
    uint64_t reported;
    uint64_t doorbells;
    uint64_t signalled;
    uint64_t
        covers; /* requests of our own: probes, and what confirms a chain torn by the provider */
    uint64_t receives_posted;
    uint64_t receives_completed;
    uint64_t receives_granted; /* by the peer, for our WRITE_WITH_IMM */
    uint64_t receives_used;
    uint32_t is_broken;  /* the provider refused in a way that leaves requests unconfirmed */
    uint32_t last_error; /* errno of the last refusal, 0: none */
};

struct rq_cq_stats {
    uint64_t completions; /* taken from the completion queue */
    uint64_t strays;      /* of them: of no request of ours; ignored */
    uint64_t polls;       /* of the device */
    uint64_t arms;
    uint64_t sleeps;
    uint64_t events;
};

/* 1: built with libibverbs' headers. 0: every function below returns -ENOSYS. */
int rq_verbs_built(void);

/* -EINVAL: bounds or an address of 0. The ibv_cq stays the caller's and must outlive this. */
int rq_cq_open(const struct rq_cq_setup *setup, struct rq_cq **cq_out);
/* Takes up to done_count_max reports; with none waits at most wait_ns (one slice of at most
 * RQ_WAIT_SLICE_NS_MAX; RQ_WAIT_*). 0: nothing yet. -EBUSY: another thread polls; -ESHUTDOWN:
 * closed; -EIO: the device refuses to be polled. Posting goes on meanwhile in any thread. */
int rq_cq_poll(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max, uint32_t wait_mode,
               uint64_t wait_ns);
/* Asks for an event on the channel. 1: there is something to poll already; 0: sleep on the
 * channel's descriptor, then rq_cq_clear and poll. -ENOTSUP: no channel. */
int rq_cq_arm(struct rq_cq *cq);
/* Takes the events off the channel, whose descriptor must be non-blocking. Returns how many. */
int rq_cq_clear(struct rq_cq *cq);
void rq_cq_read_stats(struct rq_cq *cq, struct rq_cq_stats *out);
/* Counts the reports so far that are of receives, or of any outcome but OK: while it stands, all
 * reports of a poll are of sends that went well, and nobody need look at them one by one. */
const uint64_t *rq_cq_special(struct rq_cq *cq);
/* Wakes the one who waits inside; later polls return -ESHUTDOWN. 1: the caller is the one closer,
 * and takes what is left with rq_cq_drain (as poll, for the closer only). 0: closed before. */
int rq_cq_close(struct rq_cq *cq);
int rq_cq_drain(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max, uint64_t wait_ns);
void rq_cq_forget(struct rq_cq *cq);
/* After close or forget; its memory goes with its last pair's. */
void rq_cq_free(struct rq_cq *cq);

/* -EINVAL: bounds, or a QP that does not complete into cq; -ENOSPC: the completion queue could
 * overflow: each request of a pair may complete when the pair is flushed, so its entries must be
 * the sum of send_count_max and receive_count_max of all pairs. */
int rq_pair_open(struct rq_cq *cq, const struct rq_pair_setup *setup, struct rq_pair **pair_out);
/* Posts as one chain with one doorbell. Returns how many were taken, from the first on: fewer when
 * the queue is full or the peer granted no receive (0: poll, then post the rest), or when the
 * provider refused one (the next call says why). -EINVAL: an op is malformed, -EMSGSIZE: too long;
 * nothing was posted. -EIO: broken, move the pair to ERR. Other -errno: the provider's, for the
 * first op. -EBUSY, -ESHUTDOWN: as ever. */
int rq_pair_post(struct rq_pair *pair, const struct rq_op *ops, uint32_t op_count);
/* Where rq_pair_run puts its reports, and how it waits: set once, used by every run. */
struct rq_run {
    struct rq_done *done;
    uint64_t wait_ns; /* for all of it: at most one slice, as in rq_cq_poll */
    uint32_t done_count_max;
    uint32_t wait_mode;
    uint32_t taken; /* out: how many were posted; as rq_pair_post's result, 0 for an error */
    uint32_t reserved;
};
/* Post and poll in one crossing: posts as rq_pair_post does, then takes reports until there are as
 * many as were posted, or `done` is full, or time is up. Returns how many reports, or -errno (then
 * nothing was posted). What was posted and not reported is in flight as ever. */
int rq_pair_run(struct rq_pair *pair, const struct rq_op *ops, uint32_t op_count,
                struct rq_run *run);
/* Asks the peer's device for nothing, by a signalled WRITE of no bytes, when nothing else is in
 * flight that would tell whether it lives; needs the peer's leave to WRITE. 1: posted; 0: something
 * is in flight. Of its end comes a report only if it is none of success. */
int rq_pair_probe(struct rq_pair *pair);
/* The next request is posted by somebody else, pyverbs say, with this wr_id and signalled: 1. 0: no
 * room; -EIO as rq_pair_post. Nobody posts until rq_pair_end_bind, which says whether it was; it is
 * reported as any. */
int rq_pair_begin_bind(struct rq_pair *pair, uint64_t token, uint64_t *wr_id_out);
void rq_pair_end_bind(struct rq_pair *pair, int was_posted);
/* Posts receives without buffers, for the peer's WRITE_WITH_IMM. Returns how many were taken. */
int rq_pair_post_receives(struct rq_pair *pair, uint32_t receive_count);
/* The peer has so many more receives for us. Any thread; no credit, no post. */
int rq_pair_grant(struct rq_pair *pair, uint32_t receive_count);
/* Requests that were posted and not yet reported. */
uint32_t rq_pair_outstanding(struct rq_pair *pair);
/* Reports what is outstanding as RQ_OUTCOME_UNKNOWN, until it returns 0. Only when no completion
 * can come any more (QP destroyed, or flushed for longer than its bound); closed pairs only.
 * -EBUSY: another thread polls the completion queue. */
int rq_pair_abandon(struct rq_pair *pair, struct rq_done *done, uint32_t done_count_max);
void rq_pair_read_stats(struct rq_pair *pair, struct rq_pair_stats *out);
/* Later posts return -ESHUTDOWN; waits for the poster inside. What is in flight completes by
 * polling: move the QP to ERR, poll until rq_pair_outstanding is 0, destroy it, then free. */
int rq_pair_close(struct rq_pair *pair);
void rq_pair_forget(struct rq_pair *pair);
/* After close or forget. */
void rq_pair_free(struct rq_pair *pair);

/* ---- benchmarks (rdmaq bench verbs): what perftest does, over these calls ------------------- */
/* All spin; limits are in ns, and what takes longer returns what it got done. -EIO: a request did
 * not end well. */
struct rq_bench_words {
    struct rq_op op; /* the WRITE that takes `leaving` to the peer's `arriving` */
    uint64_t *leaving;
    const uint64_t *arriving;
    uint64_t first_number; /* not 0; the words count on from here */
    uint32_t is_first;     /* 1: we begin each round trip, the peer answers */
    uint32_t reserved;
};
/* Round trips of 8 bytes by WRITE, each side waiting for its memory to change. */
int64_t rq_bench_verbs_ping(struct rq_pair *pair, struct rq_cq *cq,
                            const struct rq_bench_words *words, uint64_t count, uint64_t limit_ns,
                            uint64_t *round_trips_ns_out);
/* The same request again and again, one in flight; what each took. */
int64_t rq_bench_verbs_each(struct rq_pair *pair, struct rq_cq *cq, const struct rq_op *op,
                            uint64_t count, uint64_t limit_ns, uint64_t *times_ns_out);
/* op_count requests in a chain, chain after chain, at most `depth` of them in flight. */
int64_t rq_bench_verbs_stream(struct rq_pair *pair, struct rq_cq *cq, const struct rq_op *ops,
                              uint32_t op_count, uint32_t depth, uint64_t count, uint64_t limit_ns);

/* cffi: end */

#endif
