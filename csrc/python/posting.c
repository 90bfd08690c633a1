/*
 * Posting, and taking what became of it. What Python must never see half done is done here in one
 * call, since between any two steps of Python's a signal's handler may raise: to count what was
 * posted and to enter its operation; to keep what the queue told until it is settled; to end a
 * turn.
 */
#include <errno.h>

#include "python/poster.h"

#define BACKLOG_MAX 65536u /* as in rdmaq/verbs/fast.py */

/* Neither is seen by Python in between: a deque's methods are C. */
static int call_deque(PyObject *deque, const char *method, PyObject *item) {
    PyObject *result = item == NULL ? PyObject_CallMethod(deque, method, NULL)
                                    : PyObject_CallMethod(deque, method, "(O)", item);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int call_self(PyObject *object, const char *method) {
    PyObject *result = PyObject_CallMethod(object, method, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

uint32_t rq_py_requests(struct rq_py_poster *self, PyObject *given, const struct rq_op **ops) {
    if ((PyObject *)Py_TYPE(given) != self->requests_type) return 0;
    PyObject *address = PyObject_GetAttrString(given, "_address");
    PyObject *count = PyObject_GetAttrString(given, "_count");
    unsigned long number = count == NULL ? 0 : PyLong_AsUnsignedLong(count);
    *ops = address == NULL ? NULL : rq_py_address(address);
    Py_XDECREF(address);
    Py_XDECREF(count);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return *ops == NULL ? 0 : (uint32_t)number;
}

static int set_end(PyObject *operation, unsigned long long end) {
    PyObject *number = PyLong_FromUnsignedLongLong(end);
    int error = number == NULL ? -1 : PyObject_SetAttrString(operation, "_end", number);
    Py_XDECREF(number);
    return error;
}

/* The others wait their turn in a copy: their array may be filled anew. */
static int keep_rest(struct rq_py_poster *self, const struct rq_op *ops, uint32_t count) {
    PyObject *item =
        Py_BuildValue("(y#I)", (const char *)ops, (Py_ssize_t)(count * sizeof(*ops)), 0u);
    int error = item == NULL ? -1 : call_deque(self->backlog, "append", item);
    Py_XDECREF(item);
    if (error != 0) self->dropped = (int)count;
    return error;
}

int rq_py_enlist(struct rq_py_poster *self, PyObject *operation, const struct rq_op *ops,
                 uint32_t posted, uint32_t count) {
    self->taken += count;
    self->posted += posted;
    if (set_end(operation, self->taken) != 0 ||
        call_deque(self->in_flight, "append", operation) != 0)
        return -1;
    return posted == count ? 0 : keep_rest(self, ops + posted, count - posted);
}

static int hand_over(struct rq_py_poster *self, const struct rq_op *ops, uint32_t count) {
    int result;
    Py_BEGIN_ALLOW_THREADS;
    result = rq_pair_post(self->pair, ops, count);
    Py_END_ALLOW_THREADS;
    return result;
}

/* Entered before it is posted: another thread may take its report before the call returns. */
static int accept_inside(struct rq_py_poster *self, const struct rq_op *ops, uint32_t count,
                         PyObject *operation) {
    if (self->dropped) return -ECANCELED;
    if (self->taken - self->posted + count > BACKLOG_MAX) return -ENOBUFS;
    if (rq_py_enlist(self, operation, ops, count, count) != 0) return -ENOMEM;
    int result = PyObject_Size(self->backlog) == 0 ? hand_over(self, ops, count) : 0;
    self->posted -= count - (result > 0 ? (uint32_t)result : 0);
    if (result < 0) {
        self->taken -= count;
        call_deque(self->in_flight, "pop", NULL);
    } else if ((uint32_t)result < count) {
        keep_rest(self, ops + result, count - (uint32_t)result);
    }
    return PyErr_Occurred() ? -ENOMEM : result;
}

/* _accept(operation, requests, count): posts bytes of requests (count is none of it), or the first
 * of a Requests. Returns how many were posted; the others wait. -errno: nothing was accepted. */
PyObject *rq_py_accept(PyObject *object, PyObject *const *args, Py_ssize_t arg_count) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    if (arg_count != 3) return PyErr_Format(PyExc_TypeError, "_accept() takes three arguments");
    const struct rq_op *ops = NULL;
    uint32_t count = 0;
    if (PyBytes_Check(args[1])) {
        ops = (const struct rq_op *)(const void *)PyBytes_AsString(args[1]);
        count = (uint32_t)((size_t)PyBytes_Size(args[1]) / sizeof(*ops));
    } else {
        count = rq_py_requests(self, args[1], &ops);
        unsigned long most = PyLong_AsUnsignedLong(args[2]);
        if (PyErr_Occurred()) return NULL;
        if (most < count) count = (uint32_t)most;
    }
    if (self->pair == NULL || self->is_closed) return PyLong_FromLong(-ESHUTDOWN);
    if (count == 0) return PyLong_FromLong(-EINVAL);
    if (!rq_py_begin(&self->posting)) return PyLong_FromLong(-EBUSY);
    int result = accept_inside(self, ops, count, args[0]);
    int error = PyErr_Occurred() ? -1 : 0;
    if (error != 0)
        rq_py_end(&self->posting);
    else
        error = rq_py_end_posting(object);
    return error != 0 ? NULL : PyLong_FromLong(result);
}

static int set_wr_id(PyObject *request, uint64_t wr_id) {
    PyObject *number = PyLong_FromUnsignedLongLong(wr_id);
    int error = number == NULL ? -1 : PyObject_SetAttrString(request, "wr_id", number);
    Py_XDECREF(number);
    return error;
}

/* pyverbs' post_send is no Python: no signal's handler comes between it and the counting. */
static int bind_inside(struct rq_py_poster *self, PyObject *operation, PyObject *qp,
                       PyObject *request) {
    uint64_t wr_id = 0;
    if (PyObject_Size(self->backlog) != 0) return -EBUSY;
    if (rq_py_enlist(self, operation, NULL, 1, 1) != 0) return -ENOMEM;
    int result = rq_pair_begin_bind(self->pair, self->taken, &wr_id);
    if (result == 1) {
        PyObject *none = NULL;
        if (set_wr_id(request, wr_id) == 0)
            none = PyObject_CallMethod(qp, "post_send", "(O)", request);
        rq_pair_end_bind(self->pair, none != NULL);
        Py_XDECREF(none);
        if (none != NULL) return 1;
    }
    PyObject *kind, *value, *trace;
    PyErr_Fetch(&kind, &value, &trace);
    self->taken--;
    self->posted--;
    call_deque(self->in_flight, "pop", NULL);
    PyErr_Restore(kind, value, trace);
    return result == 0 ? -EBUSY : result;
}

/* _accept_bind(operation, qp, request): has pyverbs' qp post its signalled request among ours. 1,
 * -errno, or what pyverbs raised; but for 1 nothing was posted. */
PyObject *rq_py_accept_bind(PyObject *object, PyObject *const *args, Py_ssize_t arg_count) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    if (arg_count != 3) return PyErr_Format(PyExc_TypeError, "_accept_bind() takes three");
    if (self->pair == NULL || self->is_closed) return PyLong_FromLong(-ESHUTDOWN);
    if (!rq_py_begin(&self->posting)) return PyLong_FromLong(-EBUSY);
    int result = bind_inside(self, args[0], args[1], args[2]);
    int error = PyErr_Occurred() ? -1 : 0;
    if (error != 0)
        rq_py_end(&self->posting);
    else
        error = rq_py_end_posting(object);
    return error != 0 ? NULL : PyLong_FromLong(result);
}

/* ---- what waits ---------------------------------------------------------------------------- */

static int post_first_waiting(PyObject *object, int *is_over) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    PyObject *item = PySequence_GetItem(self->backlog, 0), *data;
    unsigned int first;
    *is_over = 1;
    if (item == NULL) return -1;
    int error = PyArg_ParseTuple(item, "SI", &data, &first) ? 0 : -1;
    if (error == 0) {
        const struct rq_op *ops = (const struct rq_op *)(const void *)PyBytes_AsString(data);
        uint32_t left = (uint32_t)((size_t)PyBytes_Size(data) / sizeof(*ops)) - first;
        int result = self->has_failed ? -ECANCELED : hand_over(self, ops + first, left);
        if (result > 0) self->posted += (uint32_t)result;
        if (result < 0) {
            PyObject *none = PyObject_CallMethod(object, "_drop_backlog", "(i)", result);
            Py_XDECREF(none);
            error = none == NULL ? -1 : 0;
        } else if ((uint32_t)result < left) {
            PyObject *rest = Py_BuildValue("(OI)", data, first + (uint32_t)result);
            error = rest == NULL ? -1 : PySequence_SetItem(self->backlog, 0, rest);
            Py_XDECREF(rest);
        } else {
            error = call_deque(self->backlog, "popleft", NULL);
            *is_over = 0;
        }
    }
    Py_DECREF(item);
    return error;
}

