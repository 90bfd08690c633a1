/*
 * The node's thread: heartbeats and clock tables of every publisher of the node. It never holds
 * the GIL and sleeps between its turns.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "ring/publisher.h"

#define HEARTBEAT_NS 100000000u
#define HEARTBEATS_PER_SYNC 10

struct rq_keeper {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    int is_stopping;
    struct rq_publisher *first;
};

static void beat(struct rq_keeper *keeper, int is_sync) {
    if (is_sync) rq_clock_calibrate();
    for (struct rq_publisher *at = keeper->first; at != NULL; at = at->keeper_next) {
        if (is_sync) rq_clock_publish(&at->live->clock);
        atomic_store_explicit(&at->live->heartbeat_ticks, rq_now_ticks(), memory_order_relaxed);
    }
}

static void *keep(void *argument) {
    struct rq_keeper *keeper = argument;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&keeper->mutex);
    for (unsigned turn = 1; !keeper->is_stopping; turn++) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > next.tv_sec + 1) next = now; /* was stopped: no beats to catch up */
        next.tv_nsec += HEARTBEAT_NS;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        while (!keeper->is_stopping &&
               pthread_cond_timedwait(&keeper->wake, &keeper->mutex, &next) == 0) {
        }
        if (!keeper->is_stopping) beat(keeper, turn % HEARTBEATS_PER_SYNC == 0);
    }
    pthread_mutex_unlock(&keeper->mutex);
    return NULL;
}

int rq_keeper_start(struct rq_keeper **keeper_out) {
    *keeper_out = NULL;
    struct rq_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) return -ENOMEM;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&keeper->mutex, NULL);
    pthread_cond_init(&keeper->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int error = pthread_create(&keeper->thread, NULL, keep, keeper);
    if (error != 0) {
        free(keeper);
        return -error;
    }
    *keeper_out = keeper;
    return 0;
}

int rq_keeper_add(struct rq_keeper *keeper, struct rq_publisher *publisher) {
    pthread_mutex_lock(&keeper->mutex);
    publisher->keeper_next = keeper->first;
    keeper->first = publisher;
    pthread_mutex_unlock(&keeper->mutex);
    return 0;
}

int rq_keeper_remove(struct rq_keeper *keeper, struct rq_publisher *publisher) {
    int error = -ENOENT;
    pthread_mutex_lock(&keeper->mutex);
    for (struct rq_publisher **at = &keeper->first; *at != NULL; at = &(*at)->keeper_next) {
        if (*at != publisher) continue;
        *at = publisher->keeper_next;
        error = 0;
        break;
    }
    pthread_mutex_unlock(&keeper->mutex);
    return error;
}

void rq_keeper_stop(struct rq_keeper *keeper) {
    if (keeper == NULL) return;
    pthread_mutex_lock(&keeper->mutex);
    keeper->is_stopping = 1;
    pthread_cond_signal(&keeper->wake);
    pthread_mutex_unlock(&keeper->mutex);
    pthread_join(keeper->thread, NULL);
    pthread_cond_destroy(&keeper->wake);
    pthread_mutex_destroy(&keeper->mutex);
    free(keeper);
}
