/* A link's beginning and end, and its part of the keeper's turns. */
#include "link/link.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "rdma/mutation.h"

#define FEEDBACK_NS 20000u
#define OVERDUE_NS 10000000000u
#define OVERDUE_LOOKS 8 /* at the least, in vain, within that time */
#ifdef RQ_STEPPED
#define LAZY_NS UINT64_MAX /* nobody may depend on it */
#else
#define LAZY_NS 5000000u /* how late a completion may be seen that nothing waits for */
#endif

static struct rq_link *link_of(struct rq_duty *duty) {
    return (struct rq_link *)((char *)duty - offsetof(struct rq_link, duty));
}

/* ---- the keeper's turns ---- */

/* What a thread that must not wait left to be told. */
static void tell(struct rq_link *link) {
    if (!atomic_exchange_explicit(&link->is_event_due, 0, memory_order_acq_rel)) return;
    if (rq_link_state(link) == RQ_LINK_FAILED && link->modify_qp != NULL) {
        struct ibv_qp_attr attributes = {.qp_state = IBV_QPS_ERR};
        link->modify_qp(link->pair->qp, &attributes, IBV_QP_STATE);
    }
    if (link->setup.event_fd >= 0) eventfd_write(link->setup.event_fd, 1);
}

/* Whom a completion lets go on. The others need it for no more than room in the ring, which whoever
 * publishes sees by himself: an event for each chain would cost both hosts more than the chain. */
static int needs_event(const struct rq_link *link) {
    if (RQ_WRONG(WAITING_NOT_ARMED)) return rq_link_state(link) == RQ_LINK_FAILED;
    return atomic_load_explicit(&link->is_waiting, memory_order_acquire) ||
           rq_link_state(link) == RQ_LINK_FAILED;
}

static uint64_t nap_of(const struct rq_link *link) {
    if (atomic_load_explicit(&link->tap.flushed_bytes, memory_order_relaxed) == RQ_TAP_GONE)
        return UINT64_MAX;
    uint64_t look_ticks = atomic_load_explicit(&link->look_ticks, memory_order_relaxed);
    uint64_t now_ticks = rq_now_ticks(), nap_ns = UINT64_MAX;
    if (look_ticks != UINT64_MAX)
        nap_ns = look_ticks > now_ticks ? rq_clock_ticks_to_ns(look_ticks - now_ticks) : 0;
    if (needs_event(link)) return link->is_armed || link->duty.fd < 0 ? nap_ns : 0; /* arm first */
    return rq_pair_outstanding(link->pair) != 0 && nap_ns > LAZY_NS ? LAZY_NS : nap_ns;
}

static uint32_t work(struct rq_duty *duty) {
    struct rq_link *link = link_of(duty);
    uint64_t flushed = atomic_load_explicit(&link->tap.flushed_bytes, memory_order_relaxed);
    uint32_t count = 0;
    if (rq_link_take_turn(link)) {
        do {
            count += rq_link_run(link);
        } while (!rq_link_end_turn(link));
    }
    tell(link);
    duty->nap_ns = nap_of(link);
    if (flushed != RQ_TAP_GONE && link->setup.event_fd >= 0 &&
        atomic_load_explicit(&link->tap.flushed_bytes, memory_order_relaxed) == RQ_TAP_GONE)
        eventfd_write(link->setup.event_fd, 1); /* failed before, and flushed now */
    return count;
}

static int arm(struct rq_duty *duty) {
    struct rq_link *link = link_of(duty);
    if (atomic_load_explicit(&link->tap.flushed_bytes, memory_order_relaxed) == RQ_TAP_GONE)
        return 0;
    if (!needs_event(link)) return 0;
    int result = rq_cq_arm(link->pair->cq);
    if (result < 0 && result != -EBUSY)
        rq_link_fail(link, RQ_LINK_CAUSE_REFUSED, (uint32_t)-result, 0);
    link->is_armed = 1;
    return result == 1 || result == -EBUSY; /* busy: the sender is polling */
}

static void clear(struct rq_duty *duty) {
    link_of(duty)->is_armed = 0;
    rq_cq_clear(link_of(duty)->pair->cq);
}

