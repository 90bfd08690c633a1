/* Verbs without Python, as perftest does it: what the Python figures are held against. */
#include <errno.h>
#include <stdatomic.h>

#include "rdmaq_abi.h"

#define DONE_COUNT_MAX 256
#define LOOKS_PER_CLOCK 1024 /* perftest reads no clock while it polls, and ours may be slow */

static uint64_t deadline_ticks(uint64_t limit_ns) {
    uint64_t ticks = 1000000;
    return rq_clock_ticks() + limit_ns / (rq_clock_ticks_to_ns(ticks) + 1) * ticks;
}

/* Polls until there are reports: how many, 0 when the time is up, or -errno. */
static int64_t take(struct rq_cq *cq, uint64_t until_ticks) {
    struct rq_done done[DONE_COUNT_MAX];
    for (uint32_t looks = 1;; looks++) {
        int count = rq_cq_poll(cq, done, DONE_COUNT_MAX, RQ_WAIT_SPIN, 0);
        for (int i = 0; i < count; i++)
            if (done[i].outcome != RQ_OUTCOME_OK) return -EIO;
        if (count != 0) return count;
        if (looks % LOOKS_PER_CLOCK == 0 && rq_clock_ticks() >= until_ticks) return 0;
    }
}

static int64_t post_and_take(struct rq_pair *pair, struct rq_cq *cq, const struct rq_op *op,
                             uint64_t until_ticks) {
    int posted = rq_pair_post(pair, op, 1);
    if (posted != 1) return posted < 0 ? posted : -EAGAIN;
    return take(cq, until_ticks);
}

/* NIC -> CPU: the word is written as a whole, and nothing but itself is read after it. */
static int wait_for_word(const uint64_t *word, uint64_t value, uint64_t until_ticks) {
    for (uint32_t looks = 1;
         atomic_load_explicit((const _Atomic uint64_t *)word, memory_order_acquire) != value;
         looks++)
        if (looks % LOOKS_PER_CLOCK == 0 && rq_clock_ticks() >= until_ticks) return 0;
    return 1;
}

/* At the end: between two of them it would be a part of what is measured. */
static void to_ns(uint64_t *ticks, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) ticks[i] = rq_clock_ticks_to_ns(ticks[i]);
}

int64_t rq_bench_verbs_ping(struct rq_pair *pair, struct rq_cq *cq,
                            const struct rq_bench_words *words, uint64_t count, uint64_t limit_ns,
                            uint64_t *round_trips_ns_out) {
    uint64_t until_ticks = deadline_ticks(limit_ns), before_ticks = rq_clock_ticks();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = words->first_number + i;
        if (!words->is_first && !wait_for_word(words->arriving, number, until_ticks))
            return (int64_t)i;
        *words->leaving = number;
        int64_t result = post_and_take(pair, cq, &words->op, until_ticks);
        if (result <= 0) return result < 0 ? result : (int64_t)i;
        if (words->is_first && !wait_for_word(words->arriving, number, until_ticks))
            return (int64_t)i;
        uint64_t now_ticks = rq_clock_ticks();
        round_trips_ns_out[i] = now_ticks - before_ticks;
        before_ticks = now_ticks;
    }
    to_ns(round_trips_ns_out, count);
    return (int64_t)count;
}

int64_t rq_bench_verbs_each(struct rq_pair *pair, struct rq_cq *cq, const struct rq_op *op,
                            uint64_t count, uint64_t limit_ns, uint64_t *times_ns_out) {
    uint64_t until_ticks = deadline_ticks(limit_ns), before_ticks = rq_clock_ticks();
    for (uint64_t i = 0; i < count; i++) {
        int64_t result = post_and_take(pair, cq, op, until_ticks);
        if (result <= 0) return result < 0 ? result : (int64_t)i;
        uint64_t now_ticks = rq_clock_ticks();
        times_ns_out[i] = now_ticks - before_ticks;
        before_ticks = now_ticks;
    }
    to_ns(times_ns_out, count);
    return (int64_t)count;
}

int64_t rq_bench_verbs_stream(struct rq_pair *pair, struct rq_cq *cq, const struct rq_op *ops,
                              uint32_t op_count, uint32_t depth, uint64_t count,
                              uint64_t limit_ns) {
    uint64_t until_ticks = deadline_ticks(limit_ns), posted = 0, done = 0;
    while (done < count) {
        while (posted < count && posted - done + op_count <= depth) {
            int taken = rq_pair_post(pair, ops, op_count);
            if (taken < 0) return taken;
            if (taken != (int)op_count) return -EAGAIN; /* depth is more than the queue has */
            posted += op_count;
        }
        int64_t result = take(cq, until_ticks);
        if (result <= 0) return result < 0 ? result : (int64_t)done;
        done += (uint64_t)result;
    }
    return (int64_t)done;
}
