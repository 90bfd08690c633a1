/*
 * The node's one thread: heartbeats and clock tables of its publishers, the wakes that they
 * deferred, and the duties of links and replicas. It never holds the GIL. It sleeps when there is
 * nothing to do: on its bell alone, or, with duties, on their descriptors as well.
 */
#define _GNU_SOURCE
#include "ring/keeper.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "ring/publisher.h"
#include "ring/wake.h"

#define HEARTBEAT_NS 100000000u
#define HEARTBEATS_PER_SYNC 10
#define MAKE_UP_NS 20000u    /* how late a deferred wake may be, but for the scheduler */
#define TIMER_SLACK_NS 1000u /* not the usual 50 us */
#define SPIN_NS 20000u       /* after a duty had something to do */
#define DUTIES_MAX 4096

struct rq_keeper {
    pthread_t thread;
    pthread_mutex_t mutex;       /* the lists; taken before a publish lock, never under one */
    _Atomic uint32_t is_wanted;  /* who waits for the mutex: a busy thread would never let go */
    _Atomic uint32_t bell;       /* 1: something was deferred since the keeper looked */
    _Atomic uint32_t is_polling; /* it sleeps on descriptors, not on the bell */
    int bell_fd;
    int is_stopping;
    struct rq_publisher *first;
    struct rq_duty *first_duty;
    uint32_t duty_count;
    uint64_t idle_since_ticks;
    struct pollfd fds[DUTIES_MAX + 1];
};

#ifdef RQ_STEPPED /* all tasks on one thread: who waits lets the others go on */
static void lock_list(struct rq_keeper *keeper) {
    while (pthread_mutex_trylock(&keeper->mutex) != 0) rq_step();
}

static void nap(void) { rq_step(); }
#else
static void lock_list(struct rq_keeper *keeper) {
    atomic_fetch_add_explicit(&keeper->is_wanted, 1, memory_order_seq_cst);
    pthread_mutex_lock(&keeper->mutex);
    atomic_fetch_sub_explicit(&keeper->is_wanted, 1, memory_order_seq_cst);
}

static void nap(void) {
    struct timespec pause = {.tv_sec = 0, .tv_nsec = MAKE_UP_NS};
    nanosleep(&pause, NULL);
}
#endif

static void unlock_list(struct rq_keeper *keeper) { pthread_mutex_unlock(&keeper->mutex); }