/* Tail and sequence of one moment, which only the publish lock gives. */
void rq_link_set_beat(struct rq_link *link) {
    struct rq_publisher *publisher = link->publisher;
    if (atomic_load_explicit(&link->is_beat_due, memory_order_acquire)) return; /* not sent yet */
    rq_publisher_lock(publisher);
    uint64_t tail = publisher->tail;
    uint64_t sequence = publisher->is_fresh ? 0 : publisher->next_sequence;
    rq_publisher_unlock(publisher);
    atomic_store_explicit(&link->beat_tail_bytes, tail, memory_order_relaxed);
    atomic_store_explicit(&link->beat_sequence, sequence, memory_order_relaxed);
    atomic_store_explicit(&link->is_beat_due, 1, memory_order_release);
}

/* Every request completes within the retries' time, or its completion was lost, or the device
 * is. Time in which nobody looked does not count: a process, or its machine, that stood still. */
static void look_at_clock(struct rq_link *link) {
    uint64_t reported = atomic_load_explicit(&link->pair->reported, memory_order_relaxed);
    uint64_t overdue_ticks = rq_ns_ticks(link->setup.overdue_ns), now_ticks = rq_now_ticks();
    uint64_t step_ticks = now_ticks - link->looked_ticks;
    if (step_ticks > overdue_ticks / OVERDUE_LOOKS + 1)
        step_ticks = overdue_ticks / OVERDUE_LOOKS + 1;
    if (link->looked_ticks == 0 || reported != link->reported_seen ||
        rq_pair_outstanding(link->pair) == 0)
        link->waited_ticks = 0;
    else
        link->waited_ticks += step_ticks;
    if (link->waited_ticks > overdue_ticks) rq_link_fail(link, RQ_LINK_CAUSE_OVERDUE, 0, 0);
    link->reported_seen = reported;
    link->looked_ticks = now_ticks;
}

static void beat(struct rq_duty *duty, int is_sync) {
    (void)is_sync;
    rq_link_set_beat(link_of(duty));
    work(duty); /* what has completed is taken before it is missed */
    look_at_clock(link_of(duty));
}

/* ---- opening ---- */

static int is_power_of_two(uint32_t value) { return value != 0 && (value & (value - 1)) == 0; }

static int check(const struct rq_publisher *publisher, const struct rq_pair *pair,
                 const struct rq_link_setup *setup) {
    int is_imm = setup->tail_mode == RQ_TAIL_BY_IMM;
    if (publisher->is_replica || setup->generation == 0 || setup->depth == 0 ||
        setup->depth > RQ_LINK_DEPTH_MAX || setup->tail_mode > RQ_TAIL_BY_IMM ||
        setup->start > RQ_START_WALL_NS)
        return -EINVAL;
    if (setup->words_address == 0 || setup->words_address % alignof(struct rq_link_words) != 0)
        return -EINVAL;
    if (is_imm &&
        (!is_power_of_two(setup->credit_count) || setup->credit_count > RQ_LINK_CREDITS_MAX))
        return -EINVAL;
    if (pair->send_count_max < RQ_CHAIN_REQUESTS * setup->depth + RQ_LINK_EXTRA_REQUESTS)
        return -EINVAL;
    if (pair->request_bytes_max < publisher->segment.guard_bytes) return -EMSGSIZE;
    return 0;
}

