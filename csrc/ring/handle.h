/*
 * What every handle has: one thread inside at a time, and a close that any thread may call.
 * `busy` is not a lock to wait on: a second thread is told (-EBUSY), never queued.
 */
#ifndef RQ_RING_HANDLE_H
#define RQ_RING_HANDLE_H

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

struct rq_handle {
    _Atomic int busy;
    _Atomic int is_closing;
};

static inline int rq_handle_is_closing(struct rq_handle *handle) {
    return atomic_load_explicit(&handle->is_closing, memory_order_relaxed);
}

static inline int rq_handle_enter(struct rq_handle *handle) {
    if (rq_handle_is_closing(handle)) return -ESHUTDOWN;
    /* Pairs with the release in rq_handle_leave: what the last thread inside did is seen. */
    if (atomic_exchange_explicit(&handle->busy, 1, memory_order_acquire))
        return rq_handle_is_closing(handle) ? -ESHUTDOWN : -EBUSY;
    return 0;
}

/* As enter, but waits for the thread inside: for what must not be refused. */
static inline int rq_handle_enter_waiting(struct rq_handle *handle) {
    int error;
    while ((error = rq_handle_enter(handle)) == -EBUSY) sched_yield();
    return error;
}

static inline void rq_handle_leave(struct rq_handle *handle) {
    atomic_store_explicit(&handle->busy, 0, memory_order_release);
}

/* Returns 1 to the one caller that may tear down, with `busy` held for ever. The caller wakes
 * whoever sleeps inside between begin and this. */
static inline int rq_handle_begin_close(struct rq_handle *handle) {
    return atomic_exchange_explicit(&handle->is_closing, 1, memory_order_seq_cst) == 0;
}

/* 1 when nobody is inside (any more); else lets others run. Acquire: what the last one inside did
 * is seen. Release: pairs with the exchange in rq_handle_enter, so that whoever finds `busy` taken
 * for ever also sees `is_closing`, and says so. */
static inline int rq_handle_try_idle(struct rq_handle *handle) {
    if (!atomic_exchange_explicit(&handle->busy, 1, memory_order_acq_rel)) return 1;
    sched_yield();
    return 0;
}

static inline void rq_handle_wait_idle(struct rq_handle *handle) {
    while (!rq_handle_try_idle(handle)) {
    }
}

#endif
