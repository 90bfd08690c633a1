/* `Poster`, the hot half of a pair's `PostedPair`: the type, and `run`; posting.c has the rest. */
#include "python/poster.h"

#include <errno.h>

static int poster_traverse(PyObject *object, visitproc visit, void *arg) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->owner);
    Py_VISIT(self->requests_type);
    Py_VISIT(self->operation_type);
    Py_VISIT(self->in_flight);
    Py_VISIT(self->backlog);
    return 0;
}

static int poster_clear(PyObject *object) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    self->pair = NULL; /* nothing of the others is looked at without it */
    Py_CLEAR(self->owner);
    Py_CLEAR(self->requests_type);
    Py_CLEAR(self->operation_type);
    Py_CLEAR(self->in_flight);
    Py_CLEAR(self->backlog);
    return 0;
}

static void poster_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    poster_clear(object);
    rq_py_free(object);
}

/* _bind((addresses of pair, queue, rq_run and special), who keeps them, class of requests, class of
 * operations, in flight, backlog). */
static PyObject *poster_bind(PyObject *object, PyObject *args) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    PyObject *pair, *cq, *run, *special, *owner, *requests, *operation, *in_flight, *backlog;
    if (!PyArg_ParseTuple(args, "(OOOO)OOOOO:_bind", &pair, &cq, &run, &special, &owner, &requests,
                          &operation, &in_flight, &backlog))
        return NULL;
    self->cq = rq_py_address(cq);
    self->run = rq_py_address(run);
    self->special = rq_py_address(special);
    rq_py_replace(&self->owner, Py_NewRef(owner));
    rq_py_replace(&self->requests_type, Py_NewRef(requests));
    rq_py_replace(&self->operation_type, Py_NewRef(operation));
    rq_py_replace(&self->in_flight, Py_NewRef(in_flight));
    rq_py_replace(&self->backlog, Py_NewRef(backlog));
    self->pair = rq_py_address(pair);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* True: this thread has both turns, for good; nobody else posts or looks any more. */
static PyObject *poster_take_turns(PyObject *object, PyObject *Py_UNUSED(none)) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    if (!rq_py_begin(&self->posting)) Py_RETURN_FALSE;
    if (rq_py_begin(&self->looking)) Py_RETURN_TRUE;
    rq_py_end(&self->posting);
    Py_RETURN_FALSE;
}

/* In a forked child, where the thread that was inside is not. */
static PyObject *poster_forget_turns(PyObject *object, PyObject *Py_UNUSED(none)) {
    rq_py_end(&rq_py_poster_of(object)->posting);
    rq_py_end(&rq_py_poster_of(object)->looking);
    Py_RETURN_NONE;
}

/* Whether this very thread is inside: what asks is a signal's handler, or the like. */
static PyObject *poster_is_inside(PyObject *object, PyObject *Py_UNUSED(none)) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    return PyBool_FromLong(rq_py_is_mine(&self->posting) || rq_py_is_mine(&self->looking));
}

/* _settle(found): takes so many reports in run->done for found; by who has the turn to look. */
static PyObject *poster_settle(PyObject *object, PyObject *found) {
    unsigned long count = PyLong_AsUnsignedLong(found);
    if (PyErr_Occurred()) return NULL;
    rq_py_poster_of(object)->found = (unsigned int)count;
    return rq_py_settle(object) == 0 ? Py_NewRef(Py_None) : NULL;
}

/* ---- run --------------------------------------------------------------------------------- */

static void end_turns(struct rq_py_poster *self) {
    rq_py_end(&self->looking);
    rq_py_end(&self->posting);
}

/* Asked for a second time when a signal's handler raised in the first: the requests are posted. The
 * handler's exception stands then, and is returned as a failure by whoever asks for one. */
static PyObject *make_operation(PyObject *object, PyObject *requests) {
    PyObject *type = rq_py_poster_of(object)->operation_type, *kind, *value, *trace;
    PyObject *operation = PyObject_CallFunction(type, "OiO", object, 0, requests);
    if (operation != NULL) return operation;
    PyErr_Fetch(&kind, &value, &trace);
    operation = PyObject_CallFunction(type, "OiO", object, 0, requests);
    PyErr_Restore(kind, value, trace);
    return operation;
}

/* Some of it is in flight, or not all of it went well: from here on it is an operation. */
static PyObject *go_on(PyObject *object, PyObject *requests, const struct rq_op *ops,
                       uint32_t op_count) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    PyObject *operation = make_operation(object, requests), *kind, *value, *trace;
    int error = operation == NULL;
    PyErr_Fetch(&kind, &value, &trace);
    if (!error) error = rq_py_enlist(self, operation, ops, self->run->taken, op_count) != 0;
    if (!error && kind == NULL && self->found != 0) error = rq_py_settle(object) != 0;
    if (kind != NULL) PyErr_Restore(kind, value, trace);
    rq_py_end(&self->looking);
    if (error || kind != NULL)
        rq_py_end(&self->posting);
    else
        error = rq_py_end_posting(object) != 0;
    if (!error && kind == NULL) return operation;
    Py_XDECREF(operation);
    return NULL;
}

static PyObject *run_slowly(PyObject *object, PyObject *requests, PyObject *timeout) {
    return PyObject_CallMethod(object, "_run_slowly", "(OO)", requests, timeout);
}

/* How long the first wait may be: a slice, or less where time is up before. No number: nothing, and
 * whoever waits on says what is wrong with it. */
