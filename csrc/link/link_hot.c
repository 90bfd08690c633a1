/*
 * A link's turn: completions free the ring and bring credits, then what was published since the
 * last chain goes as the next one. Entered by the sender at each frame and by the keeper's thread;
 * who finds the other one inside leaves word and goes on.
 */
#include "link/link.h"
#include "rdma/mutation.h"

#define DONE_BATCH 32
/* Of the shortest pause: when something waits for the answer, and when nothing does. */
#define HASTY_PAUSES_MAX 100u
#define READ_PAUSES_MAX 5000u

int rq_link_take_turn(struct rq_link *link) {
    for (;;) {
        uint32_t turn = RQ_TURN_FREE;
        /* Acquire: pairs with the release in rq_link_end_turn. */
        if (atomic_compare_exchange_strong_explicit(&link->turn, &turn, RQ_TURN_HELD,
                                                    memory_order_acquire, memory_order_relaxed))
            return 1;
        RQ_STEP();
        if (RQ_WRONG(WORD_NOT_LEFT)) return 0;
        /* Release: the holder sees what we came for, the new tail above all. */
        if (atomic_compare_exchange_strong_explicit(&link->turn, &turn, RQ_TURN_HELD_AGAIN,
                                                    memory_order_release, memory_order_relaxed))
            return 0;
    }
}

int rq_link_end_turn(struct rq_link *link) {
    uint32_t turn = RQ_TURN_HELD;
    RQ_STEP();
    if (RQ_WRONG(WORD_UNREAD)) {
        atomic_store_explicit(&link->turn, RQ_TURN_FREE, memory_order_release);
        return 1;
    }
    if (atomic_compare_exchange_strong_explicit(&link->turn, &turn, RQ_TURN_FREE,
                                                memory_order_release, memory_order_relaxed))
        return 1;
    /* Acquire: pairs with the release of who left word. */
    atomic_exchange_explicit(&link->turn, RQ_TURN_HELD, memory_order_acq_rel);
    return 0;
}

int rq_link_fail(struct rq_link *link, uint32_t cause, uint32_t status, uint32_t vendor_error) {
    uint64_t standing = atomic_load_explicit(&link->standing, memory_order_relaxed);
    do {
        uint32_t state = rq_standing_state(standing);
        if (state == RQ_LINK_FAILED || state == RQ_LINK_CLOSED) return 0;
    } while (!atomic_compare_exchange_weak_explicit(
        &link->standing, &standing, rq_standing(RQ_LINK_FAILED, cause, status, vendor_error),
        memory_order_acq_rel, memory_order_relaxed));
    atomic_store_explicit(&link->is_event_due, 1, memory_order_release);
    RQ_STEP();
    if (RQ_WRONG(RELEASED_OUTSIDE) && rq_pair_outstanding(link->pair) == 0)
        atomic_store_explicit(&link->tap.flushed_bytes, RQ_TAP_GONE, memory_order_release);
    if (!RQ_WRONG(FAILURE_NOT_RUNG)) rq_link_ring(link);
    return 1;
}

/* ---- what the other side says ---- */

/* Its receiver stored the tail before it gave the credit back: so chains leave the window. */
static int take_credits(struct rq_link *link, uint64_t word) {
    if (word >> 32 != link->setup.generation && !RQ_WRONG(STALE_GENERATION)) return 0;
    uint64_t granted = atomic_load_explicit(&link->credits_granted, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&link->credits_used, memory_order_relaxed);
    uint32_t more = (uint32_t)word - (uint32_t)granted;
    if (more == 0) return 0;
    /* A receive is posted again only after one of our chains consumed it. */
    if (granted + more - link->setup.credit_count > used && !RQ_WRONG(STALE_GENERATION)) {
        rq_link_fail(link, RQ_LINK_CAUSE_NONSENSE, 0, 0);
        return 0;
    }
    granted += more;
    rq_pair_grant(link->pair, RQ_WRONG(CREDIT_LOST) && granted % 7 == 0 ? more - 1 : more);
    atomic_store_explicit(&link->credits_granted, granted, memory_order_relaxed);
    link->acknowledged = *rq_link_end_of(link, granted - link->setup.credit_count - 1);
    return 1;
}

