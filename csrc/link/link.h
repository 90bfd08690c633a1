/*
 * The private state of a link. Whoever holds `turn` posts and polls: the publisher's thread or the
 * keeper's, whichever comes. The rest may be read by anybody.
 */
#ifndef RQ_LINK_LINK_H
#define RQ_LINK_LINK_H

#include "link/words.h"
#include "rdma/pair.h"
#include "ring/publisher.h"

#define RQ_CHAIN_REQUESTS 3u      /* data, data behind the wrap, tail */
#define RQ_LINK_EXTRA_REQUESTS 3u /* a READ, a heartbeat, the origin: one of each in flight */

/* What a request's token says: the chain's number above, its place below. */
enum { RQ_TOKEN_DATA, RQ_TOKEN_END, RQ_TOKEN_READ, RQ_TOKEN_BEAT, RQ_TOKEN_KINDS };

enum { RQ_TURN_FREE, RQ_TURN_HELD, RQ_TURN_HELD_AGAIN };

struct rq_link_tallies {
    _Atomic uint64_t chains, writes, reads, bytes, starved, heartbeats, lag_bytes_max;
};

struct rq_link {
    struct rq_tap tap; /* first: the publisher's view of us */
    struct rq_duty duty;
    /* Never changed after rq_link_open, or rq_link_begin. */
    struct rq_publisher *publisher;
    struct rq_keeper *keeper;
    struct rq_pair *pair;
    struct rq_segment segment; /* a copy */
    struct rq_link_words *words;
    struct rq_link_setup setup;
    int (*modify_qp)(struct ibv_qp *, struct ibv_qp_attr *, int);
    uint64_t start_bytes;
    uint64_t start_sequence;
    uint64_t deliver_sequence;
    uint64_t origin_sequence;
    unsigned index_stride_shift;
    int wants_feedback; /* IMM, or a reliable stream */

    _Alignas(128) _Atomic uint32_t turn;
    _Atomic uint64_t standing;     /* state, and why: see rq_standing */
    _Atomic uint32_t is_confirmed; /* held: its subscriber has proved that it is there */
    _Atomic uint32_t is_event_due; /* the keeper tells, and moves the QP to ERR */
    _Atomic uint32_t is_beat_due; /* the keeper sets it, with the two below; the poster clears it */
    _Atomic uint64_t look_ticks;  /* the keeper shall look then; UINT64_MAX: an event tells */
    _Atomic uint32_t is_waiting;  /* for a completion, to post what is left: the keeper arms */
    _Atomic uint64_t beat_tail_bytes;
    _Atomic uint64_t beat_sequence; /* behind it */
    _Atomic uint64_t sent;
    struct rq_link_tallies tallies;
    _Atomic uint64_t credits_granted; /* in all, from credit_count on */
    _Atomic uint64_t credits_used;

    /* The holder's of `turn`. */
    uint64_t chain_first; /* number of the oldest chain in flight */
    uint64_t chain_next;
    uint64_t chain_ends[RQ_LINK_CREDITS_MAX + RQ_LINK_DEPTH_MAX]; /* by number */
    uint64_t acknowledged; /* IMM: the other side's CPU has stored this tail, or a later one */
    int is_read_in_flight;
    int is_read_early; /* posted while it was held: there are no credits yet */
    int is_beat_in_flight;
    int is_starved;
    int has_begun_to_wait; /* since its turn began */
    int is_detached;       /* pair and queue are not touched any more */
    int is_released;       /* by the keeper */
    uint64_t read_pause_ns;
    uint64_t read_ticks; /* no READ of its own before then */
    uint64_t beat_number;
    int is_armed;           /* the keeper's: an event will tell of the next completion */
    uint64_t reported_seen; /* the keeper's: what had completed at its last look, */
    uint64_t looked_ticks;  /* when that was, 0: never, */
    uint64_t waited_ticks;  /* and for how long it has looked in vain */
};

/* link_hot.c: takes completions and posts what may go; never waits. Returns how much was done. */
uint32_t rq_link_run(struct rq_link *link);
/* rq_tap.serve. */
void rq_link_serve(struct rq_tap *tap, uint64_t tail);
/* rq_tap.cut_off. */
int rq_link_cut_off(struct rq_tap *tap);
/* The end of posting, by the first who calls it: 1. */
int rq_link_fail(struct rq_link *link, uint32_t cause, uint32_t status, uint32_t vendor_error);
/* 1: the caller has the turn; 0: its holder goes round once more. */
int rq_link_take_turn(struct rq_link *link);
/* 0: somebody came meanwhile; go round once more, with the turn still held. */
int rq_link_end_turn(struct rq_link *link);

/* chain_hot.c: where the next chain ends: behind a whole frame, at `limit` at most, and not beyond
 * `tail`; `from` when no frame fits. */
uint64_t rq_chain_end(const struct rq_link *link, uint64_t from, uint64_t limit, uint64_t tail);
/* Posts it; 1: it went, 0: no room now, -1: the link has failed. */
int rq_chain_post(struct rq_link *link, uint64_t end);
/* A READ of the other side's feedback by itself, when nothing else brings it. */
void rq_link_read_feedback(struct rq_link *link);
/* link.c: a heartbeat is due; by the keeper's thread. */
void rq_link_set_beat(struct rq_link *link);
/* beat_hot.c: the heartbeat, unless the last one is still on its way. */
void rq_link_post_beat(struct rq_link *link);

/* One word, so that nobody sees a link failed without its cause. */
static inline uint64_t rq_standing(uint32_t state, uint32_t cause, uint32_t status,
                                   uint32_t vendor_error) {
    return state | (uint64_t)cause << 8 | (uint64_t)(status & 0xffff) << 16 |
           (uint64_t)vendor_error << 32;
}

static inline uint32_t rq_standing_state(uint64_t standing) { return standing & 0xff; }

static inline uint32_t rq_link_state(const struct rq_link *link) {
    return rq_standing_state(atomic_load_explicit(&link->standing, memory_order_acquire));
}

static inline int rq_link_is_posting(const struct rq_link *link) {
    uint32_t state = rq_link_state(link);
    return state == RQ_LINK_LIVE || state == RQ_LINK_LAGGING;
}

static inline void rq_link_ring(struct rq_link *link) {
    if (link->keeper != NULL) rq_keeper_ring(link->keeper);
}

static inline uint64_t rq_link_sent(const struct rq_link *link) {
    return atomic_load_explicit(&link->sent, memory_order_relaxed);
}

static inline uint64_t *rq_link_end_of(struct rq_link *link, uint64_t number) {
    return &link->chain_ends[number % (RQ_LINK_CREDITS_MAX + RQ_LINK_DEPTH_MAX)];
}

static inline uint64_t rq_token(uint64_t number, uint32_t kind) {
    return number * RQ_TOKEN_KINDS + kind;
}

#endif