/* Whoever cannot have the turn says so first: its holder looks when it has ended it. */
static int post_waiting(PyObject *object) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    int error = 0;
    self->is_passed_over = 1;
    while (error == 0 && self->is_passed_over) {
        if (!rq_py_begin(&self->posting)) return 0;
        self->is_passed_over = 0;
        int is_over = 0;
        while (error == 0 && !is_over && PyObject_Size(self->backlog) > 0)
            error = post_first_waiting(object, &is_over);
        rq_py_end(&self->posting);
    }
    return error;
}

int rq_py_end_posting(PyObject *object) {
    rq_py_end(&rq_py_poster_of(object)->posting);
    return rq_py_poster_of(object)->is_passed_over ? post_waiting(object) : 0;
}

PyObject *rq_py_post_waiting(PyObject *object, PyObject *Py_UNUSED(none)) {
    return post_waiting(object) == 0 ? Py_NewRef(Py_None) : NULL;
}

/* ---- looking ------------------------------------------------------------------------------- */

int rq_py_settle(PyObject *object) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    if (*self->special != self->special_seen) return call_self(object, "_settle_each");
    self->reported += self->found;
    self->found = 0;
    return PyObject_Size(self->in_flight) == 0 ? 0 : call_self(object, "_finish");
}

static int take(struct rq_py_poster *self, uint64_t wait_ns) {
    struct rq_run *run = self->run;
    int count;
    if (wait_ns == 0) {
        count = rq_cq_poll(self->cq, run->done, run->done_count_max, run->wait_mode, 0);
    } else {
        Py_BEGIN_ALLOW_THREADS;
        count = rq_cq_poll(self->cq, run->done, run->done_count_max, run->wait_mode, wait_ns);
        Py_END_ALLOW_THREADS;
    }
    if (count > 0) self->found = (unsigned int)count;
    return count;
}

/* look(wait_ns): takes reports, waiting so long for the first, and posts what waited for room.
 * Returns how many, or -errno. What an interrupted call left is settled first. */
PyObject *rq_py_look(PyObject *object, PyObject *wait) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    unsigned long long wait_ns = PyLong_AsUnsignedLongLong(wait);
    if (PyErr_Occurred()) return NULL;
    if (self->pair == NULL || self->is_closed) return PyLong_FromLong(-ESHUTDOWN);
    if (!rq_py_begin(&self->looking)) return PyLong_FromLong(-EBUSY);
    int count = self->found != 0 ? (int)self->found : take(self, wait_ns);
    int error = count > 0 ? rq_py_settle(object) : 0;
    if (error == 0 && PyObject_Size(self->backlog) > 0) error = post_waiting(object);
    if (error == 0 && self->dropped) error = call_self(object, "_finish");
    rq_py_end(&self->looking);
    return error == 0 ? PyLong_FromLong(count) : NULL;
}