static void beat(struct rq_keeper *keeper, int is_sync) {
    if (is_sync) rq_clock_calibrate();
    for (struct rq_publisher *at = keeper->first; at != NULL; at = at->keeper_next) {
        if (at->is_replica) continue; /* its publisher's: replica.c */
        if (is_sync) rq_clock_publish(&at->live->clock);
        atomic_store_explicit(&at->live->heartbeat_ticks, rq_now_ticks(), memory_order_relaxed);
    }
    for (struct rq_duty *at = keeper->first_duty; at != NULL; at = at->next) at->beat(at, is_sync);
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

static uint32_t work(struct rq_keeper *keeper) {
    uint32_t count = 0;
    for (struct rq_duty *at = keeper->first_duty; at != NULL; at = at->next) count += at->work(at);
    return count;
}

void rq_keeper_ring(struct rq_keeper *keeper) {
    /* Released with what was deferred before: pairs with the exchange in sleep_until_rung. Whoever
     * finds 1 need not wake: the keeper has yet to look, or it would have found 1 itself. */
    if (atomic_exchange_explicit(&keeper->bell, 1, memory_order_seq_cst) != 0) return;
    RQ_STEP();
    if (atomic_load_explicit(&keeper->is_polling, memory_order_relaxed))
        eventfd_write(keeper->bell_fd, 1);
    else
        rq_futex_wake(&keeper->bell);
}

/* 1: it was rung since the last time. */
static int was_rung(struct rq_keeper *keeper) {
    RQ_STEP();
    uint32_t bell = atomic_exchange_explicit(&keeper->bell, 0, memory_order_seq_cst);
    RQ_STEP();
    return RQ_UNLESS(BELL_CLEARED_UNREAD, bell != 0);
}

static void sleep_until_rung(struct rq_keeper *keeper, uint64_t wait_ns) {
    if (!was_rung(keeper)) rq_futex_wait(&keeper->bell, 0, wait_ns);
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

/* Under the mutex: what to sleep on, and how long at most. Each duty arms, then all look once more:
 * what happened before the arming makes no event. 0: there is something to do. */
static nfds_t prepare_to_sleep(struct rq_keeper *keeper, uint64_t *wait_ns) {
    nfds_t count = 1;
    keeper->fds[0] = (struct pollfd){.fd = keeper->bell_fd, .events = POLLIN};
    for (struct rq_duty *at = keeper->first_duty; at != NULL; at = at->next) {
        if (at->fd < 0) continue;
        if (at->arm(at)) return 0;
        keeper->fds[count++] = (struct pollfd){.fd = at->fd, .events = POLLIN};
    }
    if (work(keeper) != 0) return 0;
    for (struct rq_duty *at = keeper->first_duty; at != NULL; at = at->next)
        if (at->nap_ns < *wait_ns) *wait_ns = at->nap_ns; /* as of that last look */
    return count;
}

/* A duty that goes meanwhile rings: its descriptor may be another's by then, which wakes us for
 * nothing at most. */
static void sleep_on_descriptors(struct rq_keeper *keeper, nfds_t count, uint64_t wait_ns) {
    struct timespec limit = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                             .tv_nsec = (long)(wait_ns % 1000000000u)};
    eventfd_t rings;
    if (!was_rung(keeper)) ppoll(keeper->fds, count, &limit, NULL);
    eventfd_read(keeper->bell_fd, &rings);
    lock_list(keeper);
    for (struct rq_duty *at = keeper->first_duty; at != NULL; at = at->next) {
        if (at->fd >= 0) at->clear(at);
        if (at->slept != NULL) at->slept(at);
    }
}

/* With duties. Must be called, and returns, with the mutex held. */
static void rest_on_duty(struct rq_keeper *keeper, uint32_t left, uint64_t wait_ns) {
    nfds_t count = 0;
    if (rq_now_ticks() - keeper->idle_since_ticks > rq_ns_ticks(SPIN_NS)) {
        if (left != 0 && wait_ns > MAKE_UP_NS) wait_ns = MAKE_UP_NS;
        atomic_store_explicit(&keeper->is_polling, 1, memory_order_relaxed);
        count = prepare_to_sleep(keeper, &wait_ns);
    }
    unlock_list(keeper);
    if (count != 0) {
        sleep_on_descriptors(keeper, count, wait_ns);
    } else {
        while (atomic_load_explicit(&keeper->is_wanted, memory_order_seq_cst)) sched_yield();
        lock_list(keeper);
    }
}

static void *keep(void *argument) {
    struct rq_keeper *keeper = argument;
    uint64_t beat_ns = monotonic_ns() + HEARTBEAT_NS;
    prctl(PR_SET_TIMERSLACK, (unsigned long)TIMER_SLACK_NS);
    lock_list(keeper);
    for (unsigned turn = 1; !keeper->is_stopping;) {
        uint32_t left = make_up(keeper);
        if (work(keeper) != 0) keeper->idle_since_ticks = rq_now_ticks();
        uint64_t now_ns = monotonic_ns();
        if (now_ns >= beat_ns) {
            beat(keeper, turn++ % HEARTBEATS_PER_SYNC == 0);
            beat_ns += HEARTBEAT_NS;
            if (beat_ns < now_ns)
                beat_ns = now_ns + HEARTBEAT_NS; /* was stopped: none to catch up */
        }
        if (keeper->first_duty != NULL) {
            rest_on_duty(keeper, left, beat_ns - now_ns);
        } else {
            atomic_store_explicit(&keeper->is_polling, 0, memory_order_relaxed);
            unlock_list(keeper);
            rest(keeper, left, beat_ns - now_ns);
            lock_list(keeper);
        }
    }
    unlock_list(keeper);
    return NULL;
}

#ifdef RQ_STEPPED /* no thread: a task of the stepper takes its turns */
void rq_keeper_step(struct rq_keeper *keeper) {
    lock_list(keeper);
    uint32_t left = make_up(keeper) + work(keeper); /* with something to do nobody sleeps */
    for (struct rq_duty *at = keeper->first_duty; at != NULL; at = at->next)
        if (at->fd >= 0) left += (uint32_t)at->arm(at);
    left += work(keeper);
    for (struct rq_duty *at = keeper->first_duty; at != NULL; at = at->next)
        left += at->nap_ns != UINT64_MAX; /* nor with something to look after */
    unlock_list(keeper);
    rest(keeper, left, 0);
    lock_list(keeper);
    for (struct rq_duty *at = keeper->first_duty; at != NULL; at = at->next)
        if (at->fd >= 0) at->clear(at);
    unlock_list(keeper);
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
    keeper->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = keeper->bell_fd < 0 ? errno : 0;
    pthread_mutex_init(&keeper->mutex, NULL);
    if (error == 0) error = start_thread(keeper);
    if (error != 0) {
        if (keeper->bell_fd >= 0) close(keeper->bell_fd);
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
    unlock_list(keeper);
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
    unlock_list(keeper);
    return error;
}

int rq_keeper_take_on(struct rq_keeper *keeper, struct rq_duty *duty) {
    lock_list(keeper);
    int error = keeper->duty_count == DUTIES_MAX ? -ENOSPC : 0;
    if (error == 0) {
        duty->next = keeper->first_duty;
        keeper->first_duty = duty;
        keeper->duty_count++;
    }
    unlock_list(keeper);
    rq_keeper_ring(keeper);
    return error;
}

void rq_keeper_release(struct rq_keeper *keeper, struct rq_duty *duty) {
    lock_list(keeper);
    for (struct rq_duty **at = &keeper->first_duty; *at != NULL; at = &(*at)->next) {
        if (*at != duty) continue;
        *at = duty->next;
        keeper->duty_count--;
        break;
    }
    unlock_list(keeper);
    rq_keeper_ring(keeper);
}

void rq_keeper_stop(struct rq_keeper *keeper) {
    if (keeper == NULL) return;
    lock_list(keeper);
    keeper->is_stopping = 1;
    unlock_list(keeper);
    rq_keeper_ring(keeper);
    join_thread(keeper);
    pthread_mutex_destroy(&keeper->mutex);
    close(keeper->bell_fd);
    free(keeper);
}
