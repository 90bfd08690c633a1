/* A completion queue's set-up, its calls, and its end. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "rdma/pair.h"
#include "ring/clock.h"

#define NS_PER_MS 1000000u

int rq_verbs_built(void) { return 1; }

int rq_cq_open(const struct rq_cq_setup *setup, struct rq_cq **cq_out) {
    *cq_out = NULL;
    if (setup->cq == 0 || setup->entry_count == 0 || setup->entry_count > RQ_CQ_ENTRIES_MAX ||
        setup->pair_count_max == 0 || setup->pair_count_max > RQ_CQ_PAIRS_MAX)
        return -EINVAL;
    struct ibv_cq *ibv = (struct ibv_cq *)(uintptr_t)setup->cq;
    if ((ibv->channel != NULL) != (setup->get_event != 0) ||
        (setup->get_event != 0) != (setup->ack_events != 0))
        return -EINVAL;
    struct rq_cq *cq =
        calloc(1, sizeof(*cq) + setup->pair_count_max * sizeof(_Atomic(struct rq_pair *)));
    if (cq == NULL) return -ENOMEM;
    cq->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cq->wake_fd < 0) {
        int error = -errno;
        free(cq);
        return error;
    }
    cq->cq = ibv;
    cq->get_event =
        (int (*)(struct ibv_comp_channel *, struct ibv_cq **, void **))(uintptr_t)setup->get_event;
    cq->ack_events = (void (*)(struct ibv_cq *, unsigned int))(uintptr_t)setup->ack_events;
    cq->entry_count = setup->entry_count;
    cq->pair_count_max = setup->pair_count_max;
    pthread_mutex_init(&cq->mutex, NULL);
    rq_clock_calibrate();
    *cq_out = cq;
    return 0;
}

int rq_cq_poll(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max, uint32_t wait_mode,
               uint64_t wait_ns) {
    if (done_count_max == 0) return -EINVAL;
    int count = rq_handle_enter(&cq->poll);
    if (count != 0) return count;
    count = rq_cq_wait(cq, done, done_count_max, wait_mode, wait_ns);
    rq_handle_leave(&cq->poll);
    return count;
}

int rq_cq_arm(struct rq_cq *cq) {
    int result = rq_handle_enter(&cq->poll);
    if (result != 0) return result;
    result = rq_cq_arm_once(cq);
    if (result == 0 && !RQ_WRONG(NOT_POLLED_AGAIN)) result = rq_cq_fetch(cq) ? 1 : cq->error;
    rq_handle_leave(&cq->poll);
    return result;
}

int rq_cq_clear(struct rq_cq *cq) {
    int result = rq_handle_enter(&cq->poll);
    if (result != 0) return result;
    result = rq_cq_clear_events(cq);
    rq_handle_leave(&cq->poll);
    return result;
}

void rq_cq_read_stats(struct rq_cq *cq, struct rq_cq_stats *out) {
    const struct rq_cq_tallies *tallies = &cq->tallies;
    *out = (struct rq_cq_stats){
        .completions = rq_tally_of(&tallies->completions),
        .strays = rq_tally_of(&tallies->strays),
        .polls = rq_tally_of(&tallies->polls),
        .arms = rq_tally_of(&tallies->arms),
        .sleeps = rq_tally_of(&tallies->sleeps),
        .events = rq_tally_of(&tallies->events),
    };
}

const uint64_t *rq_cq_special(struct rq_cq *cq) { return &cq->special; }

int rq_cq_close(struct rq_cq *cq) {
    if (!rq_handle_begin_close(&cq->poll)) return 0;
    eventfd_write(cq->wake_fd, 1);
    rq_handle_wait_idle(&cq->poll);
    return 1;
}

int rq_cq_drain(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max, uint64_t wait_ns) {
    if (!rq_handle_is_closing(&cq->poll) || done_count_max == 0) return -EINVAL;
    if (wait_ns > RQ_WAIT_SLICE_NS_MAX) wait_ns = RQ_WAIT_SLICE_NS_MAX;
    uint64_t until_ticks = rq_now_ticks() + rq_ns_ticks(wait_ns);
    for (;;) {
        int count = rq_cq_take(cq, done, done_count_max);
        if (count != 0 || rq_now_ticks() >= until_ticks) {
            rq_cq_clear_events(
                cq); /* none may be left unacknowledged when the caller destroys it */
            return count;
        }
        struct timespec pause = {.tv_sec = 0, .tv_nsec = NS_PER_MS / 10};
        nanosleep(&pause, NULL);
    }
}

void rq_cq_forget(struct rq_cq *cq) {
    atomic_store_explicit(&cq->poll.is_closing, 1, memory_order_relaxed);
}

void rq_cq_really_free(struct rq_cq *cq) {
    close(cq->wake_fd);
    pthread_mutex_destroy(&cq->mutex);
    free(cq);
}

void rq_cq_free(struct rq_cq *cq) {
    if (cq == NULL) return;
    pthread_mutex_lock(&cq->mutex);
    cq->is_freed = 1; /* its last pair takes it along: a collector of garbage knows no order */
    uint32_t pair_count = cq->pair_count;
    pthread_mutex_unlock(&cq->mutex);
    if (pair_count == 0) rq_cq_really_free(cq);
}
