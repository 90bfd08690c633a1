/*
 * Tails by WRITE_WITH_IMM. The completion says that the data stands; then the tail is stored, the
 * receive posted again, and only then the credit given back: who sees the credit may count on the
 * tail, and writes no further than a guard beyond it.
 */
#include "link/replica.h"

#define DONE_BATCH 32

/* The tail whose low bits these are: the next one behind what stands. 0: it cannot be. */
static uint64_t tail_of(const struct rq_replica *replica, uint64_t tail, uint32_t imm) {
    uint64_t step_bytes = (uint64_t)(imm - rq_tail_imm(tail)) * RQ_FRAME_ALIGN_BYTES;
    if (step_bytes == 0 || step_bytes > replica->publisher->segment.guard_bytes) return 0;
    return tail + step_bytes;
}

static int take(struct rq_replica *replica, const struct rq_done *done, uint64_t *tail) {
    if (done->opcode != RQ_OP_RECEIVE) return 0;
    if (done->outcome != RQ_OUTCOME_OK) {
        rq_replica_fail(replica, done->status);
        return 0;
    }
    uint64_t next = done->has_imm ? tail_of(replica, *tail, done->imm) : 0;
    if (next == 0) {
        rq_replica_fail(replica, 0);
        return 0;
    }
    *tail = next;
    return 1;
}

static void give_back(struct rq_replica *replica, uint32_t count) {
    int posted = rq_pair_post_receives(replica->pair, count);
    if (posted != (int)count) rq_replica_fail(replica, RQ_REPLICA_STATUS_DEVICE);
    if (posted <= 0) return;
    replica->receives_posted += (uint32_t)posted;
    /* Pairs with the READ of the link: the tail stands, and the receives. */
    atomic_store_explicit(&replica->feedback->credits,
                          (uint64_t)replica->setup.generation << 32 |
                              (uint32_t)replica->receives_posted,
                          memory_order_release);
}

uint32_t rq_replica_take_receives(struct rq_replica *replica) {
    struct rq_done done[DONE_BATCH];
    if (atomic_load_explicit(&replica->state, memory_order_relaxed) == RQ_REPLICA_FAILED) return 0;
    int count = rq_cq_poll(replica->pair->cq, done, DONE_BATCH, RQ_WAIT_SPIN, 0);
    if (count < 0 && count != -EBUSY) rq_replica_fail(replica, RQ_REPLICA_STATUS_DEVICE);
    if (count <= 0) return 0;
    uint64_t tail = atomic_load_explicit(&replica->live->tail_bytes, memory_order_relaxed);
    uint32_t taken = 0;
    for (int i = 0; i < count; i++) taken += (uint32_t)take(replica, &done[i], &tail);
    rq_tally(&replica->tallies.receives, taken);
    if (taken == 0) return (uint32_t)count;
    /* Pairs with the acquire loads of tail_bytes in read_hot.c. NIC to CPU: the completion was
     * polled before, which orders the data. */
    atomic_store_explicit(&replica->live->tail_bytes, tail, memory_order_release);
    give_back(replica, taken);
    return (uint32_t)count;
}
