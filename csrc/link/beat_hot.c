/* A link's heartbeat: one WRITE of a line, of whose content nothing is needed for the data's
 * sake. */
#include "link/link.h"

static void fill(struct rq_link *link) {
    struct rq_beat *beat = &link->words->beat;
    struct rq_clock_line line = {0};
    uint64_t stamp = (uint64_t)link->setup.generation << 32 | (uint32_t)++link->beat_number;
    rq_clock_read(&link->publisher->live->clock, &line);
    atomic_store_explicit(&beat->stamp, stamp, memory_order_relaxed);
    atomic_store_explicit(&beat->ticks, rq_now_ticks(), memory_order_relaxed);
    atomic_store_explicit(&beat->tail_bytes,
                          atomic_load_explicit(&link->beat_tail_bytes, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&beat->next_sequence,
                          atomic_load_explicit(&link->beat_sequence, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&beat->base_ticks, line.base_ticks, memory_order_relaxed);
    atomic_store_explicit(&beat->base_wall_ns, line.base_wall_ns, memory_order_relaxed);
    atomic_store_explicit(&beat->ns_per_tick_q32, line.ns_per_tick_q32, memory_order_relaxed);
    atomic_store_explicit(&beat->stamp_again, stamp, memory_order_relaxed);
}

void rq_link_post_beat(struct rq_link *link) {
    if (link->is_beat_in_flight || !rq_link_is_posting(link)) return;
    fill(link);
    /* Pairs with the acquire load in link.c: the keeper may set the words anew. */
    atomic_store_explicit(&link->is_beat_due, 0, memory_order_release);
    struct rq_op op = {
        .token = rq_token(0, RQ_TOKEN_BEAT),
        .local_address = (uintptr_t)&link->words->beat,
        .remote_address = link->setup.replica.live_address + RQ_REPLICA_BEAT_OFFSET_BYTES,
        .length_bytes = sizeof(struct rq_beat),
        .local_key = link->setup.words_key,
        .remote_key = link->setup.replica.live_key,
        .opcode = RQ_OP_WRITE,
    };
    int posted = rq_pair_post(link->pair, &op, 1);
    if (posted == 1) {
        link->is_beat_in_flight = 1;
        rq_tally(&link->tallies.writes, 1);
        rq_tally(&link->tallies.heartbeats, 1);
    } else if (posted < 0) {
        rq_link_fail(link, RQ_LINK_CAUSE_REFUSED, (uint32_t)-posted, 0);
    }
}
