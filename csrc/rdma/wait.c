/* Waiting for completions: spinning, yielding, and sleeping on the completion channel. */
#define _GNU_SOURCE
#include <poll.h>
#include <time.h>

#include "rdma/pair.h"
#include "ring/clock.h"

#define SPIN_NS 20000

/* Each event that was taken must be acknowledged, or ibv_destroy_cq waits for it for ever; and
 * taken by the library, since some providers count them to arm the next. */
int rq_cq_clear_events(struct rq_cq *cq) {
    struct ibv_cq *whose;
    void *context;
    unsigned int count = 0;
    if (cq->get_event == NULL) return 0;
    while (cq->get_event(cq->cq->channel, &whose, &context) == 0) count++;
    if (count != 0 && !RQ_WRONG(EVENT_NOT_ACKNOWLEDGED)) cq->ack_events(cq->cq, count);
    if (count != 0) cq->is_armed = 0;
    rq_tally(&cq->tallies.events, count);
    return (int)count;
}

/* Armed once until the event comes, so that at most one waits on the channel however often what
 * was waited for is found by polling. */
int rq_cq_arm_once(struct rq_cq *cq) {
    if (cq->get_event == NULL) return -ENOTSUP;
    if (cq->is_armed && rq_cq_clear_events(cq) == 0) return 0;
    rq_tally(&cq->tallies.arms, 1);
    int error = ibv_req_notify_cq(cq->cq, 0);
    cq->is_armed = error == 0;
    return error > 0 ? -error : error;
}

/* Without a pause between two polls: each is some 20 ns of work already, and under an emulator that
 * instruction costs more than all the rest. */
static int spin(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max,
                uint64_t until_ticks, int is_yielding) {
    for (;;) {
        int count = rq_cq_take(cq, done, done_count_max);
        if (count != 0) return count;
        if (rq_handle_is_closing(&cq->poll)) return -ESHUTDOWN;
        if (rq_now_ticks() >= until_ticks) return 0;
        if (is_yielding) sched_yield();
    }
}

static void sleep_on_channel(struct rq_cq *cq, uint64_t wait_ns) {
    struct pollfd fds[] = {{.fd = cq->cq->channel->fd, .events = POLLIN},
                           {.fd = cq->wake_fd, .events = POLLIN}};
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                               .tv_nsec = (long)(wait_ns % 1000000000u)};
    rq_tally(&cq->tallies.sleeps, 1);
    if (ppoll(fds, 2, &timeout, NULL) > 0 && (fds[0].revents & POLLIN)) rq_cq_clear_events(cq);
}

/* Arm, then poll again: what completed before the arming makes no event. */
static int sleep_once(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max,
                      uint64_t until_ticks) {
    int error = rq_cq_arm_once(cq);
    if (error != 0) return error;
    int count = RQ_WRONG(NOT_POLLED_AGAIN) ? 0 : rq_cq_take(cq, done, done_count_max);
    if (count != 0) return count;
    if (rq_handle_is_closing(&cq->poll)) return -ESHUTDOWN;
    uint64_t now_ticks = rq_now_ticks();
    if (now_ticks >= until_ticks) return 0;
    sleep_on_channel(cq, rq_clock_ticks_to_ns(until_ticks - now_ticks));
    if (rq_handle_is_closing(&cq->poll)) return -ESHUTDOWN;
    return rq_cq_take(cq, done, done_count_max);
}

int rq_cq_wait(struct rq_cq *cq, struct rq_done *done, uint32_t done_count_max, uint32_t wait_mode,
               uint64_t wait_ns) {
    int count = rq_cq_take(cq, done, done_count_max);
    if (count != 0 || wait_ns == 0) return count;
    if (wait_ns > RQ_WAIT_SLICE_NS_MAX) wait_ns = RQ_WAIT_SLICE_NS_MAX;
    uint64_t now_ticks = rq_now_ticks();
    uint64_t until_ticks = now_ticks + rq_ns_ticks(wait_ns);
    uint64_t spin_ns = wait_ns < SPIN_NS ? wait_ns : SPIN_NS;
    if (cq->get_event == NULL && wait_mode != RQ_WAIT_SPIN) wait_mode = RQ_WAIT_YIELD;
    switch (wait_mode) {
        case RQ_WAIT_SPIN: return spin(cq, done, done_count_max, until_ticks, 0);
        case RQ_WAIT_YIELD: return spin(cq, done, done_count_max, until_ticks, 1);
        case RQ_WAIT_SLEEP: return sleep_once(cq, done, done_count_max, until_ticks);
        case RQ_WAIT_AUTO: break;
        default: return -EINVAL;
    }
    count = spin(cq, done, done_count_max, now_ticks + rq_ns_ticks(spin_ns), 0);
    return count != 0 ? count : sleep_once(cq, done, done_count_max, until_ticks);
}

/* The clock is read only where one wait may not be all. */
static int take_all(struct rq_cq *cq, struct rq_run *run) {
    uint32_t count = 0;
    uint64_t wait_ns = run->wait_ns, until_ticks = 0;
    if (run->taken > 1) until_ticks = rq_now_ticks() + rq_ns_ticks(wait_ns);
    while (count < run->taken && count < run->done_count_max) {
        int found =
            rq_cq_wait(cq, run->done + count, run->done_count_max - count, run->wait_mode, wait_ns);
        if (found <= 0) break; /* an error comes again at the next poll */
        count += (uint32_t)found;
        if (count >= run->taken) break;
        uint64_t now_ticks = rq_now_ticks();
        wait_ns = now_ticks < until_ticks ? rq_clock_ticks_to_ns(until_ticks - now_ticks) : 0;
    }
    return (int)count;
}

/* Both busy words first: who is refused as a poller must not have posted. */
int rq_pair_run(struct rq_pair *pair, const struct rq_op *ops, uint32_t op_count,
                struct rq_run *run) {
    struct rq_cq *cq = pair->cq;
    run->taken = 0;
    int result = rq_handle_enter(&cq->poll);
    if (result != 0) return result;
    result = rq_pair_post(pair, ops, op_count);
    if (result > 0) {
        run->taken = (uint32_t)result;
        result = take_all(cq, run);
    }
    rq_handle_leave(&cq->poll);
    return result;
}
