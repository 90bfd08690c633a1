/*
 * The node's thread: heartbeats and clock tables of every publisher of the node, and the wakes that
 * they deferred. It never holds the GIL and sleeps between its turns.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "ring/publisher.h"
#include "ring/wake.h"

#define HEARTBEAT_NS 100000000u
#define HEARTBEATS_PER_SYNC 10
#define MAKE_UP_NS 20000u    /* how late a deferred wake may be, but for the scheduler */
#define TIMER_SLACK_NS 1000u /* not the usual 50 us */

struct rq_keeper {
    pthread_t thread;
    pthread_mutex_t mutex; /* the list; taken before a publish lock, never under one */
    _Atomic uint32_t bell; /* 1: something was deferred since the keeper looked */
    int is_stopping;
    struct rq_publisher *first;
};

#ifdef RQ_STEPPED /* all tasks on one thread: who waits lets the others go on */
static void lock_list(struct rq_keeper *keeper) {
    while (pthread_mutex_trylock(&keeper->mutex) != 0) rq_step();
}

static void nap(void) { rq_step(); }
#else
static void lock_list(struct rq_keeper *keeper) { pthread_mutex_lock(&keeper->mutex); }

static void nap(void) {
    struct timespec pause = {.tv_sec = 0, .tv_nsec = MAKE_UP_NS};
    nanosleep(&pause, NULL);
}
#endif

static void beat(struct rq_keeper *keeper, int is_sync) {
    if (is_sync) rq_clock_calibrate();
    for (struct rq_publisher *at = keeper->first; at != NULL; at = at->keeper_next) {
        if (is_sync) rq_clock_publish(&at->live->clock);
        atomic_store_explicit(&at->live->heartbeat_ticks, rq_now_ticks(), memory_order_relaxed);
    }
}

static uint32_t make_up(struct rq_keeper *keeper) {
    uint32_t left = 0;
    for (struct rq_publisher *at = keeper->first; at != NULL; at = at->keeper_next)
        left += rq_wake_deferred(at);
    return left;
}

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void rq_keeper_ring(struct rq_keeper *keeper) {
    /* Released with what was deferred before: pairs with the exchange in sleep_until_rung. Whoever
     * finds 1 need not wake: the keeper has yet to look, or it would have found 1 itself. */
    if (atomic_exchange_explicit(&keeper->bell, 1, memory_order_seq_cst) != 0) return;
    RQ_STEP();
    rq_futex_wake(&keeper->bell);
}

static void sleep_until_rung(struct rq_keeper *keeper, uint64_t wait_ns) {
    RQ_STEP();
    uint32_t bell = atomic_exchange_explicit(&keeper->bell, 0, memory_order_seq_cst);
    RQ_STEP();
    if (RQ_UNLESS(BELL_CLEARED_UNREAD, bell != 0)) return;
    rq_futex_wait(&keeper->bell, 0, wait_ns);
}

/* Between two turns. While wakes are left the bell stays as it is: nobody need wake who does not
 * sleep for long. */
static void rest(struct rq_keeper *keeper, uint32_t left, uint64_t wait_ns) {
    if (RQ_UNLESS(LEFT_FORGOTTEN, left != 0)) {
        nap();
    } else {
        sleep_until_rung(keeper, wait_ns);
    }
}

static void *keep(void *argument) {
    struct rq_keeper *keeper = argument;
    uint64_t beat_ns = monotonic_ns() + HEARTBEAT_NS;
    prctl(PR_SET_TIMERSLACK, (unsigned long)TIMER_SLACK_NS);
    lock_list(keeper);
    for (unsigned turn = 1; !keeper->is_stopping;) {
        uint32_t left = make_up(keeper);
        uint64_t now_ns = monotonic_ns();
        if (now_ns >= beat_ns) {
            beat(keeper, turn++ % HEARTBEATS_PER_SYNC == 0);
            beat_ns += HEARTBEAT_NS;
            if (beat_ns < now_ns)
                beat_ns = now_ns + HEARTBEAT_NS; /* was stopped: none to catch up */
        }
        pthread_mutex_unlock(&keeper->mutex);
        rest(keeper, left, beat_ns - now_ns);
        lock_list(keeper);
    }
    pthread_mutex_unlock(&keeper->mutex);
    return NULL;
}

#ifdef RQ_STEPPED /* no thread: a task of the stepper takes its turns */
void rq_keeper_step(struct rq_keeper *keeper) {
    lock_list(keeper);
    uint32_t left = make_up(keeper);
    pthread_mutex_unlock(&keeper->mutex);
    rest(keeper, left, 0);
}

static int start_thread(struct rq_keeper *keeper) {
    (void)keep;
    return keeper == NULL;
}

static void join_thread(struct rq_keeper *keeper) { (void)keeper; }
#else
static int start_thread(struct rq_keeper *keeper) {
    return pthread_create(&keeper->thread, NULL, keep, keeper);
}

static void join_thread(struct rq_keeper *keeper) { pthread_join(keeper->thread, NULL); }
#endif

int rq_keeper_start(struct rq_keeper **keeper_out) {
    *keeper_out = NULL;
    struct rq_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) return -ENOMEM;
    pthread_mutex_init(&keeper->mutex, NULL);
    int error = start_thread(keeper);
    if (error != 0) {
        free(keeper);
        return -error;
    }
    *keeper_out = keeper;
    return 0;
}

int rq_keeper_add(struct rq_keeper *keeper, struct rq_publisher *publisher) {
    lock_list(keeper);
    publisher->keeper_next = keeper->first;
    keeper->first = publisher;
    rq_publisher_lock(publisher);
    publisher->wake_interval_ticks = rq_ns_ticks(RQ_WAKE_INTERVAL_NS);
    publisher->keeper = keeper;
    rq_publisher_unlock(publisher);
    pthread_mutex_unlock(&keeper->mutex);
    return 0;
}

int rq_keeper_remove(struct rq_keeper *keeper, struct rq_publisher *publisher) {
    int error = -ENOENT;
    lock_list(keeper);
    for (struct rq_publisher **at = &keeper->first; *at != NULL; at = &(*at)->keeper_next) {
        if (*at != publisher) continue;
        *at = publisher->keeper_next;
        rq_publisher_lock(publisher);
        publisher->keeper = NULL;
        rq_wake_readmit(publisher);
        RQ_STEP();
        if (!RQ_MUTATED(REMOVAL_WAKES_NOBODY)) rq_wake_readers(publisher); /* what was deferred */
        rq_publisher_unlock(publisher);
        error = 0;
        break;
    }
    pthread_mutex_unlock(&keeper->mutex);
    return error;
}

void rq_keeper_stop(struct rq_keeper *keeper) {
    if (keeper == NULL) return;
    lock_list(keeper);
    keeper->is_stopping = 1;
    pthread_mutex_unlock(&keeper->mutex);
    rq_keeper_ring(keeper);
    join_thread(keeper);
    pthread_mutex_destroy(&keeper->mutex);
    free(keeper);
}