static void prepare(struct rq_link *link, struct rq_publisher *publisher, struct rq_keeper *keeper,
                    struct rq_pair *pair, const struct rq_link_setup *setup) {
    int is_imm = setup->tail_mode == RQ_TAIL_BY_IMM;
    link->tap.serve = rq_link_serve;
    link->tap.cut_off = rq_link_cut_off;
    link->duty = (struct rq_duty){
        .work = work, .arm = arm, .clear = clear, .beat = beat, .fd = -1, .nap_ns = UINT64_MAX};
    if (pair->cq->get_event != NULL) link->duty.fd = pair->cq->cq->channel->fd;
    link->publisher = publisher;
    link->keeper = keeper;
    link->pair = pair;
    link->segment = publisher->segment;
    link->words = (struct rq_link_words *)(uintptr_t)setup->words_address;
    link->setup = *setup;
    if (setup->overdue_ns == 0) link->setup.overdue_ns = OVERDUE_NS;
    if (setup->feedback_ns == 0) link->setup.feedback_ns = FEEDBACK_NS;
    link->modify_qp =
        (int (*)(struct ibv_qp *, struct ibv_qp_attr *, int))(uintptr_t)setup->modify_qp;
    link->index_stride_shift = publisher->index_stride_shift;
    link->wants_feedback = is_imm || publisher->segment.is_reliable;
    atomic_store_explicit(&link->standing, RQ_LINK_OPENING, memory_order_relaxed);
    atomic_store_explicit(&link->look_ticks, UINT64_MAX, memory_order_relaxed);
    if (is_imm)
        atomic_store_explicit(&link->credits_granted, setup->credit_count, memory_order_relaxed);
}

static void begin_at(struct rq_link *link, uint64_t position, uint64_t sequence) {
    link->start_bytes = position;
    link->start_sequence = sequence;
    link->acknowledged = position;
    atomic_store_explicit(&link->sent, position, memory_order_relaxed);
}

int rq_link_open(struct rq_publisher *publisher, struct rq_keeper *keeper, struct rq_pair *pair,
                 const struct rq_link_setup *setup, struct rq_link **link_out) {
    *link_out = NULL;
    int error = check(publisher, pair, setup);
    if (error != 0) return error;
    struct rq_link *link = aligned_alloc(_Alignof(struct rq_link), sizeof(*link));
    if (link == NULL) return -ENOMEM;
    memset(link, 0, sizeof(*link));
    prepare(link, publisher, keeper, pair, setup);
    struct rq_join join = {.position = setup->position,
                           .cursor = setup->cursor,
                           .start = setup->start,
                           .start_value = setup->start_value,
                           .is_held = setup->is_held != 0,
                           .may_skip = setup->may_skip != 0};
    error = rq_publisher_add_tap(publisher, &link->tap, &join);
    if (error == 0) {
        link->deliver_sequence = join.deliver_sequence;
        link->origin_sequence = join.origin_sequence;
        begin_at(link, join.position, join.sequence);
        if (keeper != NULL) error = rq_keeper_take_on(keeper, &link->duty);
        if (error != 0) rq_publisher_remove_tap(publisher, &link->tap);
    }
    if (error != 0) {
        free(link);
        return error;
    }
    /* Not before: a refused one may be opened again with the same pair. */
    if (setup->tail_mode == RQ_TAIL_BY_IMM) rq_pair_grant(pair, setup->credit_count);
    *link_out = link;
    return 0;
}

static int begin(struct rq_link *link, uint64_t position, uint64_t cursor) {
    uint64_t sequence, standing = RQ_LINK_OPENING;
    if (rq_link_is_posting(link)) return position == link->start_bytes ? 0 : -EALREADY;
    if (rq_link_state(link) != RQ_LINK_OPENING) return -ESHUTDOWN;
    int error = rq_publisher_begin_tap(link->publisher, &link->tap, position, cursor, &sequence);
    if (error != 0) return error;
    begin_at(link, position, sequence);
    /* It may have failed meanwhile; then whoever takes the next turn lets go of the ring. Release:
     * who posts sees where it begins. */
    return atomic_compare_exchange_strong_explicit(&link->standing, &standing, RQ_LINK_LIVE,
                                                   memory_order_acq_rel, memory_order_relaxed)
               ? 0
               : -ESHUTDOWN;
}

/* With the turn, since its holder alone says that the ring is let go. */
int rq_link_begin(struct rq_link *link, uint64_t position, uint64_t cursor) {
    if (!link->setup.is_held) return -EINVAL;
    while (!rq_link_take_turn(link)) sched_yield();
    int error = begin(link, position, cursor);
    while (!rq_link_end_turn(link)) {
    }
    rq_link_ring(link);
    return error;
}