/* A reliable ring is kept for who READs in it: how far are his readers? */
static int is_asked_while_held(const struct rq_link *link) {
    return link->setup.is_held && link->segment.is_reliable &&
           rq_link_state(link) == RQ_LINK_OPENING &&
           atomic_load_explicit(&link->is_confirmed, memory_order_acquire);
}

static int take_cursor(struct rq_link *link, uint64_t cursor) {
    uint64_t before = atomic_load_explicit(&link->tap.cursor_bytes, memory_order_relaxed);
    uint64_t most = rq_link_sent(link);
    int is_held = is_asked_while_held(link);
    if (is_held)
        most = atomic_load_explicit(&link->publisher->live->tail_bytes, memory_order_acquire);
    if (cursor <= before) return 0; /* of an earlier link, or nothing new */
    if (cursor > most) {
        rq_link_fail(link, RQ_LINK_CAUSE_NONSENSE, 0, 0);
        return 0;
    }
    /* Pairs with the acquire load in tap.c: the readers there are done with those bytes. */
    atomic_store_explicit(&link->tap.cursor_bytes, cursor, memory_order_release);
    /* What they have read was READ before, and the link begins beyond it: none below goes out. */
    if (is_held && cursor > atomic_load_explicit(&link->tap.flushed_bytes, memory_order_relaxed))
        atomic_store_explicit(&link->tap.flushed_bytes, cursor, memory_order_release);
    return 1;
}

static void take_feedback(struct rq_link *link) {
    struct rq_feedback *feedback = &link->words->feedback;
    int is_news = 0;
    link->is_read_in_flight = 0;
    if (link->setup.tail_mode == RQ_TAIL_BY_IMM && !link->is_read_early)
        is_news |=
            take_credits(link, atomic_load_explicit(&feedback->credits, memory_order_acquire));
    if (link->segment.is_reliable)
        is_news |=
            take_cursor(link, atomic_load_explicit(&feedback->cursor_bytes, memory_order_acquire));
    uint64_t least_ns = link->setup.feedback_ns, pause_ns = is_news ? 0 : 2 * link->read_pause_ns;
    if (!is_news && pause_ns < least_ns) pause_ns = least_ns;
    if (pause_ns > READ_PAUSES_MAX * least_ns) pause_ns = READ_PAUSES_MAX * least_ns;
    link->read_pause_ns = pause_ns;
    link->read_ticks = rq_now_ticks() + rq_ns_ticks(pause_ns);
}

/* ---- completions ---- */

static void settle(struct rq_link *link, const struct rq_done *done) {
    uint32_t kind = (uint32_t)(done->token % RQ_TOKEN_KINDS);
    if (kind == RQ_TOKEN_READ) link->is_read_in_flight = 0;
    if (kind == RQ_TOKEN_BEAT) link->is_beat_in_flight = 0;
    if (done->outcome != RQ_OUTCOME_OK) {
        rq_link_fail(link, RQ_LINK_CAUSE_COMPLETION, done->status, done->vendor_error);
    } else if (kind == RQ_TOKEN_READ) {
        take_feedback(link);
    } else if (kind == RQ_TOKEN_END) {
        uint64_t end = *rq_link_end_of(link, link->chain_first++);
        RQ_STEP();
        /* Pairs with the acquire load in tap.c: the NIC is done with those bytes. */
        if (!RQ_WRONG(SOURCE_OVERWRITTEN))
            atomic_store_explicit(&link->tap.flushed_bytes, end, memory_order_release);
    }
}

