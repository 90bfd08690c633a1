/* `Poster`, the hot half of a pair's `PostedPair`: posts requests and waits for their end. */
#include "python/hot.h"
#include "rdmaq_abi.h"

/* The counts are Python's as well: it posts and settles whatever is not done in one go here. */
struct poster {
    PyObject_HEAD struct rq_pair *pair;
    struct rq_run *run;
    const uint64_t *special; /* as rq_cq_special */
    PyObject *owner;         /* keeps the three */
    PyObject *requests_type;
    unsigned long long taken, posted, reported, special_seen;
    int awaited_count; /* operations and receives that an event loop waits for */
    _Atomic int is_posting;
};

static PyObject *name_of_address, *name_of_count;

static struct poster *poster_of(PyObject *object) { return (struct poster *)object; }

static int poster_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(poster_of(object)->owner);
    Py_VISIT(poster_of(object)->requests_type);
    return 0;
}

static int poster_clear(PyObject *object) {
    poster_of(object)->pair = NULL;
    Py_CLEAR(poster_of(object)->owner);
    Py_CLEAR(poster_of(object)->requests_type);
    return 0;
}

static void poster_dealloc(PyObject *object) {
    PyObject_GC_UnTrack(object);
    poster_clear(object);
    rq_py_free(object);
}

/* _bind(pair's, rq_run's and special's address, who keeps them, class of requests). */
static PyObject *poster_bind(PyObject *object, PyObject *args) {
    struct poster *self = poster_of(object);
    PyObject *pair, *run, *special, *owner, *type;
    if (!PyArg_ParseTuple(args, "OOOOO!:_bind", &pair, &run, &special, &owner, &PyType_Type, &type))
        return NULL;
    if (name_of_address == NULL) name_of_address = PyUnicode_InternFromString("_address");
    if (name_of_count == NULL) name_of_count = PyUnicode_InternFromString("count");
    self->run = rq_py_address(run);
    self->special = rq_py_address(special);
    rq_py_replace(&self->owner, Py_NewRef(owner));
    rq_py_replace(&self->requests_type, Py_NewRef(type));
    self->pair = rq_py_address(pair);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* True: this thread is the one that posts, until _end_posting. */
static PyObject *poster_begin_posting(PyObject *object, PyObject *Py_UNUSED(none)) {
    return PyBool_FromLong(rq_py_enter(&poster_of(object)->is_posting));
}

static PyObject *poster_end_posting(PyObject *object, PyObject *Py_UNUSED(none)) {
    rq_py_leave(&poster_of(object)->is_posting);
    Py_RETURN_NONE;
}

/* ---- run --------------------------------------------------------------------------------- */

/* 0: they are none that can be posted here. The address is of memory that `requests` keeps. */
static uint32_t take_requests(struct poster *self, PyObject *requests, const struct rq_op **ops) {
    if ((PyObject *)Py_TYPE(requests) != self->requests_type) return 0;
    PyObject *address = PyObject_GetAttr(requests, name_of_address);
    PyObject *count = PyObject_GetAttr(requests, name_of_count);
    unsigned long number = count == NULL ? 0 : PyLong_AsUnsignedLong(count);
    *ops = address == NULL ? NULL : rq_py_address(address);
    Py_XDECREF(address);
    Py_XDECREF(count);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return *ops == NULL || number > RQ_SENDS_MAX ? 0 : (uint32_t)number;
}

static PyObject *run_inside(struct poster *self, PyObject *requests, PyObject *timeout,
                            const struct rq_op *ops, uint32_t op_count) {
    int count;
    Py_BEGIN_ALLOW_THREADS;
    count = rq_pair_run(self->pair, ops, op_count, self->run);
    Py_END_ALLOW_THREADS;
    if (count != (int)op_count || *self->special != self->special_seen)
        return PyObject_CallMethod((PyObject *)self, "_run_on", "(OOi)", requests, timeout, count);
    self->taken += op_count;
    self->posted += op_count;
    self->reported += op_count;
    rq_py_leave(&self->is_posting);
    Py_RETURN_NONE;
}

static PyObject *poster_run(PyObject *object, PyObject *const *args, Py_ssize_t count,
                            PyObject *names) {
    struct poster *self = poster_of(object);
    const struct rq_op *ops;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    if (count == 0 || count + named > 2 ||
        (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "timeout") != 0))
        return PyErr_Format(PyExc_TypeError, "run() takes requests, and timeout= in seconds");
    PyObject *requests = args[0], *timeout = count + named == 2 ? args[1] : Py_None;
    int is_quiet = self->pair != NULL && self->reported == self->taken && self->awaited_count == 0;
    uint32_t op_count = is_quiet ? take_requests(self, requests, &ops) : 0;
    if (op_count != 0 && rq_py_enter(&self->is_posting))
        return run_inside(self, requests, timeout, ops, op_count);
    return PyObject_CallMethod(object, "_run_slowly", "(OO)", requests, timeout);
}

/* ---- the type ------------------------------------------------------------------------------ */

PyDoc_STRVAR(
    run_doc,
    "run($self, requests, timeout=None)\n--\n\n"
    "Posts all of them as one chain and waits for their end: `post(requests).wait(timeout)`.\n\n"
    "In one crossing, and without an `Operation`, when nothing else is in flight: the quickest\n"
    "way to do one thing after the other. Raises as those two do.\n");

static PyMethodDef poster_methods[] = {
    {"run", (PyCFunction)(void (*)(void))poster_run, METH_FASTCALL | METH_KEYWORDS, run_doc},
    {"_bind", poster_bind, METH_VARARGS, NULL},
    {"_begin_posting", poster_begin_posting, METH_NOARGS, NULL},
    {"_end_posting", poster_end_posting, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef poster_members[] = {
    {"_taken", T_ULONGLONG, offsetof(struct poster, taken), 0, NULL},
    {"_posted", T_ULONGLONG, offsetof(struct poster, posted), 0, NULL},
    {"reported", T_ULONGLONG, offsetof(struct poster, reported), 0, NULL},
    {"_special_seen", T_ULONGLONG, offsetof(struct poster, special_seen), 0, NULL},
    {"awaited_count", T_INT, offsetof(struct poster, awaited_count), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot poster_slots[] = {
    {Py_tp_traverse, poster_traverse}, {Py_tp_clear, poster_clear},
    {Py_tp_dealloc, poster_dealloc},   {Py_tp_methods, poster_methods},
    {Py_tp_members, poster_members},   {0, NULL},
};

PyType_Spec rq_py_poster_spec = {
    .name = "rdmaq._hot.Poster",
    .basicsize = sizeof(struct poster),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = poster_slots,
};
