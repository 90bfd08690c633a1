/*
 * The private state of a replica's owner. Its rq_publisher admits readers and wakes them, as a
 * publisher's does; what it sends, a NIC wrote. While attached all of it is the keeper's thread's,
 * and under the publish lock what admitting needs.
 */
#ifndef RQ_LINK_REPLICA_H
#define RQ_LINK_REPLICA_H

#include "link/words.h"
#include "rdma/pair.h"
#include "ring/publisher.h"

struct rq_replica_tallies {
    _Atomic uint64_t frames, messages, bytes, lapped, receives, heartbeats;
};

struct rq_replica {
    struct rq_duty duty;
    struct rq_publisher *publisher;
    struct rq_keeper *keeper; /* NULL: detached */
    struct rq_pair *pair;     /* NULL: tails come by themselves */
    struct rq_live *live;
    struct rq_beat *beat;
    struct rq_feedback *feedback;
    struct rq_replica_setup setup;
    uint64_t told; /* readers were woken for this tail */
    uint64_t receives_posted;
    uint64_t stamp_seen;
    uint64_t nap_ns;
    int was_awaited; /* at the last nap's end */
    _Atomic uint32_t state;
    _Atomic uint32_t status;
    _Atomic uint64_t life_ticks;
    _Atomic uint64_t publisher_tail;
    _Atomic uint64_t publisher_ticks;
    struct rq_replica_tallies tallies;
    int is_attached;
    int is_nonsense; /* what came cannot be: nothing of the segment is believed any more */
    int is_begun;    /* something came by this link */
    int is_ready;    /* its receives are posted */
};

/* replica_hot.c: a turn of the thread; never waits. Returns how much was done. */
uint32_t rq_replica_look(struct rq_replica *replica);
/* Tells readers, and enters into the index what came, as far as `tail`. */
uint32_t rq_replica_notice(struct rq_replica *replica, uint64_t tail);
/* Below it no reader here is, nor will be: told to the publisher, under the publish lock. */
uint64_t rq_replica_cursor(struct rq_replica *replica);
/* receive_hot.c: tails that come by WRITE_WITH_IMM. */
uint32_t rq_replica_take_receives(struct rq_replica *replica);
/* replica.c: whether a reader who saw no frame yet can be told where the stream began. */
int rq_replica_knows_origin(const struct rq_replica *replica);
/* Detached: what stands between the tail and `position` is lost, and was not written. */
void rq_replica_skip_to(struct rq_replica *replica, uint64_t position, uint64_t sequence);
void rq_replica_fail(struct rq_replica *replica, uint32_t status);

/* For readers whom no frame tells: where the tail stands, and the sequence there, or 0. */
static inline void rq_replica_set_restart(struct rq_live *live, uint64_t position,
                                          uint64_t sequence) {
    atomic_store_explicit(&live->restart_sequence, 0, memory_order_relaxed);
    /* Pairs with the fence in frame_hot.c, restart: never the old sequence with the new place. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&live->restart_bytes, position, memory_order_relaxed);
    atomic_store_explicit(&live->restart_sequence, sequence, memory_order_release);
}

static inline void rq_replica_lives(struct rq_replica *replica) {
    uint64_t now_ticks = rq_now_ticks();
    atomic_store_explicit(&replica->life_ticks, now_ticks, memory_order_relaxed);
    atomic_store_explicit(&replica->live->heartbeat_ticks, now_ticks, memory_order_relaxed);
}

#endif
