/* `Poster`: shared by poster.c, which is the type, and posting.c, which posts and looks. */
#ifndef RQ_PYTHON_POSTER_H
#define RQ_PYTHON_POSTER_H

#include "python/hot.h"
#include "rdmaq_abi.h"

/* One thread is inside at a time: `holder` is its identity, 0 nobody's. */
struct rq_py_turn {
    _Atomic unsigned long holder;
};

/* The counts are Python's as well, which settles whatever is not done in one go in C. */
struct rq_py_poster {
    PyObject_HEAD struct rq_pair *pair;
    struct rq_cq *cq;
    struct rq_run *run;
    const uint64_t *special; /* as rq_cq_special */
    PyObject *owner;         /* keeps the four */
    PyObject *requests_type, *operation_type;
    PyObject *in_flight; /* deque of operations */
    PyObject *backlog;   /* deque of (bytes of requests, how many of those are posted) */
    unsigned long long taken, posted, reported, special_seen;
    unsigned int found; /* reports in run->done that are not settled: by who looks */
    int awaited_count;  /* operations and receives that an event loop waits for */
    int dropped;        /* accepted, and will never be posted */
    int has_failed;     /* a request ended badly: the queue pair is in its error state */
    int is_closed;
    int is_passed_over; /* somebody would have posted the backlog while another had the turn */
    struct rq_py_turn posting, looking;
};

static inline struct rq_py_poster *rq_py_poster_of(PyObject *object) {
    return (struct rq_py_poster *)object;
}

static inline int rq_py_begin(struct rq_py_turn *turn) {
    unsigned long nobody = 0;
    return atomic_compare_exchange_strong_explicit(&turn->holder, &nobody,
                                                   PyThread_get_thread_ident(),
                                                   memory_order_acquire, memory_order_relaxed);
}

static inline void rq_py_end(struct rq_py_turn *turn) {
    atomic_store_explicit(&turn->holder, 0, memory_order_release);
}

static inline int rq_py_is_mine(struct rq_py_turn *turn) {
    return atomic_load_explicit(&turn->holder, memory_order_relaxed) == PyThread_get_thread_ident();
}

/* posting.c. The requests that `given` (a Requests) names, in memory that it keeps; 0: none. */
uint32_t rq_py_requests(struct rq_py_poster *self, PyObject *given, const struct rq_op **ops);
/* Enters an operation of which so many are posted, and keeps the others. 0, or -1 with an
 * exception. By who has the turn to post, and before anybody else can look. */
int rq_py_enlist(struct rq_py_poster *self, PyObject *operation, const struct rq_op *ops,
                 uint32_t posted, uint32_t count);
/* What was found is counted, and operations end. 0, or -1 with an exception: found then remains. */
int rq_py_settle(PyObject *object);
/* Ends the turn to post; then posts what waits, if somebody would have meanwhile. */
int rq_py_end_posting(PyObject *object);
PyObject *rq_py_accept(PyObject *object, PyObject *const *args, Py_ssize_t count);
PyObject *rq_py_accept_bind(PyObject *object, PyObject *const *args, Py_ssize_t count);
PyObject *rq_py_look(PyObject *object, PyObject *wait_ns);
PyObject *rq_py_post_waiting(PyObject *object, PyObject *none);

#endif
