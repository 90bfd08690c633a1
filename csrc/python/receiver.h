/* `Receiver`, the hot half of `Subscription`: its state, and what its C files ask of each other. */
#ifndef RQ_PYTHON_RECEIVER_H
#define RQ_PYTHON_RECEIVER_H

#include "python/hot.h"
#include "ring/reader.h"

#define RQ_PY_NOTES_MAX 4096u

struct rq_py_receiver {
    PyObject_HEAD struct rq_reader *reader;
    PyObject *cursor; /* keeps the reader and its mapping */
    PyObject *batch_type;
    struct rq_poll poll;   /* where C copies to: `scratch`, or a buffer of the user's */
    uint64_t record_bytes; /* 0: untyped */
    uint32_t count_max;    /* there is room for so many messages */
    PyObject *scratch;     /* bytes that nobody has seen yet */
    PyObject *into;        /* the user's buffer that was used last; NULL: none */
    PyObject *into_area;   /* the same, to be sliced by records, or by bytes if untyped */
    PyObject *into_dtype;  /* as it was found; NULL: untyped */
    Py_buffer into_view;
    PyObject *kept;        /* a batch that a signal handler's exception kept from the caller */
    int undelivered;       /* what the last poll took and nobody got: a count, or RQ_POLL_GAP */
    int is_into;           /* the last poll went to the user's buffer */
    char has_ended;        /* Python knows the end: it tells it at each poll */
    uint64_t looked_ticks; /* when Python last looked whether the publisher lives */
    _Atomic int inside;
};

struct rq_py_wish {
    double timeout_seconds; /* infinite: for ever */
    uint32_t count_max;
    PyObject *into; /* borrowed; NULL: a fresh copy */
};

/* receive.c: what `poll` does: a batch, a gap, None, or NULL with an exception. */
PyObject *rq_py_receive(struct rq_py_receiver *self, const struct rq_py_wish *wish);
/* What an earlier poll took out of the ring and did not hand over; None: nothing. Must be called
 * inside. */
PyObject *rq_py_take_undelivered(struct rq_py_receiver *self);

/* receiver.c: arguments of `poll`: 0, or -1 with an exception that says what they may be. */
int rq_py_read_timeout(PyObject *value, struct rq_py_wish *wish);
int rq_py_read_count_max(PyObject *value, struct rq_py_wish *wish);

/* room.c: 0, or -1 with an exception. */
int rq_py_make_room(struct rq_py_receiver *self, uint32_t count_max, uint64_t bytes_min);
int rq_py_point_at(struct rq_py_receiver *self, PyObject *into);
void rq_py_drop_room(struct rq_py_receiver *self);
/* The batch of `count` messages that the last poll copied out; NULL with an exception. */
PyObject *rq_py_make_batch(struct rq_py_receiver *self, uint32_t count);

#endif
