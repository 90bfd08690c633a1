/* A pair that the progress thread drives: what is submitted waits for room, and is reported. */
#define _GNU_SOURCE
#include "rdma/lane.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static uint64_t load(const _Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_acquire);
}

/* ---- posting ---- */

/* In stretches, since the ring may wrap: each is a chain with one doorbell. */
static void hand_over(struct rq_lane *lane) {
    uint64_t at = atomic_load_explicit(&lane->handed_over, memory_order_relaxed);
    while (atomic_load_explicit(&lane->refusal, memory_order_relaxed) == 0) {
        /* Pairs with the release store in rq_lane_submit: the requests stand. */
        uint64_t count = load(&lane->submitted) - at;
        uint64_t first = at & lane->waiting_mask, stretch = lane->waiting_mask + 1 - first;
        if (count == 0) break;
        if (count > stretch) count = stretch;
        int posted = rq_pair_post(lane->pair, &lane->waiting[first], (uint32_t)count);
        if (posted == 0) break; /* no room, or no receive at the peer */
        if (posted < 0) {
            atomic_store_explicit(&lane->refusal, posted, memory_order_release);
            break;
        }
        at += (uint64_t)posted;
        /* Pairs with the acquire load in rq_lane_submit: their places are free. */
        atomic_store_explicit(&lane->handed_over, at, memory_order_release);
    }
}

/* Whoever cannot have the turn leaves it to the holder, who may have looked before: hence the bell
 * in rq_lane_submit. Returns 0 then. */
static int try_to_post(struct rq_lane *lane) {
    if (atomic_exchange_explicit(&lane->turn, 1, memory_order_acquire)) return 0;
    hand_over(lane);
    atomic_store_explicit(&lane->turn, 0, memory_order_release);
    return 1;
}

int rq_lane_submit(struct rq_lane *lane, const struct rq_op *ops, uint32_t op_count) {
    int error = rq_handle_enter(&lane->submit);
    if (error != 0) return error;
    uint64_t at = atomic_load_explicit(&lane->submitted, memory_order_relaxed);
    uint64_t room = lane->waiting_mask + 1 - (at - load(&lane->handed_over));
    /* Each will need a place among the reports: receives have theirs beside. */
    uint64_t places = lane->report_mask + 1 - lane->pair->receive_count_max;
    uint64_t unreported = at - load(&lane->sends_taken);
    uint64_t left = unreported < places ? places - unreported : 0;
    uint64_t count = op_count < room ? op_count : room;
    if (count > left) count = left;
    for (uint64_t i = 0; i < count; i++) lane->waiting[(at + i) & lane->waiting_mask] = ops[i];
    atomic_store_explicit(&lane->submitted, at + count, memory_order_release);
    if (count != 0 && !try_to_post(lane)) rq_progress_ring(lane->progress);
    /* The provider refused: the thread reports it, once all that was posted is. */
    if (atomic_load_explicit(&lane->refusal, memory_order_relaxed) != 0)
        rq_progress_ring(lane->progress);
    rq_handle_leave(&lane->submit);
    return (int)count;
}

int rq_lane_grant(struct rq_lane *lane, uint32_t receive_count) {
    rq_pair_grant(lane->pair, receive_count);
    rq_progress_ring(lane->progress);
    return 0;
}

/* ---- reporting ---- */

static uint64_t report_room(const struct rq_lane *lane, uint64_t at, uint64_t *first) {
    uint64_t used = at - load(&lane->taken);
    *first = at & lane->report_mask;
    uint64_t room = lane->report_mask + 1 - used, stretch = lane->report_mask + 1 - *first;
    return room < stretch ? room : stretch;
}

static void publish_reports(struct rq_lane *lane, uint64_t at) {
    atomic_store_explicit(&lane->reported, at, memory_order_release);
    /* Taker: store is_hungry, fence, load reported. Here: store reported, fence, load is_hungry.
     * So at least one sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_exchange_explicit(&lane->is_hungry, 0, memory_order_relaxed))
        eventfd_write(lane->fd, 1);
}

static uint32_t poll_reports(struct rq_lane *lane) {
    uint64_t at = atomic_load_explicit(&lane->reported, memory_order_relaxed), first;
    uint64_t room = report_room(lane, at, &first);
    if (room == 0) return 0; /* the completion queue holds them: it has room for all */
    int count = rq_cq_poll(lane->pair->cq, &lane->reports[first], (uint32_t)room, RQ_WAIT_SPIN, 0);
    if (count <= 0) return 0;
    publish_reports(lane, at + (uint64_t)count);
    return (uint32_t)count;
}

