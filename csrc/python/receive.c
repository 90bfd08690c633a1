/* Takes, waits, and hands over; what is no message is for Python to explain. */
#include "python/receiver.h"

#define SPINS_PER_LOOK 16
#define SLICE_SECONDS (RQ_WAIT_SLICE_NS_MAX / 1e9)
#define LOOK_NS 40000000u /* a little less than a slice: every slice that brought nothing */
#define FOREVER_SECONDS 1e9

/* ---- taking ------------------------------------------------------------------------------ */

/* Holds the GIL: to give it up and get it back takes a good part of what a message takes here. */
static void spin_held(const struct rq_py_receiver *self, uint64_t until_ticks) {
    do {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (rq_reader_has_news(self->reader)) return;
            rq_cpu_relax();
        }
    } while (rq_now_ticks() < until_ticks);
}

static int take_held(struct rq_py_receiver *self, uint32_t count_max) {
    return rq_reader_poll(self->reader, &self->poll, count_max, 0);
}

static int take(struct rq_py_receiver *self, uint32_t count_max, uint64_t wait_ns) {
    struct rq_reader *reader = self->reader;
    /* A forked child's reader is closed: it must not look at memory that it does not have. */
    if (rq_handle_is_closing(&reader->handle)) return -ESHUTDOWN;
    if (rq_reader_pending_bytes(reader) <= RQ_HELD_BYTES_MAX) {
        int status = take_held(self, count_max);
        if (status != RQ_POLL_NOTHING || wait_ns == 0) return status;
        if (self->poll.wait_mode == RQ_WAIT_AUTO || self->poll.wait_mode == RQ_WAIT_SPIN) {
            uint64_t spin_ns = wait_ns < RQ_HELD_SPIN_NS ? wait_ns : RQ_HELD_SPIN_NS;
            spin_held(self, rq_now_ticks() + rq_ns_ticks(spin_ns));
            status = take_held(self, count_max);
            if (status != RQ_POLL_NOTHING) return status;
        }
    }
    int status;
    Py_BEGIN_ALLOW_THREADS;
    status = rq_reader_poll(reader, &self->poll, count_max, wait_ns);
    Py_END_ALLOW_THREADS;
    return status;
}

/* ---- handing over ------------------------------------------------------------------------ */

/*
 * No Python code runs between the copy out of the ring and our return, but for the handlers of
 * signals that came until now: should one raise, the batch is kept for the next poll.
 */
static PyObject *deliver(struct rq_py_receiver *self, int count) {
    PyObject *batch = rq_py_make_batch(self, (uint32_t)count);
    if (batch == NULL) return NULL;
    self->undelivered = 0;
    if (PyErr_CheckSignals() == 0) return batch;
    rq_py_replace(&self->kept, batch);
    return NULL;
}

static PyObject *ask(struct rq_py_receiver *self, int status) {
    return PyObject_CallMethod((PyObject *)self, "_answer", "(iy#)", status, &self->poll.batch,
                               (Py_ssize_t)sizeof(self->poll.batch));
}

/* Python makes a batch of the gap, or the exception that tells of it, or None: it is skipped. Only
 * then it is told: a handler that raises meanwhile leaves it for the next poll. */
static PyObject *tell_gap(struct rq_py_receiver *self) {
    PyObject *answer = PyErr_CheckSignals() == 0 ? ask(self, RQ_POLL_GAP) : NULL;
    if (answer == NULL) return NULL;
    self->undelivered = 0;
    if (!PyExceptionInstance_Check(answer)) return answer;
    PyErr_SetObject((PyObject *)Py_TYPE(answer), answer);
    Py_DECREF(answer);
    return NULL;
}

/* The ring has given it away already: whatever fails here, the next poll tries again. */
static PyObject *hand_over(struct rq_py_receiver *self, int status) {
    self->undelivered = status;
    return status > 0 ? deliver(self, status) : tell_gap(self);
}

PyObject *rq_py_take_undelivered(struct rq_py_receiver *self) {
    PyObject *kept = self->kept;
    self->kept = NULL;
    if (kept != NULL) return kept;
    return self->undelivered != 0 ? hand_over(self, self->undelivered) : Py_NewRef(Py_None);
}

/* What Python makes of a status: NULL with an exception, a batch that holds a gap, or None: go on.
 */
static PyObject *explain(struct rq_py_receiver *self, int status) {
    if (status == RQ_POLL_NOTHING && !self->has_ended) {
        uint64_t now_ticks = rq_now_ticks();
        if (now_ticks - self->looked_ticks < rq_ns_ticks(LOOK_NS)) return Py_NewRef(Py_None);
        self->looked_ticks = now_ticks;
    }
    if (status == RQ_POLL_TOO_SMALL && !self->is_into)
        return rq_py_make_room(self, self->count_max, self->poll.batch.payload_bytes) == 0
                   ? Py_NewRef(Py_None)
                   : NULL;
    return ask(self, status);
}

static int prepare(struct rq_py_receiver *self, const struct rq_py_wish *wish) {
    if (self->reader == NULL) {
        PyErr_SetString(PyExc_ValueError, "this receiver was never bound to a reader");
        return -1;
    }
    if (wish->count_max > self->count_max && rq_py_make_room(self, wish->count_max, 0) != 0)
        return -1;
    return rq_py_point_at(self, wish->into);
}

static PyObject *receive_inside(struct rq_py_receiver *self, const struct rq_py_wish *wish) {
    if (self->reader != NULL && !rq_handle_is_closing(&self->reader->handle)) {
        PyObject *before = rq_py_take_undelivered(self);
        if (before != Py_None) return before;
        Py_DECREF(before);
    }
    double left_seconds = wish->timeout_seconds;
    uint64_t began_ticks = 0;
    for (;;) {
        if (prepare(self, wish) != 0) return NULL; /* again: Python may have bound another reader */
        if (began_ticks == 0 && left_seconds > 0 && left_seconds < FOREVER_SECONDS)
            began_ticks = rq_now_ticks();
        double slice_seconds = left_seconds < SLICE_SECONDS ? left_seconds : SLICE_SECONDS;
        uint64_t wait_ns = slice_seconds > 0 ? (uint64_t)(slice_seconds * 1e9) + 1 : 0;
        int status = take(self, wish->count_max, wait_ns);
        PyObject *answer;
        if (status > 0 || status == RQ_POLL_GAP)
            answer = hand_over(self, status);
        else
            answer = PyErr_CheckSignals() == 0 ? explain(self, status) : NULL;
        if (answer != Py_None) return answer;
        if (began_ticks != 0)
            left_seconds = wish->timeout_seconds -
                           (double)rq_clock_ticks_to_ns(rq_now_ticks() - began_ticks) / 1e9;
        if (status == RQ_POLL_NOTHING && left_seconds <= 0) return answer;
        Py_DECREF(answer);
    }
}

PyObject *rq_py_receive(struct rq_py_receiver *self, const struct rq_py_wish *wish) {
    if (!rq_py_enter(&self->inside))
        return PyObject_CallMethod((PyObject *)self, "_refuse_entry", NULL);
    PyObject *found = receive_inside(self, wish);
    rq_py_leave(&self->inside);
    return found;
}