static uint32_t take_completions(struct rq_link *link) {
    struct rq_done done[DONE_BATCH];
    uint32_t taken = 0;
    for (;;) {
        int count = rq_cq_poll(link->pair->cq, done, DONE_BATCH, RQ_WAIT_SPIN, 0);
        if (count < 0 && count != -EBUSY)
            rq_link_fail(link, RQ_LINK_CAUSE_REFUSED, (uint32_t)-count, 0);
        if (count <= 0) break;
        for (int i = 0; i < count; i++) settle(link, &done[i]);
        taken += (uint32_t)count;
        if (count < DONE_BATCH) break;
    }
    /* Failed, and everything that was posted has come back: not at the first error, since the NIC
     * may still read for those behind it. Nothing is ever posted again. */
    if (rq_link_state(link) == RQ_LINK_FAILED &&
        (rq_pair_outstanding(link->pair) == 0 || RQ_WRONG(RELEASED_EARLY)))
        atomic_store_explicit(&link->tap.flushed_bytes, RQ_TAP_GONE, memory_order_release);
    return taken;
}

/* ---- posting ---- */

static uint64_t reach(const struct rq_link *link) {
    uint64_t guard_bytes = link->segment.guard_bytes;
    if (RQ_WRONG(DATA_PAST_GUARD)) return rq_link_sent(link) + 2 * guard_bytes;
    /* The tail there moves as we post, since it is behind the data in the same order... */
    if (link->setup.tail_mode != RQ_TAIL_BY_IMM) return rq_link_sent(link) + guard_bytes;
    /* ... or when the CPU there has come round to it: all that it has not, is one burst. */
    if (RQ_WRONG(GUARD_PER_CHAIN)) return rq_link_sent(link) + guard_bytes;
    return link->acknowledged + guard_bytes;
}

static int has_credit(const struct rq_link *link) {
    return link->setup.tail_mode != RQ_TAIL_BY_IMM ||
           atomic_load_explicit(&link->credits_granted, memory_order_relaxed) !=
               atomic_load_explicit(&link->credits_used, memory_order_relaxed);
}

/* What is left goes at a completion. Who begins to wait wakes the thread, if he is not the thread,
 * and knows it under the turn only: before it the thread may have posted all, and asked for no
 * event. */
static void note_waiting(struct rq_link *link, uint64_t tail) {
    uint32_t is_waiting = tail != rq_link_sent(link) && rq_link_is_posting(link);
    uint32_t was_waiting = atomic_load_explicit(&link->is_waiting, memory_order_relaxed);
    link->has_begun_to_wait |= is_waiting && !was_waiting;
    /* Pairs with the acquire load in link.c. */
    if (is_waiting != was_waiting)
        atomic_store_explicit(&link->is_waiting, is_waiting, memory_order_release);
}

static uint32_t post(struct rq_link *link, uint64_t tail) {
    uint32_t posted = 0;
    int is_starved = 0;
    while (tail != rq_link_sent(link) && link->chain_next - link->chain_first < link->setup.depth &&
           rq_link_is_posting(link)) {
        uint64_t end = rq_link_sent(link);
        if (has_credit(link)) end = rq_chain_end(link, end, reach(link), tail);
        is_starved = end == rq_link_sent(link);
        RQ_STEP(); /* it may fail here: what is posted all the same is flushed before all is over */
        if (is_starved || rq_chain_post(link, end) <= 0) break;
        posted++;
    }
    if (is_starved && !link->is_starved) rq_tally(&link->tallies.starved, 1);
    link->is_starved = is_starved;
    note_waiting(link, tail);
    return posted;
}