/* What the provider refused, or what waited at the close: after everything that was posted. */
static uint32_t report_refused(struct rq_lane *lane) {
    uint64_t at = atomic_load_explicit(&lane->reported, memory_order_relaxed), first;
    uint64_t waiting_at = atomic_load_explicit(&lane->handed_over, memory_order_relaxed);
    uint64_t room = report_room(lane, at, &first), count = 0;
    for (; count < room && waiting_at != load(&lane->submitted); count++, waiting_at++) {
        const struct rq_op *op = &lane->waiting[waiting_at & lane->waiting_mask];
        lane->reports[first + count] = (struct rq_done){.token = op->token,
                                                        .pair_token = lane->pair->token,
                                                        .length_bytes = op->length_bytes,
                                                        .opcode = op->opcode,
                                                        .outcome = RQ_OUTCOME_REFUSED};
    }
    if (count == 0) return 0;
    atomic_store_explicit(&lane->handed_over, waiting_at, memory_order_release);
    publish_reports(lane, at + count);
    return (uint32_t)count;
}

int rq_lane_is_full(const struct rq_lane *lane) {
    return load(&lane->reported) - load(&lane->taken) > lane->report_mask;
}

uint32_t rq_lane_work(struct rq_lane *lane) {
    uint32_t count = poll_reports(lane);
    uint64_t before = load(&lane->handed_over);
    try_to_post(lane);
    count += load(&lane->handed_over) != before;
    if (atomic_load_explicit(&lane->refusal, memory_order_acquire) != 0 &&
        rq_pair_outstanding(lane->pair) == 0)
        count += report_refused(lane);
    return count;
}

int rq_lane_take(struct rq_lane *lane, struct rq_done *done, uint32_t done_count_max) {
    int error = rq_handle_enter(&lane->take);
    if (error != 0) return error;
    uint64_t at = atomic_load_explicit(&lane->taken, memory_order_relaxed);
    uint64_t count = load(&lane->reported) - at;
    if (count == 0) {
        eventfd_t events;
        eventfd_read(lane->fd, &events); /* an old one would wake for nothing */
        atomic_store_explicit(&lane->is_hungry, 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst); /* see publish_reports */
        count = load(&lane->reported) - at;
    }
    if (count > done_count_max) count = done_count_max;
    uint64_t sends = 0;
    int was_full = rq_lane_is_full(lane);
    for (uint64_t i = 0; i < count; i++) {
        done[i] = lane->reports[(at + i) & lane->report_mask];
        sends += done[i].opcode != RQ_OP_RECEIVE;
    }
    /* Pairs with the acquire loads in report_room and rq_lane_submit. */
    atomic_store_explicit(&lane->taken, at + count, memory_order_release);
    atomic_store_explicit(&lane->sends_taken,
                          atomic_load_explicit(&lane->sends_taken, memory_order_relaxed) + sends,
                          memory_order_release);
    if (was_full) rq_progress_ring(lane->progress);
    rq_handle_leave(&lane->take);
    return (int)count;
}

int rq_lane_fd(struct rq_lane *lane) { return lane->fd; }

/* ---- opening and closing ---- */

static int allocate(struct rq_lane *lane, uint32_t waiting_max) {
    const struct rq_pair *pair = lane->pair;
    /* The sum: what waits, what is in flight, and receives. */
    uint64_t wanted = (uint64_t)waiting_max + pair->send_count_max + pair->receive_count_max;
    uint64_t count = 1;
    while (count < wanted) count *= 2;
    lane->waiting_mask = waiting_max - 1;
    lane->report_mask = count - 1;
    lane->waiting = calloc(waiting_max, sizeof(*lane->waiting));
    lane->reports = calloc(count, sizeof(*lane->reports));
    lane->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lane->fd < 0) return -errno;
    return lane->waiting == NULL || lane->reports == NULL ? -ENOMEM : 0;
}

int rq_lane_open(struct rq_progress *progress, struct rq_pair *pair, uint32_t waiting_max,
                 struct rq_lane **lane_out) {
    *lane_out = NULL;
    if (waiting_max == 0 || waiting_max > RQ_LANE_WAITING_MAX ||
        (waiting_max & (waiting_max - 1)) != 0 || pair->cq->get_event == NULL)
        return -EINVAL;
    struct rq_lane *lane = aligned_alloc(_Alignof(struct rq_lane), sizeof(*lane));
    if (lane == NULL) return -ENOMEM;
    memset(lane, 0, sizeof(*lane));
    lane->pair = pair;
    lane->progress = progress;
    int error = allocate(lane, waiting_max);
    if (error == 0) error = rq_progress_add(progress, lane);
    if (error != 0) {
        rq_lane_free(lane);
        return error;
    }
    *lane_out = lane;
    return 0;
}

int rq_lane_close(struct rq_lane *lane) {
    if (!rq_handle_begin_close(&lane->submit)) return 0;
    rq_handle_wait_idle(&lane->submit);
    rq_progress_remove(lane->progress, lane); /* from here on nobody but us is inside */
    report_refused(lane);
    return 0;
}

void rq_lane_free(struct rq_lane *lane) {
    if (lane == NULL) return;
    if (lane->fd >= 0) close(lane->fd);
    free(lane->waiting);
    free(lane->reports);
    free(lane);
}