int rq_link_start(struct rq_link *link) {
    uint64_t standing = RQ_LINK_OPENING;
    if (link->setup.is_held) { /* its other side answers READs from now on */
        atomic_store_explicit(&link->is_confirmed, 1, memory_order_release);
        rq_link_ring(link);
        uint32_t state = rq_link_state(link);
        return state == RQ_LINK_OPENING || rq_link_is_posting(link) ? 0 : -ESHUTDOWN;
    }
    if (!atomic_compare_exchange_strong_explicit(&link->standing, &standing, RQ_LINK_LIVE,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return rq_link_is_posting(link) ? 0 : -ESHUTDOWN;
    rq_link_ring(link);
    return 0;
}

/* ---- ending ---- */

int rq_link_cut_off(struct rq_tap *tap) {
    return rq_link_fail((struct rq_link *)tap, RQ_LINK_CAUSE_STALLED, 0, 0);
}

int rq_link_stop(struct rq_link *link) {
    rq_link_fail(link, RQ_LINK_CAUSE_STOPPED, 0, 0);
    return 0;
}

int rq_link_detach(struct rq_link *link) {
    rq_link_stop(link);
    if (link->keeper != NULL && !link->is_released) rq_keeper_release(link->keeper, &link->duty);
    link->is_released = 1;
    while (!rq_link_take_turn(link)) sched_yield(); /* a sender may be inside: it never waits */
    link->is_detached = 1;
    while (!rq_link_end_turn(link)) {
    }
    return 0;
}

int rq_link_close(struct rq_link *link) {
    if (rq_link_state(link) == RQ_LINK_CLOSED) return 0;
    rq_link_detach(link);
    atomic_store_explicit(&link->tap.flushed_bytes, RQ_TAP_GONE, memory_order_release);
    rq_publisher_remove_tap(link->publisher, &link->tap);
    uint64_t standing = atomic_load_explicit(&link->standing, memory_order_relaxed);
    atomic_store_explicit(&link->standing, (standing & ~(uint64_t)0xff) | RQ_LINK_CLOSED,
                          memory_order_release);
    return 0;
}

void rq_link_free(struct rq_link *link) { free(link); }

void rq_link_read_stats(struct rq_link *link, struct rq_link_stats *out) {
    const struct rq_link_tallies *tallies = &link->tallies;
    uint64_t standing = atomic_load_explicit(&link->standing, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&link->segment.live->tail_bytes, memory_order_relaxed);
    uint64_t flushed = atomic_load_explicit(&link->tap.flushed_bytes, memory_order_acquire);
    *out = (struct rq_link_stats){
        .start_bytes = link->start_bytes,
        .start_sequence = link->start_sequence,
        .deliver_sequence = link->deliver_sequence,
        .origin_sequence = link->origin_sequence,
        .sent_bytes = atomic_load_explicit(&link->sent, memory_order_acquire),
        .flushed_bytes = flushed,
        .cursor_bytes = atomic_load_explicit(&link->tap.cursor_bytes, memory_order_acquire),
        .lag_bytes = flushed == RQ_TAP_GONE || tail < flushed ? 0 : tail - flushed,
        .lag_bytes_max = rq_tally_of(&tallies->lag_bytes_max),
        .chains = rq_tally_of(&tallies->chains),
        .writes = rq_tally_of(&tallies->writes),
        .reads = rq_tally_of(&tallies->reads),
        .bytes = rq_tally_of(&tallies->bytes),
        .starved = rq_tally_of(&tallies->starved),
        .credits_granted = rq_tally_of(&link->credits_granted),
        .credits_used = rq_tally_of(&link->credits_used),
        .heartbeats = rq_tally_of(&tallies->heartbeats),
        .stalls = rq_tally_of(&link->tap.stalls),
        .state = rq_standing_state(standing),
        .cause = standing >> 8 & 0xff,
        .status = standing >> 16 & 0xffff,
        .vendor_error = (uint32_t)(standing >> 32),
        .outstanding = link->is_detached ? 0 : rq_pair_outstanding(link->pair),
        .is_flushed = flushed == RQ_TAP_GONE,
        .generation = link->setup.generation,
    };
    struct rq_clock_line line;
    if (rq_clock_read(&link->publisher->live->clock, &line))
        out->clock =
            (struct rq_clock_told){line.base_ticks, line.base_wall_ns, line.ns_per_tick_q32};
}