/* Without a chain nothing else brings credits, or the cursor of a reader who takes his time. */
static void ask_for_feedback(struct rq_link *link) {
    int is_held = is_asked_while_held(link);
    int is_behind =
        link->is_starved || is_held ||
        (link->segment.is_reliable &&
         atomic_load_explicit(&link->tap.cursor_bytes, memory_order_relaxed) != rq_link_sent(link));
    uint64_t look_ticks = UINT64_MAX;
    if (link->wants_feedback && is_behind && !link->is_read_in_flight &&
        (is_held || rq_link_is_posting(link))) {
        uint64_t now_ticks = rq_now_ticks();
        if (link->is_starved ||
            atomic_exchange_explicit(&link->tap.is_waited_for, 0, memory_order_relaxed)) {
            uint64_t soon = now_ticks + rq_ns_ticks(HASTY_PAUSES_MAX * link->setup.feedback_ns);
            if (link->read_ticks > soon) link->read_ticks = soon;
        }
        if (now_ticks >= link->read_ticks)
            rq_link_read_feedback(link);
        else
            look_ticks = link->read_ticks;
    }
    atomic_store_explicit(&link->look_ticks, look_ticks, memory_order_relaxed);
}

/* ---- how far behind ---- */

static void move_state(struct rq_link *link, uint32_t from, uint32_t to) {
    uint64_t standing = from;
    if (!atomic_compare_exchange_strong_explicit(&link->standing, &standing, to,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return;
    atomic_store_explicit(&link->is_event_due, 1, memory_order_release);
    rq_link_ring(link);
}

static void look_at_lag(struct rq_link *link, uint64_t tail) {
    uint64_t flushed = atomic_load_explicit(&link->tap.flushed_bytes, memory_order_relaxed);
    if (flushed == RQ_TAP_GONE) return;
    uint64_t capacity_bytes = link->segment.capacity_bytes, lag_bytes = tail - flushed;
    if (lag_bytes > atomic_load_explicit(&link->tallies.lag_bytes_max, memory_order_relaxed))
        atomic_store_explicit(&link->tallies.lag_bytes_max, lag_bytes, memory_order_relaxed);
    if (lag_bytes > capacity_bytes / 4) {
        if (lag_bytes > capacity_bytes / 2 && !link->segment.is_reliable)
            rq_link_fail(link, RQ_LINK_CAUSE_LAGGED, 0, 0);
        else
            move_state(link, RQ_LINK_LIVE, RQ_LINK_LAGGING);
    } else if (lag_bytes < capacity_bytes / 8) {
        move_state(link, RQ_LINK_LAGGING, RQ_LINK_LIVE);
    }
}

uint32_t rq_link_run(struct rq_link *link) {
    if (link->is_detached) return 0;
    uint64_t tail = atomic_load_explicit(&link->publisher->live->tail_bytes, memory_order_acquire);
    RQ_STEP();
    uint32_t count = rq_pair_outstanding(link->pair) != 0 || rq_link_state(link) == RQ_LINK_FAILED
                         ? take_completions(link)
                         : 0;
    if (atomic_load_explicit(&link->is_beat_due, memory_order_acquire)) rq_link_post_beat(link);
    count += post(link, tail);
    ask_for_feedback(link);
    look_at_lag(link, tail);
    return count;
}

void rq_link_serve(struct rq_tap *tap, uint64_t tail) {
    struct rq_link *link = (struct rq_link *)tap;
    uint64_t looked_for = atomic_load_explicit(&link->look_ticks, memory_order_relaxed);
    int has_begun_to_wait = 0;
    if (rq_link_take_turn(link)) {
        link->has_begun_to_wait = 0;
        do {
            rq_link_run(link);
            has_begun_to_wait = link->has_begun_to_wait;
        } while (!rq_link_end_turn(link));
    }
    RQ_STEP();
    /* It may sleep for longer, or have asked for no event. */
    if (atomic_load_explicit(&link->look_ticks, memory_order_relaxed) < looked_for ||
        (has_begun_to_wait && !RQ_WRONG(WAITING_NOT_RUNG)))
        rq_link_ring(link);
    /* Also while the other thread has the turn, or is stopped in it. */
    look_at_lag(link, tail);
}
