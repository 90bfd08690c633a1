/* A link's chain without links: what `rdmaq bench latency --transport verbs` holds streams against.
 * The frame's WRITE and behind it an inline one of the tail, one doorbell; the receiver spins on
 * the tail and takes the frame out. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "rdmaq_abi.h"

#define DONE_COUNT_MAX 64
#define CHAINS_IN_FLIGHT_MAX 16
#define CHAIN_REQUESTS 2

struct run {
    struct rq_pair *pair;
    struct rq_cq *cq;
    const struct rq_bench_chain *chain;
    uint64_t until_ticks;
    uint64_t outstanding;
};

static uint64_t ticks_after(uint64_t limit_ns) {
    uint64_t ticks = 1000000;
    return rq_clock_ticks() + limit_ns / (rq_clock_ticks_to_ns(ticks) + 1) * ticks;
}

/* Takes what completed, and waits only when too much is in flight. 1, 0: the time is up. */
static int settle(struct run *run) {
    struct rq_done done[DONE_COUNT_MAX];
    do {
        int count = rq_cq_poll(run->cq, done, DONE_COUNT_MAX, RQ_WAIT_SPIN, 0);
        if (count < 0) return count;
        for (int i = 0; i < count; i++)
            if (done[i].outcome != RQ_OUTCOME_OK) return -EIO;
        run->outstanding -= (uint64_t)count;
        if (rq_clock_ticks() >= run->until_ticks) return 0;
    } while (run->outstanding > CHAIN_REQUESTS * CHAINS_IN_FLIGHT_MAX);
    return 1;
}

static int post(struct run *run, uint64_t tail, const uint8_t *message) {
    const struct rq_bench_chain *chain = run->chain;
    uint64_t offset_bytes = (tail - chain->frame_bytes) % chain->ring_bytes;
    struct rq_op ops[CHAIN_REQUESTS] = {chain->ops[0], chain->ops[1]};
    ops[0].local_address += offset_bytes;
    ops[0].remote_address += offset_bytes;
    memcpy((void *)(uintptr_t)ops[0].local_address, message, chain->frame_bytes);
    *(uint64_t *)(uintptr_t)ops[1].local_address = tail;
    int result = settle(run);
    if (result <= 0) return result;
    int posted = rq_pair_post(run->pair, ops, CHAIN_REQUESTS);
    if (posted != CHAIN_REQUESTS) return posted < 0 ? posted : -EAGAIN;
    run->outstanding += CHAIN_REQUESTS;
    return 1;
}

/* NIC -> CPU: whoever sees the tail sees the frame below it, where a platform keeps that order. */
static int take(struct run *run, uint64_t tail, uint8_t *message) {
    const struct rq_bench_chain *chain = run->chain;
    const _Atomic uint64_t *word = (const _Atomic uint64_t *)chain->arriving;
    while (atomic_load_explicit(word, memory_order_acquire) != tail)
        if (rq_clock_ticks() >= run->until_ticks) return 0;
    memcpy(message, chain->ring + (tail - chain->frame_bytes) % chain->ring_bytes,
           chain->frame_bytes);
    return 1;
}

int64_t rq_bench_chain_ping(struct rq_pair *pair, struct rq_cq *cq,
                            const struct rq_bench_chain *chain, uint64_t count, uint64_t limit_ns,
                            uint64_t *round_trips_ns_out) {
    uint8_t message[RQ_BENCH_FRAME_BYTES_MAX] = {0};
    struct run run = {.pair = pair, .cq = cq, .chain = chain, .until_ticks = ticks_after(limit_ns)};
    if (chain->frame_bytes > sizeof(message) || chain->ring_bytes % chain->frame_bytes != 0)
        return -EINVAL;
    uint64_t before_ticks = rq_clock_ticks();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t tail = chain->first_tail + i * chain->frame_bytes;
        int result = chain->is_first ? post(&run, tail, message) : take(&run, tail, message);
        if (result > 0)
            result = chain->is_first ? take(&run, tail, message) : post(&run, tail, message);
        if (result <= 0) return result < 0 ? result : (int64_t)i;
        uint64_t now_ticks = rq_clock_ticks();
        round_trips_ns_out[i] = now_ticks - before_ticks;
        before_ticks = now_ticks;
    }
    while (run.outstanding != 0) { /* so that nothing is left for who measures next */
        int result = settle(&run);
        if (result <= 0) return result < 0 ? result : (int64_t)count - 1;
    }
    for (uint64_t i = 0; i < count; i++)
        round_trips_ns_out[i] = rq_clock_ticks_to_ns(round_trips_ns_out[i]);
    return (int64_t)count;
}
