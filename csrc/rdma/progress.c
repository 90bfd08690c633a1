/*
 * The node's thread for the network: it posts what waits, takes reports off the completion queues,
 * and sleeps on their channels when there is nothing to do. It never enters Python.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "rdma/lane.h"
#include "ring/clock.h"

#define SPIN_NS 20000
#define LANES_MAX 4096

struct rq_progress {
    pthread_t thread;
    pthread_mutex_t mutex; /* the list; held for a turn, not while asleep */
    struct rq_lane *first;
    uint32_t lane_count;
    int bell_fd;
    _Atomic int is_stopping;
    _Atomic int is_wanted; /* somebody wants the mutex: a busy thread would never let go */
    struct pollfd fds[LANES_MAX + 1];
};

static void enter(struct rq_progress *progress) {
    atomic_fetch_add_explicit(&progress->is_wanted, 1, memory_order_seq_cst);
    pthread_mutex_lock(&progress->mutex);
    atomic_fetch_sub_explicit(&progress->is_wanted, 1, memory_order_seq_cst);
}

void rq_progress_ring(struct rq_progress *progress) { eventfd_write(progress->bell_fd, 1); }

static uint32_t work(struct rq_progress *progress) {
    uint32_t count = 0;
    for (struct rq_lane *at = progress->first; at != NULL; at = at->next) count += rq_lane_work(at);
    return count;
}

/* Arms every queue, then looks again: what completed before the arming makes no event. 1: there is
 * something to do. */
static int arm(struct rq_progress *progress) {
    nfds_t count = 1;
    for (struct rq_lane *at = progress->first; at != NULL; at = at->next) {
        if (!rq_lane_is_full(at) && rq_cq_arm(at->pair->cq) > 0) return 1;
        progress->fds[count++] =
            (struct pollfd){.fd = at->pair->cq->cq->channel->fd, .events = POLLIN};
    }
    progress->fds[0] = (struct pollfd){.fd = progress->bell_fd, .events = POLLIN};
    return work(progress) != 0;
}

static void clear(struct rq_progress *progress) {
    eventfd_t rings;
    eventfd_read(progress->bell_fd, &rings);
    for (struct rq_lane *at = progress->first; at != NULL; at = at->next) rq_cq_clear(at->pair->cq);
}

static void let_others_in(struct rq_progress *progress) {
    pthread_mutex_unlock(&progress->mutex);
    while (atomic_load_explicit(&progress->is_wanted, memory_order_seq_cst)) sched_yield();
    pthread_mutex_lock(&progress->mutex);
}

static void *run(void *argument) {
    struct rq_progress *progress = argument;
    uint64_t idle_since_ticks = rq_now_ticks();
    pthread_mutex_lock(&progress->mutex);
    while (!atomic_load_explicit(&progress->is_stopping, memory_order_acquire)) {
        if (work(progress) != 0) {
            idle_since_ticks = rq_now_ticks();
        } else if (rq_now_ticks() - idle_since_ticks > rq_ns_ticks(SPIN_NS) && !arm(progress)) {
            nfds_t count = 1 + progress->lane_count;
            pthread_mutex_unlock(&progress->mutex);
            /* A lane that goes meanwhile rings: its descriptor may be another's by then, which
             * wakes us for nothing at most. */
            poll(progress->fds, count, -1);
            pthread_mutex_lock(&progress->mutex);
            clear(progress);
            idle_since_ticks = rq_now_ticks();
        }
        let_others_in(progress);
    }
    pthread_mutex_unlock(&progress->mutex);
    return NULL;
}

int rq_progress_start(struct rq_progress **progress_out) {
    *progress_out = NULL;
    struct rq_progress *progress = calloc(1, sizeof(*progress));
    if (progress == NULL) return -ENOMEM;
    progress->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = progress->bell_fd < 0 ? errno : 0;
    pthread_mutex_init(&progress->mutex, NULL);
    rq_clock_calibrate();
    if (error == 0) error = pthread_create(&progress->thread, NULL, run, progress);
    if (error != 0) {
        if (progress->bell_fd >= 0) close(progress->bell_fd);
        free(progress);
        return -error;
    }
    *progress_out = progress;
    return 0;
}

int rq_progress_add(struct rq_progress *progress, struct rq_lane *lane) {
    enter(progress);
    int error = progress->lane_count == LANES_MAX ? -ENOSPC : 0;
    if (error == 0) {
        lane->next = progress->first;
        progress->first = lane;
        progress->lane_count++;
    }
    pthread_mutex_unlock(&progress->mutex);
    rq_progress_ring(progress);
    return error;
}

void rq_progress_remove(struct rq_progress *progress, struct rq_lane *lane) {
    enter(progress);
    for (struct rq_lane **at = &progress->first; *at != NULL; at = &(*at)->next) {
        if (*at != lane) continue;
        *at = lane->next;
        progress->lane_count--;
        break;
    }
    pthread_mutex_unlock(&progress->mutex);
    rq_progress_ring(progress);
}

void rq_progress_stop(struct rq_progress *progress) {
    if (progress == NULL) return;
    atomic_store_explicit(&progress->is_stopping, 1, memory_order_release);
    rq_progress_ring(progress);
    pthread_join(progress->thread, NULL);
    pthread_mutex_destroy(&progress->mutex);
    close(progress->bell_fd);
    free(progress);
}