static uint64_t first_wait_ns(PyObject *timeout) {
    if (timeout == Py_None) return RQ_WAIT_SLICE_NS_MAX;
    if (!PyFloat_Check(timeout) && !PyLong_Check(timeout)) return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (PyErr_Occurred()) PyErr_Clear(); /* more than a double holds */
    if (!(seconds > 0)) return 0;
    return seconds * 1e9 < RQ_WAIT_SLICE_NS_MAX ? (uint64_t)(seconds * 1e9) : RQ_WAIT_SLICE_NS_MAX;
}

/* By who has both turns. */
static PyObject *run_inside(PyObject *object, PyObject *requests, PyObject *timeout,
                            const struct rq_op *ops, uint32_t op_count) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    int count;
    uint64_t wait_ns = self->run->wait_ns = first_wait_ns(timeout);
    Py_BEGIN_ALLOW_THREADS;
    count = rq_pair_run(self->pair, ops, op_count, self->run);
    Py_END_ALLOW_THREADS;
    if (count == (int)op_count && *self->special == self->special_seen) {
        self->taken += op_count;
        self->posted += op_count;
        self->reported += op_count;
        end_turns(self);
        Py_RETURN_NONE;
    }
    if (self->run->taken == 0) { /* refused; or there is no credit now, which is waited for */
        end_turns(self);
        if (count < 0) return PyObject_CallMethod(object, "_refuse", "(i)", count);
        return run_slowly(object, requests, timeout);
    }
    self->found = count > 0 ? (unsigned int)count : 0;
    PyObject *operation = go_on(object, requests, ops, op_count);
    if (operation == NULL) return NULL;
    PyObject *result =
        PyObject_CallMethod(object, "_wait_on", "(OOK)", operation, timeout, wait_ns);
    Py_DECREF(operation);
    return result;
}

static PyObject *poster_run(PyObject *object, PyObject *const *args, Py_ssize_t count,
                            PyObject *names) {
    struct rq_py_poster *self = rq_py_poster_of(object);
    const struct rq_op *ops;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    if (count == 0 || count + named > 2 ||
        (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "timeout") != 0))
        return PyErr_Format(PyExc_TypeError, "run() takes requests, and timeout= in seconds");
    PyObject *requests = args[0], *timeout = count + named == 2 ? args[1] : Py_None;
    int is_quiet = self->pair != NULL && !self->is_closed && self->reported == self->taken &&
                   self->found == 0 && self->awaited_count == 0;
    uint32_t op_count = is_quiet ? rq_py_requests(self, requests, &ops) : 0;
    if (op_count != 0 && rq_py_begin(&self->posting)) {
        if (rq_py_begin(&self->looking))
            return run_inside(object, requests, timeout, ops, op_count);
        rq_py_end(&self->posting);
        return PyObject_CallMethod(object, "_refuse", "(i)", self->is_closed ? -ESHUTDOWN : -EBUSY);
    }
    return run_slowly(object, requests, timeout);
}

/* ---- the type ------------------------------------------------------------------------------ */

PyDoc_STRVAR(
    run_doc,
    "run($self, requests, /, timeout=None)\n--\n\n"
    "Posts all of them as one chain and waits for their end: `post(requests).wait(timeout)`.\n\n"
    "In one crossing, and without an `Operation`, when nothing else is in flight: the quickest\n"
    "way to do one thing after the other. Raises as those two do.\n");

PyDoc_STRVAR(look_doc,
             "look($self, wait_ns, /)\n--\n\n"
             "Takes reports, waiting so long for the first. Returns how many, or -errno.\n");

#define FAST(function) (PyCFunction)(void (*)(void))(function)

static PyMethodDef poster_methods[] = {
    {"run", FAST(poster_run), METH_FASTCALL | METH_KEYWORDS, run_doc},
    {"look", rq_py_look, METH_O, look_doc},
    {"_accept", FAST(rq_py_accept), METH_FASTCALL, NULL},
    {"_accept_bind", FAST(rq_py_accept_bind), METH_FASTCALL, NULL},
    {"_post_waiting", rq_py_post_waiting, METH_NOARGS, NULL},
    {"_settle", poster_settle, METH_O, NULL},
    {"_bind", poster_bind, METH_VARARGS, NULL},
    {"_take_turns", poster_take_turns, METH_NOARGS, NULL},
    {"_forget_turns", poster_forget_turns, METH_NOARGS, NULL},
    {"_is_inside", poster_is_inside, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

#define MEMBER(name, type, member) {name, type, offsetof(struct rq_py_poster, member), 0, NULL}

static PyMemberDef poster_members[] = {
    MEMBER("_taken", T_ULONGLONG, taken),      MEMBER("_posted", T_ULONGLONG, posted),
    MEMBER("reported", T_ULONGLONG, reported), MEMBER("_special_seen", T_ULONGLONG, special_seen),
    MEMBER("_found", T_UINT, found),           MEMBER("awaited_count", T_INT, awaited_count),
    MEMBER("_dropped", T_INT, dropped),        MEMBER("_has_failed", T_INT, has_failed),
    MEMBER("_is_closed", T_INT, is_closed),    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot poster_slots[] = {
    {Py_tp_traverse, poster_traverse}, {Py_tp_clear, poster_clear},
    {Py_tp_dealloc, poster_dealloc},   {Py_tp_methods, poster_methods},
    {Py_tp_members, poster_members},   {0, NULL},
};

PyType_Spec rq_py_poster_spec = {
    .name = "rdmaq._hot.Poster",
    .basicsize = sizeof(struct rq_py_poster),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = poster_slots,
};
